//! One thread that owns the writing connection and commits all waiting writes together.
//!
//! A failed write is undone alone: if one of several fails, the transaction is rolled back and all its
//! writes run again, each in its own savepoint. Savepoints for all of them would cost a copy of each page
//! that a write changes. Answers are sent after the commit, never before; if the commit fails,
//! every write of it fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

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
/// After a transaction of this many writes more are on their way: the next one waits for them.
const CROWD: usize = 8;
/// How long the next transaction waits in one step, and how many steps while more writes come.
const GATHER: Duration = Duration::from_millis(1);
const GATHER_STEPS: usize = 4;

/// Hands writes to the writer thread.
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Box<dyn Write>>>>,
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

/// A write with its caller, who waits for the answer.
trait Write: Send {
    /// Runs the write inside a transaction, perhaps again after that was rolled back. Returns true
    /// if it succeeded.
    fn run(&mut self, db: &Connection) -> bool;

    /// Answers after the transaction was committed or has failed.
    fn answer(self: Box<Self>, committed: Result<(), SqlError>);
}

/// A write whose work returns `T`.
struct Pending<T, W> {
    doing: &'static str,
    work: W,
    /// The result of the last run; `None` before it, or if it panicked.
    result: Option<Result<T, SqlError>>,
    answer: oneshot::Sender<Result<T, SqlError>>,
    health: Arc<Health>,
}

impl<T, W> Write for Pending<T, W>
where
    T: Send,
    W: FnMut(&Connection) -> Result<T, SqlError> + Send,
{
    fn run(&mut self, db: &Connection) -> bool {
        self.result = None;
        // The panic is logged by its hook. The write fails alone: its caller gets an error.
        let result = catch_unwind(AssertUnwindSafe(|| (self.work)(db)));
        self.result = result.ok();
        matches!(self.result, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, committed: Result<(), SqlError>) {
        let Self {
            doing,
            work,
            result,
            answer,
            health,
        } = *self;
        // The caller may own what it has lent to the work when the answer comes.
        drop(work);
        let result = match (result, committed) {
            // Its own error says more than the error of the transaction.
            (Some(Err(own)), _) => Err(own),
            (Some(Ok(done)), committed) => committed.map(|()| done),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err("the write panicked; the log has the cause".into()),
        };
        health.note(doing, result.is_ok());
        // The caller may have given up waiting; the commit stays valid.
        let _ = answer.send(result);
    }
}

/// A write that was handed to the thread.
pub(super) struct Begun<T> {
    doing: &'static str,
    answered: oneshot::Receiver<Result<T, SqlError>>,
    damage: Arc<Damage>,
}

impl<T> Begun<T> {
    /// Returns the result of the work, after the commit.
    pub(super) async fn answer(self) -> Result<T, StoreError> {
        let answer = self.answered.await.map_err(|_| StoreError::Closed)?;
        answer.map_err(|source| StoreError::Failed {
            doing: self.doing,
            source: self.damage.explained(source),
        })
    }
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        presence: Presence,
        damage: Arc<Damage>,
        health: Arc<Health>,
    ) -> std::io::Result<Self> {
        let (queue, writes) = mpsc::channel(QUEUE_MAX);
        let (ending, ended) = oneshot::channel();
        let file = File {
            connection,
            presence,
            damage: Arc::clone(&damage),
        };
        thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                file.write_until_closed(writes);
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

    /// Runs `work` in a transaction and returns its result after the commit. It may run more than
    /// once; all but the last run are undone.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnMut(&Connection) -> Result<T, SqlError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.begin(doing, work).await.answer().await
    }

    /// Hands `work` to the thread, as [`run`](Self::run) does. Writes begun one after the other
    /// commit in this order, and share a transaction.
    pub(super) async fn begin<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnMut(&Connection) -> Result<T, SqlError> + Send + 'static,
    ) -> Begun<T> {
        let (answer, answered) = oneshot::channel();
        let write = Box::new(Pending {
            doing,
            work,
            result: None,
            answer,
            health: Arc::clone(&self.health),
        });
        let queue = self.queue.lock().await.clone();
        if let Some(queue) = queue {
            // A thread that has ended drops the write, and with it the way of the answer.
            let _ = queue.send(write).await;
        }
        Begun {
            doing,
            answered,
            damage: Arc::clone(&self.damage),
        }
    }

    /// Accepts no more writes, finishes those in the queue and closes the connection.
    pub(super) async fn close(&self) {
        drop(self.queue.lock().await.take());
        if let Some(ended) = self.ended.lock().await.take() {
            let _ = ended.await;
        }
    }
}

impl File {
    fn write_until_closed(&self, mut queue: mpsc::Receiver<Box<dyn Write>>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while queue.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            let is_crowd = batch.len() >= CROWD;
            let committed = self.write(&mut batch);
            for write in batch.drain(..) {
                write.answer(committed.clone().map_err(Into::into));
            }
            if is_crowd {
                gather(&queue);
            }
        }
    }

    /// Runs all writes in one transaction. Those that fail are undone; each knows that itself.
    fn write(&self, batch: &mut [Box<dyn Write>]) -> Result<(), String> {
        self.begin()?;
        let all_succeed = batch.iter_mut().all(|write| write.run(&self.connection));
        if all_succeed {
            return self.commit();
        }
        self.roll_back();
        if batch.len() == 1 {
            return Ok(());
        }
        self.write_each_alone(batch)
    }

    /// Runs each write in its own savepoint.
    fn write_each_alone(&self, batch: &mut [Box<dyn Write>]) -> Result<(), String> {
        self.begin()?;
        for write in batch {
            self.run("SAVEPOINT work")?;
            let has_failed = !write.run(&self.connection);
            // Some errors, such as a full disk, end the transaction by themselves. Each later write
            // would then be committed alone.
            if self.connection.is_autocommit() {
                return Err("the transaction was rolled back".to_owned());
            }
            if has_failed {
                self.run("ROLLBACK TO work")?;
            }
            self.run("RELEASE work")?;
        }
        self.commit()
    }

    fn begin(&self) -> Result<(), String> {
        self.run("BEGIN IMMEDIATE")
    }

    /// Commits, or rolls back if that fails.
    fn commit(&self) -> Result<(), String> {
        let committed = self.presence.check().and_then(|()| self.run("COMMIT"));
        if committed.is_err() {
            self.roll_back();
        }
        committed
    }

    fn roll_back(&self) {
        if let Err(error) = self.connection.execute_batch("ROLLBACK") {
            tracing::debug!(%error, "the failed transaction was rolled back already");
        }
    }

    /// Runs a statement without parameters that is prepared once.
    fn run(&self, sql: &str) -> Result<(), String> {
        let prepared = self.connection.prepare_cached(sql);
        let done = prepared.and_then(|mut statement| statement.execute([]));
        done.map(drop).map_err(|error| self.damage.in_words(&error))
    }
}

/// Waits while more writes come: a commit costs as much for one write as for many.
fn gather(queue: &mpsc::Receiver<Box<dyn Write>>) {
    for _ in 0..GATHER_STEPS {
        let waiting = queue.len();
        thread::sleep(GATHER);
        if queue.len() == waiting || queue.is_closed() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::sqlite::file_lock::FileLock;

    /// Starts a writer on a new database with the table `t`.
    fn writer_in(folder: &Path, more: &str) -> (Writer, FileLock) {
        let lock = FileLock::take(&folder.join("jobwatch.db")).unwrap();
        let db = Connection::open(lock.path()).unwrap();
        let sql = format!("PRAGMA journal_mode = WAL; CREATE TABLE t (x); {more}");
        db.execute_batch(&sql).unwrap();
        let presence = lock.presence().unwrap();
        let writer = Writer::start(db, presence, Arc::default(), Arc::default()).unwrap();
        (writer, lock)
    }

    fn insert(db: &Connection, value: u8) -> Result<(), SqlError> {
        db.execute("INSERT INTO t VALUES (?1)", [value])?;
        Ok(())
    }

    #[tokio::test]
    async fn a_write_that_fails_or_panics_is_undone_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, _lock) = writer_in(folder.path(), "");
        // The first write keeps the thread busy until the others wait, so that they share a
        // transaction.
        let (release, released) = std::sync::mpsc::channel::<()>();
        let busy = writer.run("wait", move |_| Ok(released.recv().is_ok()));
        let good = writer.run("write 1", |db| insert(db, 1));
        let failing = writer.run("write 2", |db| {
            insert(db, 2)?;
            Err::<(), _>("refused".into())
        });
        let panicking = writer.run("write 3", |db| -> Result<(), SqlError> {
            insert(db, 3)?;
            panic!("a defect");
        });
        let last = writer.run("write 4", |db| insert(db, 4));
        let let_go = async { drop(release) };
        let (_, good, failed, panicked, last, ()) =
            tokio::join!(busy, good, failing, panicking, last, let_go);
        good.unwrap();
        last.unwrap();
        let reason =
            |it: Result<(), StoreError>| format!("{:#}", anyhow::Error::from(it.unwrap_err()));
        assert!(reason(failed).contains("refused"));
        assert!(reason(panicked).contains("the log has the cause"));
        let stored = writer.run("read", |db| {
            let mut statement = db.prepare("SELECT x FROM t ORDER BY x")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<Vec<u8>, _>>()?)
        });
        assert_eq!(stored.await.unwrap(), [1, 4]);
        writer.close().await;
    }

    #[tokio::test]
    async fn a_single_write_that_fails_is_undone_and_runs_once() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, _lock) = writer_in(folder.path(), "");
        let mut runs = 0;
        let failed = writer.run("write", move |db| {
            runs += 1;
            insert(db, runs)?;
            Err::<(), SqlError>(format!("run {runs}").into())
        });
        let error = anyhow::Error::from(failed.await.unwrap_err());
        assert!(format!("{error:#}").contains("run 1"));
        let count = writer.run("read", |db| {
            Ok(db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, u8>(0))?)
        });
        assert_eq!(count.await.unwrap(), 0);
        writer.close().await;
    }

    #[tokio::test]
    async fn a_failed_batch_reports_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        // The file must not grow by a page: the disk is full in the middle of a statement.
        let (writer, _lock) = writer_in(folder.path(), "PRAGMA max_page_count = 1");
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
