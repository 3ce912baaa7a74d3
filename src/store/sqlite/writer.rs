//! One thread that owns the writing connection and commits all waiting writes together.
//!
//! Each piece of work runs in its own savepoint: one that fails is undone alone. Answers
//! go out after the commit, never before; when the commit fails, every piece fails.

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

/// How much work may wait; callers that bring more wait.
const QUEUE_MAX: usize = 4096;
/// How much work one transaction takes.
const BATCH_MAX: usize = 512;

/// Answers one piece of work once it is known whether the transaction was committed.
type Answer = Box<dyn FnOnce(Result<(), SqlError>) + Send>;
/// Runs inside the transaction, or gets the reason why there is none.
type Work = Box<dyn FnOnce(Result<&Connection, SqlError>) -> Answer + Send>;

/// Hands work to the writer thread.
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
                // There is no receiver when the process ends without closing the store.
                let _ = ending.send(());
            })?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            ended: Mutex::new(Some(ended)),
            damage,
            health,
        })
    }

    /// Runs `work` in a transaction and answers once that is committed.
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
                // The work's own error says more than that the transaction was undone.
                let result = match result {
                    Err(own) => Err(own),
                    Ok(done) => committed.map(|()| done),
                };
                health.note(doing, result.is_ok());
                // The caller may have gone; the commit stands.
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

    /// Takes no more work, finishes what waits, closes the connection.
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
    if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
        let text = file.damage.in_words(&error);
        for work in batch {
            work(Err(text.clone().into()))(Ok(()));
        }
        return;
    }
    let mut answers: Vec<Answer> = Vec::new();
    for work in batch {
        // Some errors, a full disk among them, end the transaction by themselves; what
        // came after would then be committed piece by piece.
        if connection.is_autocommit() {
            answers.push(work(Err("the transaction was rolled back".into())));
            continue;
        }
        // One piece of work that panics fails alone: its caller sees the answer dropped.
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
        self.connection
            .execute_batch("COMMIT")
            .map_err(|error| self.damage.in_words(&error))
    }
}

fn roll_back_to_savepoint(db: &Connection) {
    if let Err(error) = db.execute_batch("ROLLBACK TO work; RELEASE work") {
        tracing::debug!(%error, "there was no savepoint to go back to");
    }
}

fn in_savepoint<T>(
    db: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, SqlError>,
) -> Result<T, SqlError> {
    db.execute_batch("SAVEPOINT work")?;
    let result = work(db);
    // A full disk, among others, has undone everything already; why says the first error.
    if result.is_err() && !db.is_autocommit() {
        db.execute_batch("ROLLBACK TO work")?;
    }
    if !db.is_autocommit() {
        db.execute_batch("RELEASE work")?;
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
        // No page more than there are: the disk is full in the middle of a statement.
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
        let said = format!("{error:#}");
        assert!(said.contains("make room"), "{said}");
        writer.run("read", |_| Ok(())).await.unwrap();
        writer.close().await;
    }
}
