//! Placeholders in cases: `{STUB}`, `{T-2h}`, `{PAD 1000}` and others.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};

/// Fills the placeholders of one case.
pub(super) struct Filler {
    /// The time at which the case began.
    began: Timestamp,
    stub: String,
    other: String,
    folder: String,
}

impl Filler {
    pub(super) fn new(began: Timestamp, stub: &str, other: &str, folder: &Path) -> Self {
        Self {
            began,
            stub: stub.to_owned(),
            other: other.to_owned(),
            folder: folder.display().to_string(),
        }
    }

    /// Fills each placeholder; braces around anything else stay as they are.
    pub(super) fn fill(&self, text: &str) -> String {
        replace(text, |name| self.value(name))
    }

    fn value(&self, name: &str) -> Option<String> {
        match name {
            "STUB" => return Some(self.stub.clone()),
            "OTHER" => return Some(self.other.clone()),
            "DIR" => return Some(self.folder.clone()),
            _ => {}
        }
        if let Some(length) = name.strip_prefix("PAD ") {
            return Some("x".repeat(length.parse().ok()?));
        }
        if let Some(shift) = name.strip_prefix("DATE") {
            return Some(http_date(self.moved(shift)?));
        }
        if let Some(shift) = name.strip_prefix("EPOCH") {
            return Some(self.moved(shift)?.as_second().to_string());
        }
        let at = self.moved(name.strip_prefix('T')?)?;
        Some(format!("{at:.3}"))
    }

    /// The time that lies `shift`, such as `+3s` or `-2h`, beside the beginning of the case.
    fn moved(&self, shift: &str) -> Option<Timestamp> {
        if shift.is_empty() {
            return Some(self.began);
        }
        let unit = match shift.chars().last()? {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        if !shift.starts_with(['+', '-']) {
            return None;
        }
        let count: i64 = shift[..shift.len() - 1].parse().ok()?;
        let by = SignedDuration::from_secs(count * unit);
        self.began.checked_add(by).ok()
    }
}

fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Puts a value in the place of each `{NAME}` that has one.
pub(super) fn replace(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest[1..].find(['{', '}']).map(|end| end + 1);
        let named = end
            .filter(|end| rest[*end..].starts_with('}'))
            .and_then(|end| Some((end, value(&rest[1..end])?)));
        if let Some((end, value)) = named {
            filled.push_str(&value);
            rest = &rest[end + 1..];
        } else {
            filled.push('{');
            rest = &rest[1..];
        }
    }
    filled.push_str(rest);
    filled
}
