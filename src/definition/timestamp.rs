//! The forms of time that job APIs use.
//!
//! A time that cannot be read counts as absent, with a warning; it never hides a verdict.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::{Offset, TimeZone};
use serde_json::Value;

/// The units of a time since 1970, in nanoseconds. A number is of the first in which it is
/// before the year 5138; as milliseconds the same number is in 1973, and so on.
const UNITS: [i128; 4] = [1_000_000_000, 1_000_000, 1000, 1];
/// The least number that is not of the first unit.
const SECONDS_END: u128 = 100_000_000_000;
/// The factor from one unit to the next.
const UNIT_STEP: u128 = 1000;
/// Texts that some services write as long as there is no time.
const NO_TIME: [&str; 3] = ["N/A", "TIME_NA", "-"];
/// The beginning of the year 1: the time without a value in Go and .NET.
const ZERO_TIME: Timestamp = Timestamp::constant(-62_135_596_800, 0);

/// Does the same as [`read_in`], where times without a zone are in UTC.
///
/// # Errors
/// Returns the text of a value that has none of these forms.
pub fn read(value: &Value) -> Result<Option<Timestamp>, String> {
    read_in(value, &TimeZone::UTC)
}

/// Reads a time: seconds, milli-, micro- or nanoseconds since 1970 (number or string),
/// RFC 3339, an offset without a colon, no zone (= `zone`), slashes between the parts of the
/// date, RFC 1123, the style of Go's `Time.String`, `/Date(…)/` of .NET, and
/// `dd-Mon-yyyy HH:MM:SS:mmm`.
///
/// Returns `None` for a value that stands for no time: 0, the year 1, `N/A`, `TIME_NA`, `-`.
///
/// # Errors
/// Returns the text of a value that has none of these forms.
pub fn read_in(value: &Value, zone: &TimeZone) -> Result<Option<Timestamp>, String> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return Err(value.to_string()),
    };
    let is_zero = text.parse() == Ok(0.0);
    if is_zero || NO_TIME.iter().any(|no| text.eq_ignore_ascii_case(no)) {
        return Ok(None);
    }
    match from_text(&text, zone) {
        Some(time) => Ok(Some(time).filter(|time| *time != ZERO_TIME)),
        None => Err(value.to_string()),
    }
}

/// Returns the zone of this name: one of the time zone database, such as `Europe/Berlin`, or
/// an offset such as `+02:00`. The database is part of the program.
///
/// # Errors
/// Returns the expected form.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    let of_offset = || offset_of(name).map(TimeZone::fixed);
    TimeZone::get(name).ok().or_else(of_offset).ok_or_else(|| {
        "a name of the time zone database, such as `Europe/Berlin`, or an offset such as `+02:00`"
            .to_owned()
    })
}

/// Reads an offset, such as `+02:00` or `-0530`.
fn offset_of(text: &str) -> Option<Offset> {
    let read = |format| strtime::parse(format, text).ok()?.offset();
    read("%z").or_else(|| read("%:z"))
}

fn from_text(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && let Some(time) = epoch(text)
    {
        return Some(time);
    }
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| without_zone(text, zone))
        .or_else(|| with_slashes(text, zone))
        .or_else(|| go_style(text))
        .or_else(|| day_month_name_year(text, zone))
        .or_else(|| of_dot_net(text))
        .or_else(|| rfc2822::DateTimeParser::new().parse_timestamp(text).ok())
}

/// Reads a number of seconds or of a smaller unit since 1970. It does not become a float,
/// which could not hold nanoseconds.
fn epoch(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let Ok(number) = whole.parse::<i128>() else {
        return epoch_of_float(text.parse().ok()?);
    };
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return epoch_of_float(text.parse().ok()?);
    }
    let mut end = SECONDS_END;
    let unit = UNITS.iter().find(|_| {
        let is_before = number.unsigned_abs() < end;
        end *= UNIT_STEP;
        is_before
    })?;
    let of_unit: i128 = format!("{fraction:0<9.9}").parse().ok()?;
    let sign = if text.starts_with('-') { -1 } else { 1 };
    // The fraction has nine digits, so it is in billionths of the unit.
    Timestamp::from_nanosecond(number * unit + sign * (of_unit * unit / UNITS[0])).ok()
}

/// Reads a number with an exponent, such as `1.684191545379e12`.
fn epoch_of_float(number: f64) -> Option<Timestamp> {
    if !number.is_finite() || number.abs() >= 1e38 {
        return None;
    }
    epoch(&format!("{number:.6}"))
}

fn without_zone(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    in_zone(text.parse().ok()?, zone)
}

fn in_zone(civil: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    Some(civil.to_zoned(zone.clone()).ok()?.timestamp())
}

/// Reads `2024/01/25 18:15:25`, with or without a zone.
fn with_slashes(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let (date, time) = text.split_at_checked("2024/01/25".len())?;
    if date.matches('/').count() != 2 || date.contains('-') {
        return None;
    }
    let text = date.replace('/', "-") + time;
    let with_zone = text.parse::<Timestamp>().ok();
    with_zone
        .or_else(|| without_zone(&text, zone))
        .or_else(|| go_style(&text))
}

/// Reads `2020-02-02 08:12:40.672772389 +0000 UTC`: date, time, offset, and the name of the
/// zone, which the offset makes superfluous. `UTC` or `GMT` alone is an offset too.
fn go_style(text: &str) -> Option<Timestamp> {
    let mut words = text.split_whitespace();
    let (date, time, offset) = (words.next()?, words.next()?, words.next()?);
    if words.count() > 1 {
        return None;
    }
    let offset = match offset {
        "UTC" | "GMT" => "Z",
        offset => offset,
    };
    format!("{date}T{time}{offset}").parse().ok()
}

/// Reads `04-Jun-2015 18:11:06:586`, with the name of the month.
fn day_month_name_year(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let (whole_seconds, millis) = text.rsplit_once(':')?;
    let text = format!("{whole_seconds}.{millis}");
    let civil = strtime::parse("%d-%b-%Y %H:%M:%S%.f", text).ok()?;
    in_zone(civil.to_datetime().ok()?, zone)
}

/// Reads `/Date(1706206525000)/` and `/Date(1706206525000+0100)/`: milliseconds since 1970.
/// The offset only says how to show the time.
fn of_dot_net(text: &str) -> Option<Timestamp> {
    let inside = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let millis = match inside.get(1..)?.find(['+', '-']) {
        Some(at) => {
            let (millis, offset) = inside.split_at(at + 1);
            offset_of(offset)?;
            millis
        }
        None => inside,
    };
    Timestamp::from_millisecond(millis.parse().ok()?).ok()
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
            (json!("2024/01/25 18:15:25"), "2024-01-25T18:15:25Z"),
            (json!("2024/01/25 18:15:25.25"), "2024-01-25T18:15:25.25Z"),
            (json!("2024/01/25 18:15:25 +0100"), "2024-01-25T17:15:25Z"),
            (json!("2024-01-25 18:15:25 UTC"), "2024-01-25T18:15:25Z"),
            (json!("/Date(1706206525000)/"), "2024-01-25T18:15:25Z"),
            (json!("/Date(1706206525000+0100)/"), "2024-01-25T18:15:25Z"),
            (json!("/Date(-1000-0500)/"), "1969-12-31T23:59:59Z"),
            (
                json!("Thu, 25 Jan 2024 18:15:25 GMT"),
                "2024-01-25T18:15:25Z",
            ),
            (
                json!("Thu, 25 Jan 2024 18:15:25 +0100"),
                "2024-01-25T17:15:25Z",
            ),
            (
                json!("2017-01-06T18:58:08.8793548Z"),
                "2017-01-06T18:58:08.8793548Z",
            ),
        ];
        for (value, expected) in table {
            let expected: Timestamp = expected.parse().unwrap();
            assert_eq!(read(&value), Ok(Some(expected)), "{value}");
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
            json!("2024/13/25 18:15:25"),
            json!("/Date(soon)/"),
            json!("/Date()/"),
            json!("--5"),
            json!("1706206525.12.3"),
            json!("170620652512345678901234567890"),
            json!(i128::MIN.to_string()),
            json!("Fri, 25 Jan 2024 18:15:25 GMT"),
        ] {
            assert_eq!(read(&value), Err(value.to_string()));
        }
    }

    #[test]
    fn unit_of_a_number_follows_from_its_size() {
        let instant = "2024-01-25T18:15:25.123456789Z";
        for (number, digits) in [
            (json!(1_706_206_525), 0),
            (json!(1_706_206_525.123), 3),
            (json!("1706206525.123456789"), 9),
            (json!(1_706_206_525_123_i64), 3),
            (json!(1_706_206_525_123.456), 6),
            (json!("1706206525123.456789"), 9),
            (json!(1_706_206_525_123_456_i64), 6),
            (json!("1706206525123456.789"), 9),
            (json!(1_706_206_525_123_456_789_i64), 9),
            (json!("1706206525123456789.7"), 9),
            (json!("1.706206525123e9"), 3),
        ] {
            let expected = format!("{:.*}", digits + 20, instant);
            let expected = expected.trim_end_matches(['.', 'Z']).to_owned() + "Z";
            let expected: Timestamp = expected.parse().unwrap();
            assert_eq!(read(&number), Ok(Some(expected)), "{number}");
        }
        assert_eq!(
            read(&json!(-1.5)),
            Ok(Some("1969-12-31T23:59:58.5Z".parse().unwrap()))
        );
    }

    #[test]
    fn time_without_a_zone_is_in_the_zone_of_the_definition() {
        let berlin = zone("Europe/Berlin").unwrap();
        for text in [
            "2024-07-25 18:15:25",
            "2024/07/25 18:15:25",
            "25-Jul-2024 18:15:25:000",
        ] {
            let expected = "2024-07-25T16:15:25Z".parse().unwrap();
            assert_eq!(read_in(&json!(text), &berlin), Ok(Some(expected)), "{text}");
        }
        let winter = read_in(&json!("2024-01-25T18:15:25"), &berlin);
        assert_eq!(winter, Ok(Some("2024-01-25T17:15:25Z".parse().unwrap())));
        // A zone in the text wins.
        for value in [
            json!("2024-01-25T18:15:25Z"),
            json!(1_706_206_525),
            json!("/Date(1706206525000+0100)/"),
            json!("Thu, 25 Jan 2024 18:15:25 GMT"),
        ] {
            let expected = "2024-01-25T18:15:25Z".parse().unwrap();
            assert_eq!(read_in(&value, &berlin), Ok(Some(expected)), "{value}");
        }
        let of_offset = read_in(&json!("2024-01-25 18:15:25"), &zone("-05:30").unwrap());
        assert_eq!(of_offset, Ok(Some("2024-01-25T23:45:25Z".parse().unwrap())));
        assert!(
            zone("Europe/Atlantis")
                .unwrap_err()
                .contains("Europe/Berlin")
        );
    }

    #[test]
    fn texts_for_no_time_are_absent() {
        for value in [
            json!("N/A"),
            json!("n/a"),
            json!("TIME_NA"),
            json!("-"),
            json!(" - "),
            json!(0),
            json!(0.0),
            json!("0"),
            json!("0.000"),
            json!("/Date(-62135596800000)/"),
            json!("0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(read(&value), Ok(None), "{value}");
        }
    }
}
