//! A `retry_after` in another place than the header `Retry-After`: in a header that only this
//! service has, or in the message of an error.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::clock::until;
use crate::definition::timestamp;
use crate::outbound::retry_after::{PAUSE_MAX, pause};

/// The place of a `retry_after` in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryHint {
    /// In a header, as a number of this unit.
    Header {
        /// The name of the header that has the number.
        name: http::HeaderName,
        /// The unit of the number in the header.
        unit: Unit,
    },
    /// In the error message, as a number between two texts.
    Message {
        /// The text right before the number.
        before: String,
        /// The unit of the number in the message.
        unit: Unit,
        /// The text right after the number.
        after: String,
    },
}

/// The unit of a number that stands for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// The seconds from now on.
    #[default]
    Seconds,
    /// The minutes from now on.
    Minutes,
    /// The milliseconds from now on.
    Milliseconds,
    /// The time of the next allowed request, in seconds since 1970.
    Epoch,
}

impl RetryHint {
    /// Reads a pattern for messages, such as `time:{seconds} second`.
    ///
    /// # Errors
    /// The pattern has no placeholder for the number.
    pub fn in_message(pattern: &str) -> Result<Self, String> {
        for (placeholder, unit) in [
            ("{seconds}", Unit::Seconds),
            ("{minutes}", Unit::Minutes),
            ("{milliseconds}", Unit::Milliseconds),
        ] {
            if let Some((before, after)) = pattern.split_once(placeholder) {
                return Ok(Self::Message {
                    before: before.to_owned(),
                    unit,
                    after: after.to_owned(),
                });
            }
        }
        Err(format!(
            "\"{pattern}\" must contain {{seconds}}, {{minutes}} or {{milliseconds}} in the place of the number"
        ))
    }

    /// Returns the forms that the API gateway of Huawei Cloud and Open Telekom Cloud uses in its
    /// 429 answers: `policy ip over ratelimit,limit:5,time:5 second`.
    pub fn of_the_gateway() -> Vec<Self> {
        [("second", Unit::Seconds), ("minute", Unit::Minutes)]
            .into_iter()
            .map(|(word, unit)| Self::Message {
                before: ",time:".to_owned(),
                unit,
                after: format!(" {word}"),
            })
            .collect()
    }

    /// Returns the `retry_after`; `None` if the answer does not have it in this place.
    pub fn read(&self, headers: &HeaderMap, message: &str, now: Timestamp) -> Option<Duration> {
        match self {
            Self::Header { name, unit } => {
                let number = headers.get(name)?.to_str().ok()?;
                unit.wait(number.trim(), now)
            }
            Self::Message {
                before,
                unit,
                after,
            } => number_between(message, before, after).and_then(|number| unit.wait(number, now)),
        }
    }
}

fn number_between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.match_indices(before).find_map(|(at, _)| {
        let rest = &text[at + before.len()..];
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        (!number.is_empty() && tail.starts_with(after)).then_some(number)
    })
}

impl Unit {
    /// Returns the pause that `number` of this unit stands for, rounded up to whole
    /// milliseconds; `None` if it is not a number, or negative. A number that is too large is
    /// the longest pause.
    pub fn wait(self, number: &str, now: Timestamp) -> Option<Duration> {
        match self {
            Self::Seconds => any_pause(number, Duration::from_secs(1)),
            Self::Minutes => any_pause(number, Duration::from_mins(1)),
            Self::Milliseconds => any_pause(number, Duration::from_millis(1)),
            Self::Epoch => {
                let is_number = any_pause(number, Duration::from_secs(1)).is_some();
                let at = is_number.then(|| timestamp::read(&Value::from(number)))?;
                Some(match at {
                    Ok(at) => at.map_or(Duration::ZERO, |at| until(now, at)),
                    Err(_) => PAUSE_MAX,
                })
            }
        }
    }
}

/// Reads a number as [`pause`] does, and also one with an exponent, as JSON may write it.
fn any_pause(number: &str, unit: Duration) -> Option<Duration> {
    if !number.contains(['e', 'E']) {
        return pause(number, unit);
    }
    let number: f64 = number.parse().ok().filter(|number| *number >= 0.0)?;
    let pause = Duration::try_from_secs_f64(number * unit.as_secs_f64());
    Some(pause.unwrap_or(PAUSE_MAX).min(PAUSE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_with_an_exponent_is_read_and_clamped() {
        let read = |number| Unit::Seconds.wait(number, now());
        assert_eq!(read("1.5e1"), Some(Duration::from_secs(15)));
        for large in ["1e30", "1E+400"] {
            assert_eq!(read(large), Some(PAUSE_MAX), "{large}");
        }
        for nonsense in ["-1e3", "e", "1e", "0xe", "NaNe"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    #[test]
    fn window_of_the_gateway_is_read_from_its_message() {
        let read = |message: &str| {
            RetryHint::of_the_gateway()
                .iter()
                .find_map(|hint| hint.read(&HeaderMap::new(), message, now()))
        };
        let threshold = "The throttling threshold has been reached: policy ip over ratelimit";
        assert_eq!(
            read(&format!("{threshold},limit:5,time:5 second")),
            Some(Duration::from_secs(5))
        );
        assert_eq!(
            read(&format!("{threshold},limit:60,time:1 minute")),
            Some(Duration::from_mins(1))
        );
        assert_eq!(read("time: soon"), None);
    }

    #[test]
    fn header_of_the_service_is_read() {
        let mut headers = HeaderMap::new();
        headers.insert("x-reset", "1800000030".parse().unwrap());
        headers.insert("x-wait", "2.5".parse().unwrap());
        let hint = |name: &'static str, unit| RetryHint::Header {
            name: http::HeaderName::from_static(name),
            unit,
        };
        assert_eq!(
            hint("x-reset", Unit::Epoch).read(&headers, "", now()),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            hint("x-wait", Unit::Seconds).read(&headers, "", now()),
            Some(Duration::from_millis(2500))
        );
        assert_eq!(
            hint("x-none", Unit::Seconds).read(&headers, "", now()),
            None
        );
    }

    #[test]
    fn message_pattern_needs_a_placeholder_and_a_number() {
        assert!(RetryHint::in_message("try later").is_err());
        let hint = RetryHint::in_message("retry in {milliseconds}ms").unwrap();
        let read = |message: &str| hint.read(&HeaderMap::new(), message, now());
        assert_eq!(
            read("please retry in 250ms."),
            Some(Duration::from_millis(250))
        );
        assert_eq!(read("retry in ms"), None);
        assert_eq!(read("retry in 0.1ms"), Some(Duration::from_millis(1)));
        assert_eq!(
            read("retry in 99999999999999999999999999999999ms"),
            Some(PAUSE_MAX)
        );
    }

    #[test]
    fn every_unit_takes_fractions_and_numbers_of_any_size() {
        let huge = "9".repeat(400);
        for unit in [
            Unit::Seconds,
            Unit::Minutes,
            Unit::Milliseconds,
            Unit::Epoch,
        ] {
            assert_eq!(unit.wait(&huge, now()), Some(PAUSE_MAX), "{unit:?}");
            for nonsense in ["", "-1", "soon", "-1e3", "NaN", "."] {
                assert_eq!(unit.wait(nonsense, now()), None, "{unit:?} {nonsense}");
            }
        }
        let wait = |unit: Unit, number| unit.wait(number, now());
        assert_eq!(wait(Unit::Minutes, "0.5"), Some(Duration::from_secs(30)));
        assert_eq!(
            wait(Unit::Epoch, "1800000001.5"),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(wait(Unit::Epoch, "1700000000"), Some(Duration::ZERO));
        assert_eq!(wait(Unit::Epoch, "0"), Some(Duration::ZERO));
    }
}
