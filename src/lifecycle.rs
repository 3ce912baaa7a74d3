//! The life of the process: signals, the service manager, and an orderly stop.
//!
//! A stop has two steps. First every loop sees a cancelled token and begins nothing new. Then
//! tasks under way get a bounded time. Tasks that take longer are abandoned; nothing is lost,
//! because the next start repeats the poll or the delivery.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::SharedClock;
use crate::telemetry::LogOutput;

/// The shortest time between two notifications of the watchdog.
const WATCHDOG_EVERY: Duration = Duration::from_secs(1);
/// Sent when a file grows beyond `RLIMIT_FSIZE`; the same number on all machines we build for.
const SIGXFSZ: i32 = 25;
/// The limit of open files where the system sets none.
const FILES_MAX: u64 = 1 << 20;
/// The exit code after a second signal, as shells give for an interrupt.
const INTERRUPTED: i32 = 130;

/// The parts of the process that every long-running task shares.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// Cancelled when the process stops: a task then begins nothing new.
    pub stop: CancellationToken,
    /// Spawns all tasks, so that a stop can wait for them.
    pub tracker: TaskTracker,
    /// The way to the log; its last lines are written before the process ends.
    pub log: LogOutput,
}

impl Lifecycle {
    /// Makes SIGTERM and SIGINT stop the process; a second one ends it at once.
    ///
    /// # Errors
    /// The system refuses a signal handler.
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
        #[expect(
            clippy::disallowed_methods,
            reason = "a stop must not wait for this task"
        )]
        tokio::spawn(stop_on_signal(terminate, interrupt, stop, self.log.clone()));
        Ok(())
    }

    /// Waits until all tasks have ended, at most `limit`; true if they have.
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
    tracing::info!(
        signal = name,
        "stopping; a second signal ends the process at once"
    );
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

/// Keeps a terminal that closes from ending the process, which is the default action.
async fn ignore_hangups(mut hangup: Signal, stop: CancellationToken) {
    while stop
        .run_until_cancelled(hangup.recv())
        .await
        .flatten()
        .is_some()
    {
        tracing::warn!(
            "ignored SIGHUP: settings are read at the start only; restart jobwatch to apply them"
        );
    }
}

/// Raises the limit of open files to the most that the system allows this process, and returns
/// it. The usual limit, 1024, is for programs that cannot have more.
pub fn raise_file_limit() -> u64 {
    let allowed = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: allowed.maximum.or(Some(FILES_MAX)),
        maximum: allowed.maximum,
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(_) => allowed.current,
    };
    limit.unwrap_or(FILES_MAX)
}

/// Notifies the service manager that the daemon is ready.
pub fn notify_ready() {
    notify(&[NotifyState::Ready]);
}

/// Returns a function that notifies the watchdog of the service manager. The poller's loop calls
/// it in every round, so that the service manager notices a loop that hangs.
pub fn heartbeat(clock: SharedClock) -> Arc<dyn Fn() + Send + Sync> {
    if sd_notify::watchdog_enabled().is_none() {
        return Arc::new(|| {});
    }
    let notified_at: Mutex<Option<Duration>> = Mutex::new(None);
    Arc::new(move || {
        let uptime = clock.uptime();
        let mut notified_at = notified_at.lock();
        if notified_at.is_none_or(|at| uptime.saturating_sub(at) >= WATCHDOG_EVERY) {
            *notified_at = Some(uptime);
            notify(&[NotifyState::Watchdog]);
        }
    })
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}
