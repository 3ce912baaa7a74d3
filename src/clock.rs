//! The only place where time and randomness enter.
//!
//! Everything that decides takes `now` as an argument (invariant 11). Two readings are
//! needed and they are not interchangeable: *wall time* for deadlines and what people
//! read, which may jump when a clock is set; and *uptime*, which never goes back, for
//! intervals. A clock set back by an hour must not postpone polls by an hour.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// The longest duration that a setting may have.
const DURATION_MAX: Duration = Duration::from_hours(24 * 365);

/// Where the shell of the program reads the time.
pub trait Clock: Send + Sync + 'static {
    /// Wall time, UTC.
    fn now(&self) -> Timestamp;
    /// Time since this clock was made; never goes back.
    fn uptime(&self) -> Duration;
}

/// A clock shared by everything in one process.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's own clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose uptime starts now.
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
        // Whole milliseconds, as events tell them: what is acknowledged, stored and told
        // is then the same instant to the last digit.
        Timestamp::from_millisecond(Timestamp::now().as_millisecond())
            .expect("a timestamp without its fraction is a timestamp")
    }

    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that stands still until it is stepped: tests and simulations advance it by hand.
#[derive(Debug, Clone)]
pub struct SteppedClock {
    reading: Arc<Mutex<(Timestamp, Duration)>>,
}

impl SteppedClock {
    /// A clock standing at `start`, with no uptime.
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

/// `at + by`, at most the end of time.
pub fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| at.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}

/// The time from `from` to `to`; zero when `to` is not later.
pub fn until(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// Reads a duration as people write it in a configuration: `500ms`, `30s`, `1h 30m`.
///
/// # Errors
/// Says what is wrong with `text`: no unit, not a duration, negative.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let signed: SignedDuration = text
        .parse()
        .map_err(|_| "a number with a unit, such as `500ms`, `30s`, `5m` or `24h`".to_owned())?;
    Duration::try_from(signed).map_err(|_| "a duration that is not negative".to_owned())
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

/// A generator seeded by the machine, for the one caller that wires the program together.
pub fn machine_seeded_rng() -> StdRng {
    rand::make_rng()
}

/// A generator with a known seed: the same seed gives the same schedule.
pub fn seeded_rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}
