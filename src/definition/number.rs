//! Decimal numbers of any size, compared by value. A float would lose the last of 20 digits.

use std::cmp::Ordering;

/// The longest text that is read as a number, in bytes.
const NUMBER_BYTES_MAX: usize = 400;

/// A decimal number: `0.DIGITS * 10^exponent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    is_negative: bool,
    /// The digits without zeros at either end; empty for zero.
    digits: String,
    exponent: i64,
}

impl Number {
    /// Reads a number as JSON writes it; a sign `+` and zeros in front are accepted too.
    pub(super) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > NUMBER_BYTES_MAX {
            return None;
        }
        let is_negative = text.starts_with('-');
        let text = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (mantissa, power) = match text.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, power.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        if whole.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let from_first = all.trim_start_matches('0');
        let zeros = i64::try_from(all.len() - from_first.len()).ok()?;
        let digits = from_first.trim_end_matches('0').to_owned();
        let exponent = i64::try_from(whole.len()).ok()? - zeros + i64::from(power);
        let is_zero = digits.is_empty();
        Some(Self {
            is_negative: is_negative && !is_zero,
            exponent: if is_zero { 0 } else { exponent },
            digits,
        })
    }

    fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    fn compare_size(&self, other: &Self) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self
                .exponent
                .cmp(&other.exponent)
                .then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.compare_size(other),
            (true, true) => other.compare_size(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Number {
        Number::read(text).unwrap()
    }

    #[test]
    fn number_is_compared_by_value() {
        for (one, other, order) in [
            ("10", "9", Ordering::Greater),
            ("1.0", "1", Ordering::Equal),
            ("1e3", "1000", Ordering::Equal),
            ("-0", "0", Ordering::Equal),
            ("-2", "1", Ordering::Less),
            ("-2", "-10", Ordering::Greater),
            ("0.05", "0.1", Ordering::Less),
            ("007", "7", Ordering::Equal),
            (
                "12345678901234567891",
                "12345678901234567890",
                Ordering::Greater,
            ),
        ] {
            assert_eq!(number(one).cmp(&number(other)), order, "{one} {other}");
        }
        for text in ["", "-", "1.2.3", "x", "1e", ".", "0x10", "NaN", "1 2"] {
            assert_eq!(Number::read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn order_is_that_of_whole_numbers(one in any::<i128>(), other in any::<i128>()) {
            prop_assert_eq!(
                number(&one.to_string()).cmp(&number(&other.to_string())),
                one.cmp(&other)
            );
        }

        #[test]
        fn order_is_that_of_fractions(one in -1_000_000_i64..1_000_000, other in -1_000_000_i64..1_000_000) {
            let written = |n: i64| {
                let sign = if n < 0 { "-" } else { "" };
                format!("{sign}{}.{:03}", n.abs() / 1000, n.abs() % 1000)
            };
            prop_assert_eq!(number(&written(one)).cmp(&number(&written(other))), one.cmp(&other));
        }
    }
}
