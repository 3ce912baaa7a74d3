//! Durations for people: the two largest units, such as `12m 3s`.

use std::time::Duration;

const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];

/// Writes a duration with its two largest units; the rest is left out.
pub(super) fn two_units(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let largest = UNITS.iter().position(|(unit, _)| seconds >= *unit);
    let Some(largest) = largest else {
        return "0s".to_owned();
    };
    let (unit, name) = UNITS[largest];
    let first = format!("{}{name}", seconds / unit);
    match UNITS.get(largest + 1) {
        Some((next, name)) if seconds % unit >= *next => {
            format!("{first} {}{name}", seconds % unit / next)
        }
        _ => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_largest_units_are_written() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (723, "12m 3s"),
            (3_600, "1h"),
            (3_659, "1h"),
            (7_500, "2h 5m"),
            (90_000, "1d 1h"),
            (8_640_000, "100d"),
        ] {
            assert_eq!(two_units(Duration::from_secs(seconds)), text);
        }
        assert_eq!(two_units(Duration::from_millis(900)), "0s");
    }
}
