//! A `retry_after` in another place than the header `Retry-After`: in a header that only this
//! service has, or in the message of an error.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;

use crate::clock::until;
use crate::definition::timestamp;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// The seconds from now on.
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
        assert_eq!(read("retry in 99999999999999999999999999999999ms"), None);
    }
}
