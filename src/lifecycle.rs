//! The life of the process: signals, the service manager, and an orderly stop.
//!
//! A stop has two steps. The *soft* one is a token that every loop watches: nothing new
//! is begun. Then tasks under way get a bounded time; what is not done by then is
//! abandoned, which costs nothing, since a poll is repeated and a delivery is still owed.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::SharedClock;
use crate::telemetry::LogOutput;

/// How often the watchdog is fed at most.
const WATCHDOG_EVERY: Duration = Duration::from_secs(1);
/// Sent when a file grows beyond `RLIMIT_FSIZE`; the same number on all machines we build for.
const SIGXFSZ: i32 = 25;
/// The exit code after a second signal, as shells give for an interrupt.
const INTERRUPTED: i32 = 130;

/// What every long-running part holds.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// Cancelled when nothing new is to be begun.
    pub stop: CancellationToken,
    /// Everything that runs is spawned here, so that a stop can wait for it.
    pub tracker: TaskTracker,
    /// The log, whose last lines are written before the process ends.
    pub log: LogOutput,
}

impl Lifecycle {
    /// Has SIGTERM and SIGINT stop the program; a second one ends it at once.
    ///
    /// # Errors
    /// The system gives no signal handlers.
    pub fn handle_signals(&self) -> std::io::Result<()> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hangup = signal(SignalKind::hangup())?;
        // A file that would grow beyond a limit of the process is an error of one write, as
        // a full disk is; the default action would end the process.
        drop(signal(SignalKind::from_raw(SIGXFSZ))?);
        let stop = self.stop.clone();
        self.tracker.spawn(ignore_hangups(hangup, stop.clone()));
        // Not in the tracker: it outlives the stop it begins, to see the second signal.
        #[expect(clippy::disallowed_methods, reason = "nobody may wait for this task")]
        tokio::spawn(stop_on_signal(terminate, interrupt, stop, self.log.clone()));
        Ok(())
    }

    /// Waits until everything that runs has ended, at most `limit`; tells whether it has.
    pub async fn drained(&self, limit: Duration) -> bool {
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait())
            .await
            .is_ok()
    }
}

async fn stop_on_signal(
    mut terminate: Signal,
    mut interrupt: Signal,
    stop: CancellationToken,
    log: LogOutput,
) {
    let name = either(&mut terminate, &mut interrupt).await;
    tracing::info!(signal = name, "stopping; a second signal ends it at once");
    notify(&[NotifyState::Stopping]);
    stop.cancel();
    let name = either(&mut terminate, &mut interrupt).await;
    tracing::warn!(signal = name, "ended at once");
    log.flush();
    std::process::exit(INTERRUPTED);
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// The default action would end the process, and with it a terminal that closes.
async fn ignore_hangups(mut hangup: Signal, stop: CancellationToken) {
    while stop
        .run_until_cancelled(hangup.recv())
        .await
        .flatten()
        .is_some()
    {
        tracing::warn!("SIGHUP: settings are read on start only; restart jobwatch to apply them");
    }
}

/// Tells the service manager that work has begun.
pub fn notify_ready() {
    notify(&[NotifyState::Ready]);
}

/// What the scheduler loop calls in every turn: feeds the watchdog of the service
/// manager, so that a loop that hangs is noticed. A free-running timer would not notice.
pub fn heartbeat(clock: SharedClock) -> Arc<dyn Fn() + Send + Sync> {
    if sd_notify::watchdog_enabled().is_none() {
        return Arc::new(|| {});
    }
    let fed_at: Mutex<Option<Duration>> = Mutex::new(None);
    Arc::new(move || {
        let uptime = clock.uptime();
        let mut fed_at = fed_at.lock();
        if fed_at.is_none_or(|at| uptime.saturating_sub(at) >= WATCHDOG_EVERY) {
            *fed_at = Some(uptime);
            notify(&[NotifyState::Watchdog]);
        }
    })
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}
