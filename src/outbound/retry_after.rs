//! Reads the pause that a server asks for, from the headers of its answer.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;

use crate::clock::until;

/// The header of Azure services, in milliseconds. It is more exact, so it is read first.
const RETRY_AFTER_MS: &str = "retry-after-ms";

/// Reads `retry-after-ms`, or `Retry-After` as seconds or as an HTTP date (RFC 9110,
/// section 10.2.3). Returns `None` if it cannot be read, and zero for a date that has passed.
pub fn read(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(millis) = text(RETRY_AFTER_MS).and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(millis));
    }
    let retry_after = text(http::header::RETRY_AFTER.as_str())?;
    if let Ok(seconds) = retry_after.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(retry_after).ok()?;
    Some(until(now, Timestamp::try_from(date).ok()?))
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
        for nonsense in ["-5", "soon", "1.5", ""] {
            assert_eq!(retry_after("retry-after", nonsense), None, "{nonsense}");
        }
    }
}
