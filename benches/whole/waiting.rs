//! Waiting for the daemon, as its users do.

use std::time::Duration;

use jobwatch::clock::SystemClock;
use tokio::time::sleep;

/// The longest wait for one thing.
const PATIENCE: Duration = Duration::from_mins(5);
/// The time after which the daemon has also settled the work that was seen to be done.
const SETTLED: Duration = Duration::from_millis(300);

/// Waits until this is true, and fails if that takes too long.
pub(crate) async fn until(event: &str, mut is_true: impl FnMut() -> bool) {
    let clock = SystemClock::shared();
    while !is_true() {
        assert!(clock.uptime() < PATIENCE, "waited too long until {event}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until the daemon has written down the work that was seen to be done.
pub(crate) async fn until_settled() {
    sleep(SETTLED).await;
}
