//! One thread that owns the writing connection and commits all waiting writes together.
//!
//! Each write runs in its own savepoint, so that a failed write is undone alone. Answers are
//! sent after the commit, never before; if the commit fails, every write of it fails.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread;

use rusqlite::Connection;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::store::StoreError;
use crate::store::sqlite::SqlError;
use crate::store::sqlite::damage::Damage;
use crate::store::sqlite::file_lock::Presence;
use crate::store::sqlite::health::Health;

/// How many writes may wait in the queue; further callers wait for room.
const QUEUE_MAX: usize = 4096;
/// The largest number of writes in one transaction.
const BATCH_MAX: usize = 512;

/// Answers one write after the transaction was committed or has failed.
type Answer = Box<dyn FnOnce(Result<(), SqlError>) + Send>;
/// Runs one write inside the transaction, or receives the reason why none could begin.
type Work = Box<dyn FnOnce(Result<&Connection, SqlError>) -> Answer + Send>;

/// Hands writes to the writer thread.
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Work>>>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
    damage: Arc<Damage>,
    health: Arc<Health>,
}

/// The writing connection and its file.
struct File {
    connection: Connection,
    presence: Presence,
    damage: Arc<Damage>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        presence: Presence,
        damage: Arc<Damage>,
        health: Arc<Health>,
    ) -> std::io::Result<Self> {
        let (queue, work) = mpsc::channel(QUEUE_MAX);
        let (ending, ended) = oneshot::channel();
        let file = File {
            connection,
            presence,
            damage: Arc::clone(&damage),
        };
        thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                write_until_closed(&file, work);
                drop(file);
                // The receiver is missing if the process ends without closing the store.
                let _ = ending.send(());
            })?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            ended: Mutex::new(Some(ended)),
            damage,
            health,
        })
    }

    /// Runs `work` in a transaction and returns its result after the commit.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, SqlError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let health = Arc::clone(&self.health);
        let work: Work = Box::new(move |db| {
            let result = db.and_then(|db| in_savepoint(db, work));
            Box::new(move |committed| {
                // Its own error says more than the error of the transaction.
                let result = match result {
                    Err(own) => Err(own),
                    Ok(done) => committed.map(|()| done),
                };
                health.note(doing, result.is_ok());
                // The caller may have given up waiting; the commit stays valid.
                let _ = answer.send(result);
            })
        });
        let queue = self.queue.lock().await.clone().ok_or(StoreError::Closed)?;
        queue.send(work).await.map_err(|_| StoreError::Closed)?;
        drop(queue);
        answered
            .await
            .map_err(|_| StoreError::Closed)?
            .map_err(|source| StoreError::Failed {
                doing,
                source: self.damage.explained(source),
            })
    }

    /// Accepts no more writes, finishes those in the queue and closes the connection.
    pub(super) async fn close(&self) {
        drop(self.queue.lock().await.take());
        if let Some(ended) = self.ended.lock().await.take() {
            let _ = ended.await;
        }
    }
}

fn write_until_closed(file: &File, mut queue: mpsc::Receiver<Work>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while queue.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
        write_batch(file, batch.drain(..));
    }
}

fn write_batch(file: &File, batch: impl Iterator<Item = Work>) {
    let connection = &file.connection;
    if let Err(error) = run(connection, "BEGIN IMMEDIATE") {
        let text = file.damage.in_words(&error);
        for work in batch {
            work(Err(text.clone().into()))(Ok(()));
        }
        return;
    }
    let mut answers: Vec<Answer> = Vec::new();
    for work in batch {
        // Some errors, such as a full disk, end the transaction by themselves. Each later write
        // would then be committed alone.
        if connection.is_autocommit() {
            answers.push(work(Err("the transaction was rolled back".into())));
            continue;
        }
        // A write that panics fails alone: its answer is dropped, so its caller gets an error.
        match std::panic::catch_unwind(AssertUnwindSafe(|| work(Ok(connection)))) {
            Ok(answer) => answers.push(answer),
            Err(_) => roll_back_to_savepoint(connection),
        }
    }
    if connection.is_autocommit() {
        for answer in answers {
            answer(Err("the transaction was rolled back".into()));
        }
        return;
    }
    match file.commit() {
        Ok(()) => answers.into_iter().for_each(|answer| answer(Ok(()))),
        Err(text) => {
            if let Err(again) = connection.execute_batch("ROLLBACK") {
                tracing::debug!(error = %again, "the failed transaction was rolled back already");
            }
            for answer in answers {
                answer(Err(text.clone().into()));
            }
        }
    }
}

impl File {
    fn commit(&self) -> Result<(), String> {
        self.presence.check()?;
        run(&self.connection, "COMMIT").map_err(|error| self.damage.in_words(&error))
    }
}

/// Runs a statement without parameters that is prepared once.
fn run(db: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    db.prepare_cached(sql)?.execute([]).map(drop)
}

fn roll_back_to_savepoint(db: &Connection) {
    if let Err(error) = db.execute_batch("ROLLBACK TO work; RELEASE work") {
        tracing::debug!(%error, "cannot roll back to the savepoint: there is none");
    }
}

fn in_savepoint<T>(
    db: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, SqlError>,
) -> Result<T, SqlError> {
    run(db, "SAVEPOINT work")?;
    let result = work(db);
    // Some errors, such as a full disk, have rolled everything back already.
    if result.is_err() && !db.is_autocommit() {
        db.execute_batch("ROLLBACK TO work")?;
    }
    if !db.is_autocommit() {
        run(db, "RELEASE work")?;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::file_lock::FileLock;

    #[tokio::test]
    async fn a_failed_batch_reports_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FileLock::take(&folder.path().join("jobwatch.db")).unwrap();
        let db = Connection::open(lock.path()).unwrap();
        // The file must not grow by a page: the disk is full in the middle of a statement.
        db.execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE t (x); PRAGMA max_page_count = 1",
        )
        .unwrap();
        let presence = lock.presence().unwrap();
        let writer = Writer::start(db, presence, Arc::default(), Arc::default()).unwrap();
        let written = writer
            .run("write", |db| {
                db.execute("INSERT INTO t VALUES (zeroblob(100000))", [])?;
                Ok(())
            })
            .await;
        let error = anyhow::Error::from(written.unwrap_err());
        let message = format!("{error:#}");
        assert!(message.contains("make room"), "{message}");
        writer.run("read", |_| Ok(())).await.unwrap();
        writer.close().await;
    }
}
