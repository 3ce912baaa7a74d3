//! The CPU time of the daemon, from outside.

use std::time::Duration;

use crate::daemon::Daemon;

/// Returns the CPU time of all threads of the daemon, in nanoseconds of the scheduler; the ticks
/// of `/proc/PID/stat` are too coarse.
pub(crate) fn of(daemon: &Daemon) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.id())).expect("a process");
    let times = tasks.filter_map(|task| {
        // A thread may end in between.
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    let sum = times.sum();
    assert!(sum > 0, "this kernel does not count the time of threads");
    Duration::from_nanos(sum)
}

/// Returns the share of one of `count` parts, in microseconds.
pub(crate) fn micros_each(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / float(count)
}

/// Returns how many come in a second.
pub(crate) fn a_second(count: u64, time: Duration) -> f64 {
    float(count) / time.as_secs_f64()
}

/// Returns the seconds that so many parts take, if each takes so many microseconds.
pub(crate) fn seconds(micros: f64, count: u64) -> f64 {
    micros * float(count) / 1e6
}

/// Returns the count as a number to calculate with.
#[expect(
    clippy::cast_precision_loss,
    reason = "a count of a benchmark is small"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
