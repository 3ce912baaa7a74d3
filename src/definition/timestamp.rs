//! The forms of time that job APIs use.
//!
//! A time that cannot be read counts as absent, with a warning; it never hides a verdict.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

/// The least number that is read as milliseconds; smaller ones are seconds. 10^11 seconds is
/// the year 5138, 10^11 milliseconds is March 1973.
const MILLISECONDS_FROM: f64 = 1e11;

/// Reads a time: seconds or milliseconds since 1970 (number or string), RFC 3339, an offset
/// without a colon, no zone (= UTC), the style of Go's `Time.String`, and
/// `dd-Mon-yyyy HH:MM:SS:mmm`.
///
/// # Errors
/// Returns the text of a value that has none of these forms.
pub fn read(value: &Value) -> Result<Timestamp, String> {
    let read = match value {
        Value::Number(number) => number.as_f64().and_then(epoch),
        Value::String(text) => from_text(text.trim()),
        _ => None,
    };
    read.ok_or_else(|| value.to_string())
}

fn from_text(text: &str) -> Option<Timestamp> {
    if let Ok(number) = text.parse::<f64>() {
        return epoch(number);
    }
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| without_zone(text))
        .or_else(|| go_style(text))
        .or_else(|| day_month_name_year(text))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "checked against the range of a timestamp"
)]
fn epoch(number: f64) -> Option<Timestamp> {
    if !number.is_finite() {
        return None;
    }
    let millis = if number.abs() < MILLISECONDS_FROM {
        number * 1000.0
    } else {
        number
    };
    Timestamp::from_millisecond(millis.round() as i64).ok()
}

fn without_zone(text: &str) -> Option<Timestamp> {
    let civil: DateTime = text.parse().ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Reads `2020-02-02 08:12:40.672772389 +0000 UTC`: date, time, offset, and the name of the
/// zone, which the offset makes superfluous.
fn go_style(text: &str) -> Option<Timestamp> {
    let mut words = text.split_whitespace();
    let (date, time, offset) = (words.next()?, words.next()?, words.next()?);
    if words.count() > 1 {
        return None;
    }
    format!("{date}T{time}{offset}").parse().ok()
}

/// Reads `04-Jun-2015 18:11:06:586`, which is UTC.
fn day_month_name_year(text: &str) -> Option<Timestamp> {
    let (whole_seconds, millis) = text.rsplit_once(':')?;
    let civil =
        jiff::fmt::strtime::parse("%d-%b-%Y %H:%M:%S%.f", format!("{whole_seconds}.{millis}"))
            .ok()?
            .to_datetime()
            .ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_documented_form_of_time_is_read() {
        let table = [
            (json!("1684191545379"), "2023-05-15T22:59:05.379Z"),
            (json!(1_684_191_545_379_i64), "2023-05-15T22:59:05.379Z"),
            (json!(1_684_191_545), "2023-05-15T22:59:05Z"),
            (json!(1_684_191_545.379), "2023-05-15T22:59:05.379Z"),
            (json!("2023-07-26 09:33:58"), "2023-07-26T09:33:58Z"),
            (
                json!("2018-04-19T01:55:30.443Z"),
                "2018-04-19T01:55:30.443Z",
            ),
            (
                json!("2019-05-23T14:35:23.584418"),
                "2019-05-23T14:35:23.584418Z",
            ),
            (json!("2018-08-06T18:01:46+0000"), "2018-08-06T18:01:46Z"),
            (json!("2018-08-06T18:01:46+0800"), "2018-08-06T10:01:46Z"),
            (
                json!("2020-02-02 08:12:40.672772389 +0000 UTC"),
                "2020-02-02T08:12:40.672772389Z",
            ),
            (
                json!("04-Jun-2015 18:11:06:586"),
                "2015-06-04T18:11:06.586Z",
            ),
            (
                json!("2017-01-06T18:58:08.8793548Z"),
                "2017-01-06T18:58:08.8793548Z",
            ),
        ];
        for (value, expected) in table {
            let expected: Timestamp = expected.parse().unwrap();
            assert_eq!(read(&value), Ok(expected), "{value}");
        }
    }

    #[test]
    fn invalid_time_is_returned_as_text() {
        for value in [
            json!("soon"),
            json!("2023-13-01 00:00:00"),
            json!(1e300),
            json!("NaN"),
            json!({"seconds": 1}),
            json!(true),
        ] {
            assert_eq!(read(&value), Err(value.to_string()));
        }
    }
}
