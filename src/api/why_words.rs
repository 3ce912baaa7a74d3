//! The numbers, times and messages of an explanation, as words.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{show_duration, until};

/// The longest reason or message in the paragraph, in characters; the fact has all of it.
pub(super) const TEXT_CHARS: usize = 300;

pub(super) fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

pub(super) fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

pub(super) fn time(at: Timestamp) -> String {
    format!("{at:.0}")
}

/// Returns the time between two instants in whole seconds.
pub(super) fn time_between(from: Timestamp, to: Timestamp) -> String {
    show_duration(Duration::from_secs(until(from, to).as_secs()))
}

pub(super) fn seconds(seconds: f64) -> String {
    let rounded = Duration::try_from_secs_f64(seconds.round());
    show_duration(rounded.unwrap_or_default())
}

/// Returns a rate without a fraction where it has none.
pub(super) fn rate(rate: f64) -> String {
    let text = format!("{rate:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Returns a message that fits into the paragraph: one line, and no full stop at its end.
pub(super) fn cut(message: &str) -> String {
    let one_line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = one_line.trim_end_matches('.');
    if shown.chars().count() <= TEXT_CHARS {
        return shown.to_owned();
    }
    let beginning: String = shown.chars().take(TEXT_CHARS).collect();
    format!("{beginning}…")
}
