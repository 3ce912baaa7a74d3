//! The time in which a daemon does not answer: pauses between tries, and when to say so.
//!
//! A restart of the daemon must cost its clients nothing, so the first seconds are quiet.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use serde::de::DeserializeOwned;

use crate::cli::Exit;
use crate::cli::client::{Call, Client};
use crate::cli::complaint::note;
use crate::clock;
use crate::clock::SystemClock;

const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The longest pause that a daemon may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);
/// An outage that is shorter is not worth a note.
const QUIET: Duration = Duration::from_secs(3);

/// How long a daemon that does not answer may take to start.
const START_MAX: Duration = Duration::from_millis(1500);

/// An outage, or the absence of one.
pub(super) struct Outage {
    rng: StdRng,
    tries: u32,
    /// The uptime of the first failed try.
    began: Option<Duration>,
    is_noted: bool,
}

impl Outage {
    pub(super) fn none() -> Self {
        Self {
            rng: clock::machine_seeded_rng(),
            tries: 0,
            began: None,
            is_noted: false,
        }
    }

    /// Counts a try that failed at this uptime; returns the pause before the next.
    pub(super) fn failed(&mut self, uptime: Duration, retry_after: Option<Duration>) -> Duration {
        self.began.get_or_insert(uptime);
        let doubled = PAUSE_FIRST.saturating_mul(1 << self.tries.min(10));
        self.tries += 1;
        let longest = doubled.min(PAUSE_MAX);
        // Spread, so that the clients of one daemon do not all come back in the same moment.
        let pause = longest.mul_f64(self.rng.random_range(0.5..1.0));
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        pause.max(asked)
    }

    /// True once for each outage, when it has lasted so long that the user should know.
    pub(super) fn is_noteworthy(&mut self, uptime: Duration) -> bool {
        let is_long = self.lasts(uptime) >= QUIET;
        let is_first = is_long && !self.is_noted;
        self.is_noted |= is_long;
        is_first
    }

    /// Returns how long the outage lasts.
    pub(super) fn lasts(&self, uptime: Duration) -> Duration {
        self.began
            .map_or(Duration::ZERO, |began| uptime.saturating_sub(began))
    }

    /// Ends the outage; true if the user knows of it.
    pub(super) fn end(&mut self) -> bool {
        let was_noted = self.is_noted;
        self.tries = 0;
        self.began = None;
        self.is_noted = false;
        was_noted
    }
}

/// How long a daemon that does not answer is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// For a moment: it may be just starting, or be absent.
    Start,
    /// Until it answers: it did so before, and a restart must cost a wait nothing.
    Wait,
}

impl Patience {
    fn is_over(self, outage: Duration) -> bool {
        self == Self::Start && outage > START_MAX
    }
}

/// Asks for the first time. A daemon that is just starting gets a moment.
pub(super) async fn ask_at_start<T: DeserializeOwned>(
    client: &Client,
    path: &str,
) -> Result<T, Exit> {
    ask(client, path, Patience::Start).await
}

/// Asks, with this patience if the daemon does not answer.
pub(super) async fn ask<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    patience: Patience,
) -> Result<T, Exit> {
    let clock = SystemClock::shared();
    let mut outage = Outage::none();
    loop {
        let error = match client.try_ask(Call::get(path)).await {
            Ok(answer) => return Ok(answer.body),
            Err(error) => error,
        };
        let uptime = clock.uptime();
        let pause = outage.failed(uptime, error.retry_after());
        if !error.is_transient() || patience.is_over(outage.lasts(uptime)) {
            return Err(error.complain());
        }
        if outage.is_noteworthy(uptime) {
            note(&format!(
                "the wait goes on once the daemon answers: {error}"
            ));
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_respect_the_daemon() {
        let mut outage = Outage::none();
        let second = Duration::from_secs(1);
        let pauses: Vec<Duration> = (0..12).map(|_| outage.failed(second, None)).collect();
        assert!(pauses[0] <= PAUSE_FIRST && pauses[0] >= PAUSE_FIRST / 2);
        assert!(pauses[11] <= PAUSE_MAX && pauses[11] >= PAUSE_MAX / 2);
        let asked = Duration::from_secs(7);
        assert_eq!(outage.failed(second, Some(asked)), asked);
        let for_ever = Some(Duration::from_mins(15));
        assert_eq!(outage.failed(second, for_ever), RETRY_AFTER_MAX);
    }

    #[test]
    fn only_a_long_outage_is_noted_and_only_once() {
        let mut outage = Outage::none();
        let at = Duration::from_secs;
        outage.failed(at(10), None);
        assert!(!outage.is_noteworthy(at(12)));
        assert!(!outage.end());
        outage.failed(at(20), None);
        assert!(outage.is_noteworthy(at(23)));
        assert!(!outage.is_noteworthy(at(24)));
        assert!(outage.end());
        assert!(!outage.is_noteworthy(at(99)));
    }
}
