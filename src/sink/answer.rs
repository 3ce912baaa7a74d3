//! The part of a receiver's answer that is kept: its beginning, safe to print.

use crate::outbound::redaction::Redaction;
use crate::sink::ANSWER_BYTES_MAX;

/// Returns the beginning of `bytes` as text, at most [`ANSWER_BYTES_MAX`] long. It contains
/// neither our secrets nor control characters, which a terminal would obey. Bytes that are not
/// UTF-8 are replaced. `None` for an empty answer.
pub fn beginning(bytes: &[u8], redaction: &Redaction) -> Option<String> {
    let text = redaction.text(&String::from_utf8_lossy(bytes));
    let plain: String = text
        .chars()
        .map(|each| if each.is_control() { ' ' } else { each })
        .collect();
    let plain = plain.trim();
    let cut = plain.floor_char_boundary(ANSWER_BYTES_MAX);
    let kept = plain[..cut].trim_end();
    (!kept.is_empty()).then(|| kept.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_cut_between_characters_without_controls() {
        let none = Redaction::default();
        let shown = |bytes: &[u8]| beginning(bytes, &none);
        assert_eq!(shown(b"\x1b[31mno\r\n\0"), Some("[31mno".to_owned()));
        assert_eq!(shown(b" \r\n"), None);
        assert_eq!(shown(b"caf\xe9"), Some("caf\u{fffd}".to_owned()));
        let long = "\u{20ac}".repeat(1000);
        let kept = shown(long.as_bytes()).unwrap();
        assert_eq!(kept.len(), 510);
        assert!(long.starts_with(&kept));
    }

    #[test]
    fn a_secret_at_the_limit_is_redacted_before_the_cut() {
        let secret = "canary-canary-canary";
        let text = format!("{}{secret}", "x".repeat(ANSWER_BYTES_MAX - 5));
        let kept = beginning(text.as_bytes(), &Redaction::of([secret])).unwrap();
        assert!(!kept.contains("canar"), "{kept}");
    }
}
