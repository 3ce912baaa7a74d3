//! Counts the lines in the log of the daemon while they come.

use std::fs::File;
use std::io::Read;

use crate::daemon::Daemon;

/// The lines of one log so far. The filter of the log lets only events and errors through.
pub(crate) struct LogLines {
    file: File,
    count: usize,
    buffer: Vec<u8>,
}

impl LogLines {
    /// Opens the log of a daemon.
    pub(crate) fn of(daemon: &Daemon) -> Self {
        Self {
            file: File::open(daemon.log()).expect("a log"),
            count: 0,
            buffer: vec![0; 256 * 1024],
        }
    }

    /// Reads the lines that have come, and returns the number of all.
    pub(crate) fn count(&mut self) -> u64 {
        loop {
            let length = self.file.read(&mut self.buffer).expect("a log");
            if length == 0 {
                return self.count as u64;
            }
            self.count += memchr::memchr_iter(b'\n', &self.buffer[..length]).count();
        }
    }
}
