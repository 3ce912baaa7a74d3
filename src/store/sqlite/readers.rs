//! A few read-only connections, each used by one read at a time.

use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::store::StoreError;
use crate::store::sqlite::SqlError;
use crate::store::sqlite::damage::Damage;

/// Runs reads, as many at a time as there are connections.
pub(super) struct Readers {
    free: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    damage: Arc<Damage>,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>, damage: Arc<Damage>) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(connections.len())),
            free: Arc::new(Mutex::new(connections)),
            damage,
        }
    }

    /// Lets no new read begin, and closes the connections that are not in use.
    pub(super) fn close(&self) {
        self.permits.close();
        self.free.lock().clear();
    }

    /// Runs `read` outside the async threads, because `SQLite` blocks.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> Result<T, SqlError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| StoreError::Closed)?;
        let free = Arc::clone(&self.free);
        let reading = tokio::task::spawn_blocking(move || {
            let taken = free.lock().pop();
            // There is a connection for each permit, unless the store was closed just now.
            let connection = taken.ok_or("the store is closed")?;
            let result = read(&connection);
            free.lock().push(connection);
            // Released here and not by the caller, who may have given up waiting before.
            drop(permit);
            result
        });
        reading
            .await
            .map_err(|_| StoreError::Closed)?
            .map_err(|source| StoreError::Failed {
                doing,
                source: self.damage.explained(source),
            })
    }
}
