//! A retry_after to wait that stands elsewhere than in `Retry-After`: in a header of the
//! service's own, or in the words of its error.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;

use crate::clock::until;
use crate::definition::timestamp;

/// Where a retry_after stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryHint {
    /// In a header, as a number of this unit.
    Header {
        /// The header's name.
        name: http::HeaderName,
        /// What its number counts.
        unit: Unit,
    },
    /// In the error message: what stands before the number, its unit, what stands after.
    Message {
        /// The text right before the number.
        before: String,
        /// What the number counts.
        unit: Unit,
        /// The text right after it.
        after: String,
    },
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds to wait.
    Seconds,
    /// Minutes to wait.
    Minutes,
    /// Milliseconds to wait.
    Milliseconds,
    /// Seconds since 1970: when to ask again.
    Epoch,
}

impl RetryHint {
    /// Reads a message pattern: `time:{seconds} second`.
    ///
    /// # Errors
    /// It has no placeholder for the number.
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
            "\"{pattern}\" has none of {{seconds}}, {{minutes}}, {{milliseconds}} where the number stands"
        ))
    }

    /// What the API gateway of Huawei Cloud and Open Telekom Cloud writes into its 429s:
    /// `policy ip over ratelimit,limit:5,time:5 second`.
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

    /// The retry_after, if it stands there.
    pub fn read(&self, headers: &HeaderMap, message: &str, now: Timestamp) -> Option<Duration> {
        match self {
            Self::Header { name, unit } => {
                let number = headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
                unit.wait(number, now)
            }
            Self::Message {
                before,
                unit,
                after,
            } => number_between(message, before, after).and_then(|number| unit.wait(number, now)),
        }
    }
}

fn number_between(text: &str, before: &str, after: &str) -> Option<f64> {
    text.match_indices(before).find_map(|(at, _)| {
        let rest = &text[at + before.len()..];
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        tail.starts_with(after).then(|| number.parse().ok())?
    })
}

impl Unit {
    fn wait(self, number: f64, now: Timestamp) -> Option<Duration> {
        let seconds = match self {
            Self::Seconds => number,
            Self::Minutes => number * 60.0,
            Self::Milliseconds => number / 1000.0,
            Self::Epoch => {
                let at = timestamp::read(&serde_json::Value::from(number)).ok()?;
                return Some(until(now, at));
            }
        };
        Duration::try_from_secs_f64(seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    #[test]
    fn the_gateways_window_is_read_from_its_words() {
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
    fn headers_of_the_services_own_are_read() {
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
    fn a_message_pattern_needs_a_number_and_nonsense_is_no_wish() {
        assert!(RetryHint::in_message("try later").is_err());
        let hint = RetryHint::in_message("retry in {milliseconds}ms").unwrap();
        let read = |message: &str| hint.read(&HeaderMap::new(), message, now());
        assert_eq!(
            read("please retry in 250ms."),
            Some(Duration::from_millis(250))
        );
        assert_eq!(read("retry in ms"), None);
        assert_eq!(read("retry in 99999999999999999999999999999999ms"), None);
    }
}
