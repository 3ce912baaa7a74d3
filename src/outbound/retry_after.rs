//! Reads the pause that a server asks for, from the headers of its answer.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;

use crate::clock::until;

/// The header of Azure services, in milliseconds. It is more exact, so it is read first.
const RETRY_AFTER_MS: &str = "retry-after-ms";

/// The longest pause that is read. It is beyond every limit of a setting, and can be added to
/// every time.
pub const PAUSE_MAX: Duration = Duration::from_hours(100 * 366 * 24);
/// The digits of a fraction that count; the others only round up.
const FRACTION_DIGITS: usize = 9;
const BILLION: u128 = 1_000_000_000;

/// Reads `retry-after-ms`, or `Retry-After` as seconds or as an HTTP date (RFC 9110,
/// section 10.2.3). Returns `None` if it cannot be read, and zero for a date that has passed.
pub fn read(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let millis = text(RETRY_AFTER_MS).and_then(|text| pause(text, Duration::from_millis(1)));
    if millis.is_some() {
        return millis;
    }
    let retry_after = text(http::header::RETRY_AFTER.as_str())?;
    pause(retry_after, Duration::from_secs(1)).or_else(|| {
        let date = httpdate::parse_http_date(retry_after).ok()?;
        Some(until(now, Timestamp::try_from(date).ok()?))
    })
}

/// Reads a number of `unit`, such as `2.5`, rounded up to whole milliseconds and at most
/// [`PAUSE_MAX`]. Returns `None` if it has any character other than digits and one point.
pub fn pause(number: &str, unit: Duration) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if number.trim_matches('.').is_empty() || !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    // Of all digits: too many for a number is too large.
    let whole: u64 = match whole {
        "" => 0,
        digits => digits.parse().unwrap_or(u64::MAX),
    };
    let (counted, others) = fraction.split_at(fraction.len().min(FRACTION_DIGITS));
    let billionths: u128 = format!("{counted:0<FRACTION_DIGITS$}").parse().ok()?;
    let is_more = others.bytes().any(|digit| digit != b'0');
    let of_unit = u128::from(whole) * BILLION + billionths + u128::from(is_more);
    let millis = (of_unit * unit.as_millis()).div_ceil(BILLION);
    let millis = u64::try_from(millis).unwrap_or(u64::MAX);
    Some(Duration::from_millis(millis).min(PAUSE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry_after(name: &'static str, text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(name, text.parse().unwrap());
        read(&headers, "2026-11-22T10:00:00Z".parse().unwrap())
    }

    #[test]
    fn seconds_dates_and_milliseconds_are_read() {
        assert_eq!(
            retry_after("retry-after", "120"),
            Some(Duration::from_mins(2))
        );
        assert_eq!(
            retry_after("retry-after-ms", "250"),
            Some(Duration::from_millis(250))
        );
        for date in [
            "Sun, 22 Nov 2026 10:00:30 GMT",
            "Sunday, 22-Nov-26 10:00:30 GMT",
            "Sun Nov 22 10:00:30 2026",
        ] {
            assert_eq!(
                retry_after("retry-after", date),
                Some(Duration::from_secs(30)),
                "{date}"
            );
        }
    }

    #[test]
    fn a_past_date_is_zero_and_an_invalid_value_is_ignored() {
        assert_eq!(
            retry_after("retry-after", "Sun, 22 Nov 2020 10:00:30 GMT"),
            Some(Duration::ZERO)
        );
        for nonsense in ["-5", "+5", "soon", "1.5.2", "1,5", "1e3", "inf", ".", ""] {
            assert_eq!(retry_after("retry-after", nonsense), None, "{nonsense}");
            assert_eq!(retry_after("retry-after-ms", nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn fractions_round_up_to_whole_milliseconds() {
        for (text, millis) in [
            ("2.5", 2500),
            ("0.0001", 1),
            ("16.1", 16_100),
            ("1.0010000000000000000000001", 1002),
            ("3.", 3000),
            (".5", 500),
            ("0.0", 0),
        ] {
            let expected = Some(Duration::from_millis(millis));
            assert_eq!(retry_after("retry-after", text), expected, "{text}");
        }
        let in_millis = retry_after("retry-after-ms", "249.2");
        assert_eq!(in_millis, Some(Duration::from_millis(250)));
    }

    #[test]
    fn a_number_too_large_is_the_longest_pause() {
        for huge in ["99999999999", "18446744073709551615", &"9".repeat(400)] {
            assert_eq!(retry_after("retry-after", huge), Some(PAUSE_MAX), "{huge}");
        }
        let in_millis = retry_after("retry-after-ms", "99999999999999999999");
        assert_eq!(in_millis, Some(PAUSE_MAX));
    }
}
