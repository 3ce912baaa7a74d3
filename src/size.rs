//! Sizes of bodies, as settings and definitions write them: `4MiB`, or a bare number of bytes.

/// The units, with the number of bytes of each.
const UNITS: [(&str, u64); 6] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("B", 1),
];

/// Reads a size such as `64KiB`, `4 MiB`, `1.5MB` or `1048576`.
///
/// # Errors
/// Returns the expected form.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let expected = || {
        format!(
            "\"{text}\" must be a number of bytes, or a number with a unit (B, KiB, MiB, GiB, KB, MB), such as \"4MiB\""
        )
    };
    let text = text.trim();
    let unit_at = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = (text[..unit_at].trim(), &text[unit_at..]);
    let known = UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit));
    let bytes = match (known, unit.is_empty()) {
        (Some((_, bytes)), _) => *bytes,
        (None, true) => 1,
        (None, false) => return Err(expected()),
    };
    product(number, bytes).ok_or_else(expected)
}

/// Returns `number * bytes`, rounded down; `None` for anything but a plain decimal number.
fn product(number: &str, bytes: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_plain = |text: &str| {
        !text.is_empty() && text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit())
    };
    if !is_plain(whole) || !is_plain(fraction) {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let scaled = whole.parse::<u128>().ok()? * scale + fraction.parse::<u128>().ok()?;
    u64::try_from(scaled * u128::from(bytes) / scale).ok()
}

/// Writes a size as [`parse_size`] reads it, in the largest unit that divides it.
pub fn show_size(bytes: u64) -> String {
    let binary = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = binary
        .into_iter()
        .find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(
        || bytes.to_string(),
        |(name, unit)| format!("{}{name}", bytes / unit),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_is_shown_in_its_largest_unit() {
        for (bytes, shown) in [
            (1 << 20, "1MiB"),
            (1536, "1536"),
            (64 << 10, "64KiB"),
            (0, "0"),
        ] {
            assert_eq!(show_size(bytes), shown);
            assert_eq!(parse_size(shown), Ok(bytes));
        }
    }

    #[test]
    fn size_is_read_with_and_without_a_unit() {
        for (text, bytes) in [
            ("1048576", 1 << 20),
            ("4MiB", 4 << 20),
            ("4 mib", 4 << 20),
            ("64KiB", 64 << 10),
            ("1.5KiB", 1536),
            ("2GiB", 2 << 30),
            ("2MB", 2_000_000),
            ("3KB", 3000),
            ("7B", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn other_text_is_refused_with_the_units() {
        for text in [
            "",
            "MiB",
            "-1",
            "4M",
            "4 MiB s",
            "1e6",
            ".5MiB",
            "99999999999999999999",
        ] {
            let error = parse_size(text).unwrap_err();
            assert!(error.contains("with a unit"), "{text}: {error}");
        }
    }
}
