//! The only source of time and randomness.
//!
//! Every decision takes `now` as an argument (invariant 11). There are two readings, and one
//! cannot replace the other: *wall time*, which may jump when a clock is set, for deadlines
//! and for people; and *uptime*, which never goes back, for intervals. A clock that is set back
//! by an hour must not postpone polls by an hour.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// The longest duration that a setting may have.
const DURATION_MAX: Duration = Duration::from_hours(24 * 365);

/// A source of time, for the code that hands `now` to decisions.
pub trait Clock: Send + Sync + 'static {
    /// Returns the wall time in UTC.
    fn now(&self) -> Timestamp;
    /// Returns the time since this clock was made; it never goes back.
    fn uptime(&self) -> Duration;

    /// Reads wall time and uptime together.
    fn moment(&self) -> Moment {
        Moment {
            at: self.now(),
            uptime: self.uptime(),
        }
    }
}

/// One reading of a clock. People and deadlines go by the wall time; a length of time within one
/// process is measured by the uptime, which cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall time in UTC.
    pub at: Timestamp,
    /// The time since the clock was made.
    pub uptime: Duration,
}

/// The clock that all parts of one process share.
pub type SharedClock = Arc<dyn Clock>;

/// The clock of the machine.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Returns a clock whose uptime starts now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the machine's clock"
    )]
    pub fn shared() -> SharedClock {
        Arc::new(Self {
            started: Instant::now(),
        })
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the machine's clock"
    )]
    fn now(&self) -> Timestamp {
        // Whole milliseconds, as in events: the acknowledged, the stored and the sent time are
        // then equal to the last digit.
        Timestamp::from_millisecond(Timestamp::now().as_millisecond())
            .expect("a timestamp without its fraction is a timestamp")
    }

    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that stands still until a test or a simulation steps it.
#[derive(Debug, Clone)]
pub struct SteppedClock {
    reading: Arc<Mutex<(Timestamp, Duration)>>,
}

impl SteppedClock {
    /// Returns a clock that stands at `start`, with an uptime of zero.
    pub fn at(start: Timestamp) -> Self {
        Self {
            reading: Arc::new(Mutex::new((start, Duration::ZERO))),
        }
    }

    /// Moves wall time and uptime forward together.
    pub fn advance(&self, by: Duration) {
        let mut reading = self.reading.lock();
        reading.0 = later(reading.0, by);
        reading.1 += by;
    }

    /// Sets wall time alone, as an NTP step or an operator does.
    pub fn set_wall(&self, to: Timestamp) {
        self.reading.lock().0 = to;
    }
}

impl Clock for SteppedClock {
    fn now(&self) -> Timestamp {
        self.reading.lock().0
    }

    fn uptime(&self) -> Duration {
        self.reading.lock().1
    }
}

/// Returns `at + by`, at most the largest timestamp.
pub fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| at.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}

/// Returns `at - by`, at least the smallest timestamp.
pub fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| at.checked_sub(by).ok())
        .unwrap_or(Timestamp::MIN)
}

/// Returns the time from `from` to `to`; zero when `to` is not later.
pub fn until(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// Reads a duration as it is written in a configuration: `500ms`, `30s`, `1h 30m`, `2d`, `1w`. A
/// day has 24 hours.
///
/// # Errors
/// Returns the expected form, if `text` has no unit, is not a duration, or is negative.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let signed = text.parse().or_else(|_| with_days(text)).map_err(|_| {
        "a number with a unit, such as `500ms`, `30s`, `5m`, `24h` or `7d`".to_owned()
    })?;
    Duration::try_from(signed).map_err(|_| "a duration that is not negative".to_owned())
}

fn with_days(text: &str) -> Result<SignedDuration, jiff::Error> {
    let span: Span = text.parse()?;
    span.to_duration(SpanRelativeTo::days_are_24_hours())
}

/// Reads a duration as [`parse_duration`] does, of at least `least` and at most a year.
///
/// # Errors
/// Says what is wrong with `text`, after its own words: `"0s" must be at least 1ms`.
pub fn parse_duration_from(least: Duration, text: &str) -> Result<Duration, String> {
    let allowed = match parse_duration(text) {
        Ok(duration) if duration > DURATION_MAX => "at most 365 days".to_owned(),
        Ok(duration) if duration >= least => return Ok(duration),
        Ok(_) => format!("at least {}", show_duration(least)),
        Err(allowed) => allowed,
    };
    Err(format!("\"{text}\" must be {allowed}"))
}

/// Writes a duration as [`parse_duration`] reads it.
pub fn show_duration(duration: Duration) -> String {
    SignedDuration::try_from(duration).map_or_else(|_| "for ever".to_owned(), |d| format!("{d:#}"))
}

/// Returns a generator that the machine seeds; only the code that wires the program uses it.
pub fn machine_seeded_rng() -> StdRng {
    rand::make_rng()
}

/// Returns a generator with a known seed: the same seed gives the same schedule.
pub fn seeded_rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_up_to_weeks() {
        for (text, seconds) in [
            ("500ms", 0.5),
            ("1h 30m", 5400.0),
            ("1.5h", 5400.0),
            ("1d", 86_400.0),
            ("2d 12h", 216_000.0),
            ("1w", 604_800.0),
            ("PT1H", 3600.0),
        ] {
            let read = parse_duration(text).map(|it| it.as_secs_f64());
            assert_eq!(read, Ok(seconds), "{text}");
        }
        for wrong in ["", "1", "1 day ago", "1mo", "1y", "soon", "-1d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
        let day = Duration::from_hours(24);
        assert_eq!(parse_duration(&show_duration(day)), Ok(day));
    }
}
