//! The signals that a command listens for while it waits or follows events.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal, by its meaning for a command that waits or follows events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// SIGINT or SIGTERM: end now.
    End,
    /// The program goes on after it was stopped; the terminal shows something else now.
    Resumed,
    /// The terminal has another size.
    Resized,
}

pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    resume: Signal,
    resize: Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// The system refuses a signal handler.
    pub(super) fn listen() -> std::io::Result<Self> {
        let resume = SignalKind::from_raw(rustix::process::Signal::CONT.as_raw());
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            resume: signal(resume)?,
            resize: signal(SignalKind::window_change())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Sign {
        tokio::select! {
            _ = self.interrupt.recv() => Sign::End,
            _ = self.terminate.recv() => Sign::End,
            _ = self.resume.recv() => Sign::Resumed,
            _ = self.resize.recv() => Sign::Resized,
        }
    }
}
