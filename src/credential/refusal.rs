//! Reads whether an answer refuses the secret that was sent. Pure.

use http::header::DATE;
use http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::credential::signing_gate::SignatureResult;

/// The API gateway's codes for a signature or token that it does not accept.
const REFUSED_CODES: [&str; 2] = ["APIGW.0301", "APIG.0301"];
/// The gateway's codes for a path that it does not know, with any credential.
const NO_ROUTE_CODES: [&str; 2] = ["APIGW.0101", "APIG.0101"];
/// The gateway's message for a locked key.
const LOCKED: &str = "access failed to reach the limit";

/// True if the secret itself was refused: a 401, or the 403 by which Identity and Access
/// Management refuses a token (`{"error":{"code":403,"message":"X-Auth-Token is invalid in
/// the request"}}`, vault-plugin-secrets-openstack issue 87). Any other 403 is about
/// rights, which a new token would not have either.
pub fn is_refused(http_status: StatusCode, body: &[u8]) -> bool {
    match http_status {
        StatusCode::UNAUTHORIZED => true,
        StatusCode::FORBIDDEN => says_bad_token(body),
        _ => false,
    }
}

fn says_bad_token(body: &[u8]) -> bool {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return false;
    };
    let error = &body["error"];
    let message = error["message"].as_str().unwrap_or_default();
    let message = message.to_ascii_lowercase();
    let is_bad = ["invalid", "expired"].iter().any(|it| message.contains(it));
    // Numeric codes are the identity service's own; a text is the code of another service.
    error["code"].is_number() && message.contains("token") && is_bad
}

/// Returns the result for the signature that an answer shows.
pub fn signature_result(http_status: StatusCode, body: &[u8]) -> SignatureResult {
    let text = String::from_utf8_lossy(body);
    let is_lost = http_status == StatusCode::NOT_FOUND
        && NO_ROUTE_CODES.iter().any(|code| text.contains(code));
    if is_lost
        || http_status.is_server_error()
        || http_status.is_redirection()
        || http_status == StatusCode::TOO_MANY_REQUESTS
    {
        // The gateway may not have checked the signature.
        return SignatureResult::Nothing;
    }
    if http_status != StatusCode::UNAUTHORIZED {
        return SignatureResult::Accepted;
    }
    if text.contains(LOCKED) {
        SignatureResult::Locked
    } else if REFUSED_CODES.iter().any(|code| text.contains(code)) || !text.contains("code") {
        SignatureResult::Refused
    } else {
        // The refusal comes from the service behind the gateway, so the gateway accepted
        // the signature.
        SignatureResult::Nothing
    }
}

/// Returns how far the clock of the service is ahead of ours, in seconds, by its `Date`.
pub fn clock_ahead_s(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let theirs = httpdate::parse_http_date(date).ok()?;
    let theirs = Timestamp::try_from(theirs).ok()?;
    Some(theirs.as_second() - now.as_second())
}

/// From this difference on signatures carry the service's time: beyond 15 minutes the
/// gateway refuses them.
const SKEW_CORRECTED_S: u64 = 300;

/// Returns the time to sign with for a service whose clock is this far ahead of ours.
pub fn time_to_sign(now: Timestamp, ahead_s: Option<i64>) -> Timestamp {
    let ahead_s = ahead_s.unwrap_or_default();
    if ahead_s.unsigned_abs() < SKEW_CORRECTED_S {
        return now;
    }
    now.saturating_add(SignedDuration::from_secs(ahead_s))
        .unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;
    const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;

    #[test]
    fn a_403_about_the_token_is_a_refused_token() {
        let recorded = include_bytes!("../../tests/it/credentials/iam/error_403_numeric_code.json");
        assert!(is_refused(FORBIDDEN, recorded));
        for about_rights in [
            r#"{"error":{"code":403,"message":"You are not authorized to perform the requested action"}}"#,
            r#"{"error":{"code":"SFS.TURBO.9000","message":"token invalid"}}"#,
            r#"{"error_code":"APIGW.0302","error_msg":"not authorised"}"#,
            "",
        ] {
            assert!(
                !is_refused(FORBIDDEN, about_rights.as_bytes()),
                "{about_rights}"
            );
        }
        assert!(is_refused(UNAUTHORIZED, b""));
        assert!(!is_refused(StatusCode::OK, recorded));
    }

    #[test]
    fn only_the_gateway_judges_signatures() {
        let gateway = |message: &str| {
            format!(r#"{{"error_msg":"{message}","error_code":"APIGW.0301","request_id":"1"}}"#)
        };
        for (status, body, wanted) in [
            (
                UNAUTHORIZED,
                gateway("verify aksk signature fail"),
                SignatureResult::Refused,
            ),
            (
                UNAUTHORIZED,
                gateway("AK access failed to reach the limit"),
                SignatureResult::Locked,
            ),
            (UNAUTHORIZED, String::new(), SignatureResult::Refused),
            (
                UNAUTHORIZED,
                r#"{"error":{"code":"111401004","message":"project mismatch"}}"#.to_owned(),
                SignatureResult::Nothing,
            ),
            (FORBIDDEN, gateway("no rights"), SignatureResult::Accepted),
            (StatusCode::OK, String::new(), SignatureResult::Accepted),
            (
                StatusCode::BAD_GATEWAY,
                String::new(),
                SignatureResult::Nothing,
            ),
            (StatusCode::FOUND, String::new(), SignatureResult::Nothing),
            (
                StatusCode::NOT_FOUND,
                r#"{"error_code":"APIGW.0101","error_msg":"no such API"}"#.to_owned(),
                SignatureResult::Nothing,
            ),
            (
                StatusCode::NOT_FOUND,
                r#"{"error_code":"DCS.4004","error_msg":"no such job"}"#.to_owned(),
                SignatureResult::Accepted,
            ),
        ] {
            assert_eq!(
                signature_result(status, body.as_bytes()),
                wanted,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn only_a_large_clock_offset_is_corrected() {
        let signed_s = |ahead_s| time_to_sign(Timestamp::UNIX_EPOCH, ahead_s).as_second();
        assert_eq!(signed_s(None), 0);
        assert_eq!(signed_s(Some(299)), 0);
        assert_eq!(signed_s(Some(-1200)), -1200);
    }

    #[test]
    fn the_date_header_gives_the_clock_offset() {
        let now = Timestamp::UNIX_EPOCH;
        let mut headers = HeaderMap::new();
        assert_eq!(clock_ahead_s(&headers, now), None);
        headers.insert(
            DATE,
            HeaderValue::from_static("Thu, 01 Jan 1970 00:20:00 GMT"),
        );
        assert_eq!(clock_ahead_s(&headers, now), Some(1200));
        headers.insert(DATE, HeaderValue::from_static("yesterday"));
        assert_eq!(clock_ahead_s(&headers, now), None);
    }
}
