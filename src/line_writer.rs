//! A thread that writes lines to a stream, so that no task ever waits for the stream's reader.
//!
//! A reader may be gone (a closed terminal) or alive and not reading (a full pipe). In both
//! cases the writer takes lines without blocking. It counts the lines it loses, and reports
//! their number as soon as a line can be written again.

use std::io;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// The most bytes that wait for the stream; lines beyond it are lost.
const QUEUE_BYTES_MAX: usize = 1024 * 1024;

/// Writes lines to one stream. Clones share its thread, which ends with the last of them.
#[derive(Debug, Clone)]
pub struct LineWriter {
    messages: Sender<Message>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Bytes of the lines in the queue.
    queued: AtomicUsize,
    /// Lines lost since the last report.
    lost: AtomicU64,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    Acknowledged(Vec<u8>, oneshot::Sender<io::Result<()>>),
    Flush(Sender<()>),
}

impl LineWriter {
    /// Starts the thread for `stream`. `report` makes the line that says how many were lost.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        stream: impl Write + Send + 'static,
        report: impl Fn(u64) -> Vec<u8> + Send + 'static,
    ) -> io::Result<Self> {
        let (messages, queue) = mpsc::channel();
        let counts = Arc::new(Counts::default());
        let worker = Worker {
            stream,
            report,
            counts: Arc::clone(&counts),
        };
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || worker.run(&queue))?;
        Ok(Self { messages, counts })
    }

    /// Queues a line. Returns at once; a line that finds the queue full is lost and counted.
    pub fn queue(&self, line: Vec<u8>) {
        if !self.admit(line.len()) || self.messages.send(Message::Line(line)).is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a line into the queue if there is room. A line of any size finds room in an
    /// empty queue.
    fn admit(&self, length: usize) -> bool {
        let queued = self.counts.queued.fetch_add(length, Ordering::Relaxed);
        let has_room = queued == 0 || queued + length <= QUEUE_BYTES_MAX;
        if !has_room {
            self.counts.queued.fetch_sub(length, Ordering::Relaxed);
        }
        has_room
    }

    /// Queues a line and waits at most `limit` until it is written.
    ///
    /// # Errors
    /// The queue is full, or the stream refused the line or did not take it in time; a line
    /// that still waits in the queue then is not written later either.
    pub async fn write_acknowledged(&self, line: Vec<u8>, limit: Duration) -> io::Result<()> {
        if !self.admit(line.len()) {
            let reason = "the reader is too slow: the queue of the log is full";
            return Err(io::Error::new(io::ErrorKind::WouldBlock, reason));
        }
        let (done, written) = oneshot::channel();
        let message = Message::Acknowledged(line, done);
        self.messages.send(message).map_err(|_| thread_ended())?;
        let Ok(written) = tokio::time::timeout(limit, written).await else {
            let reason = format!("the reader took nothing for {limit:?}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
        };
        written.unwrap_or_else(|_| Err(thread_ended()))
    }

    /// Blocks until everything queued so far is written, at most `limit`.
    pub fn flush(&self, limit: Duration) {
        let (done, flushed) = mpsc::channel();
        if self.messages.send(Message::Flush(done)).is_ok() {
            // A reader that takes nothing must not hold up the end of the process.
            let _ = flushed.recv_timeout(limit);
        }
    }
}

fn thread_ended() -> io::Error {
    io::Error::other("the thread that writes the log has ended")
}

struct Worker<W, R> {
    stream: W,
    report: R,
    counts: Arc<Counts>,
}

impl<W: Write, R: Fn(u64) -> Vec<u8>> Worker<W, R> {
    fn run(mut self, queue: &Receiver<Message>) {
        for message in queue {
            match message {
                Message::Line(line) => {
                    if self.write(&line).is_err() {
                        self.counts.lost.fetch_add(1, Ordering::Relaxed);
                    }
                    self.counts.queued.fetch_sub(line.len(), Ordering::Relaxed);
                }
                Message::Acknowledged(line, done) => {
                    // A caller that stopped waiting counts the line as not written, and
                    // repeats it.
                    if !done.is_closed() {
                        let _ = done.send(self.write(&line));
                    }
                    self.counts.queued.fetch_sub(line.len(), Ordering::Relaxed);
                }
                Message::Flush(done) => {
                    let _ = done.send(());
                }
            }
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let lost = self.counts.lost.load(Ordering::Relaxed);
        if lost > 0 {
            self.stream.write_all(&(self.report)(lost))?;
            self.counts.lost.fetch_sub(lost, Ordering::Relaxed);
        }
        self.stream.write_all(line)?;
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, PipeWriter};

    use super::*;

    const SOON: Duration = Duration::from_millis(1);
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A stream that fails while its switch says so, then takes everything.
    struct Switched(Arc<AtomicU64>, PipeWriter);

    impl Write for Switched {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0.load(Ordering::SeqCst) {
                0 => self.1.write(bytes),
                _ => Err(io::ErrorKind::BrokenPipe.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            self.1.flush()
        }
    }

    fn report(lost: u64) -> Vec<u8> {
        format!("{lost} lost\n").into_bytes()
    }

    fn piped() -> (PipeReader, LineWriter) {
        let (reader, writer) = io::pipe().unwrap();
        (reader, LineWriter::start(writer, report).unwrap())
    }

    #[tokio::test]
    async fn lines_are_written_in_order_and_acknowledged() {
        let (reader, writer) = piped();
        writer.queue(b"a\n".to_vec());
        let written = writer.write_acknowledged(b"b\n".to_vec(), PATIENCE).await;
        assert!(written.is_ok());
        writer.queue(b"c\n".to_vec());
        drop(writer);
        // The thread ends with the last handle, and closes the stream.
        let text = io::read_to_string(reader).unwrap();
        assert_eq!(text, "a\nb\nc\n");
    }

    #[tokio::test]
    async fn a_line_for_a_closed_pipe_fails_at_once() {
        let (reader, writer) = piped();
        drop(reader);
        let written = writer.write_acknowledged(b"a\n".to_vec(), PATIENCE).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn acknowledged_lines_are_bounded_behind_a_full_pipe() {
        let (_reader, writer) = piped();
        let line = vec![b'x'; 256 * 1024];
        let mut failures = Vec::new();
        for _ in 0..8 {
            let written = writer.write_acknowledged(line.clone(), SOON).await;
            failures.push(written.unwrap_err().kind());
        }
        assert_eq!(failures[0], io::ErrorKind::TimedOut);
        assert_eq!(failures[7], io::ErrorKind::WouldBlock);
        assert!(writer.counts.queued.load(Ordering::Relaxed) <= QUEUE_BYTES_MAX);
    }

    #[tokio::test]
    async fn a_full_pipe_blocks_no_writer_and_its_lost_lines_are_reported() {
        let (reader, writer) = piped();
        let line = [vec![b'x'; 64 * 1024], b"\n".to_vec()].concat();
        // The queue holds fifteen of them, and the pipe not one.
        for _ in 0..40 {
            writer.queue(line.clone());
        }
        let late = writer.write_acknowledged(b"late\n".to_vec(), SOON).await;
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        writer.flush(SOON);
        let reading = thread::spawn(move || io::read_to_string(reader).unwrap());
        writer.flush(PATIENCE);
        let again = writer
            .write_acknowledged(b"again\n".to_vec(), PATIENCE)
            .await;
        assert!(again.is_ok());
        drop(writer);
        let text = reading.join().unwrap();
        let short: Vec<&str> = text.lines().filter(|line| line.len() < 100).collect();
        // The line that was given up is not written after all.
        let (last, reports) = short.split_last().unwrap();
        assert_eq!(*last, "again");
        let count = |report: &&str| {
            report
                .strip_suffix(" lost")
                .unwrap()
                .parse::<u64>()
                .unwrap()
        };
        assert_eq!(reports.iter().map(count).sum::<u64>(), 25);
    }

    #[tokio::test]
    async fn lines_lost_to_a_failing_stream_are_reported_once() {
        let (reader, stream) = io::pipe().unwrap();
        let switch = Arc::new(AtomicU64::new(1));
        let stream = Switched(Arc::clone(&switch), stream);
        let writer = LineWriter::start(stream, report).unwrap();
        writer.queue(b"a\n".to_vec());
        writer.queue(b"b\n".to_vec());
        writer.flush(PATIENCE);
        switch.store(0, Ordering::SeqCst);
        writer.queue(b"c\n".to_vec());
        writer.queue(b"d\n".to_vec());
        drop(writer);
        let text = io::read_to_string(reader).unwrap();
        assert_eq!(text, "2 lost\nc\nd\n");
    }
}
