//! The texts by which people and programs name a watch.

use uuid::Uuid;

use crate::watch::request::is_job_id;
use crate::watch::{JOB_ID_BYTES_MAX, WatchId};

/// The shortest prefix of an id, in hexadecimal digits.
pub const PREFIX_DIGITS_MIN: usize = 6;
/// The digits of a whole id.
const DIGITS: usize = 32;
/// The numbers of digits after which an id has a dash.
const DASH_AFTER: [usize; 4] = [8, 12, 16, 20];

/// The watches that a text may name. A text with several readings means all of them: many
/// services give job ids that look like the id of a watch, or like the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// The whole id of a watch.
    Id(WatchId),
    /// The beginning of an id: each id from `low` to `high`.
    Prefix {
        /// The first id with this prefix.
        low: Uuid,
        /// The last id with this prefix.
        high: Uuid,
        /// The prefix as it was written.
        text: String,
    },
    /// The id of a job, of one service or of any.
    Job {
        /// The name of the service in the configuration.
        service: Option<String>,
        /// The id that the service gave to the job.
        job_id: String,
    },
    /// A text with several readings. A whole id counts before all others.
    Either(Vec<Reference>),
}

impl Reference {
    /// Reads a text: a whole id, at least six digits of its beginning, `SERVICE/JOB_ID`, or a job id.
    ///
    /// # Errors
    /// Says why the text cannot name a watch.
    pub fn parse(text: &str) -> Result<Self, String> {
        check(text)?;
        let mut readings = Vec::new();
        readings.extend(id_of(text));
        if let Some((service, job_id)) = text.split_once('/')
            && !service.is_empty()
            && is_job_id(job_id)
        {
            readings.push(Self::Job {
                service: Some(service.to_owned()),
                job_id: job_id.to_owned(),
            });
        }
        if is_job_id(text) {
            readings.push(Self::Job {
                service: None,
                job_id: text.to_owned(),
            });
        }
        match readings.len() {
            0 => Err(format!(
                "`{text}` is neither the id of a watch nor of a job"
            )),
            1 => Ok(readings.remove(0)),
            _ => Ok(Self::Either(readings)),
        }
    }

    /// Returns the readings, those of a whole id first.
    pub fn readings(&self) -> Vec<&Self> {
        let mut readings = match self {
            Self::Either(readings) => readings.iter().flat_map(Self::readings).collect(),
            one => vec![one],
        };
        readings.sort_by_key(|reading| !matches!(reading, Self::Id(_)));
        readings
    }
}

fn check(text: &str) -> Result<(), String> {
    let bare = text.trim();
    if bare.is_empty() {
        return Err("the reference to a watch is empty; give its id, the first 6 characters of it or more, SERVICE/JOB_ID, or a job id".to_owned());
    }
    if bare.len() < text.len() {
        return Err(format!(
            "`{text}` has blanks around it; write it as `{bare}`"
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(format!(
            "`{}` must not hold control characters",
            text.escape_debug()
        ));
    }
    if text.len() > 2 * JOB_ID_BYTES_MAX {
        return Err(format!(
            "the reference to a watch has {} bytes; a job id has at most {JOB_ID_BYTES_MAX}",
            text.len()
        ));
    }
    Ok(())
}

/// Reads a text as the id of a watch, or as its beginning.
fn id_of(text: &str) -> Option<Reference> {
    let digits = digits_of(text)?;
    let low = u128::from_str_radix(&digits, 16).ok()?;
    let missing = 4 * DIGITS.checked_sub(digits.len())?;
    if missing == 0 {
        return Some(Reference::Id(WatchId(Uuid::from_u128(low))));
    }
    let low = low << missing;
    (digits.len() >= PREFIX_DIGITS_MIN).then(|| Reference::Prefix {
        low: Uuid::from_u128(low),
        high: Uuid::from_u128(low | ((1 << missing) - 1)),
        text: text.to_owned(),
    })
}

/// Returns the hexadecimal digits of a text that has all dashes of an id, or none.
fn digits_of(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let with_dashes = |digits: &str| {
        let mut written = String::new();
        for (n, digit) in digits.chars().enumerate() {
            if DASH_AFTER.contains(&n) {
                written.push('-');
            }
            written.push(digit);
        }
        written
    };
    let is_plain = digits.len() == text.len();
    let is_digits = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit());
    // A prefix may end with the dash that comes next.
    let bare = text.strip_suffix('-').unwrap_or(text);
    let is_dash_due = bare.len() == text.len() || DASH_AFTER.contains(&digits.len());
    (is_digits && (is_plain || (bare == with_dashes(&digits) && is_dash_due))).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "019ac0de-1234-7abc-8def-0123456789ab";

    fn job(job_id: &str) -> Reference {
        Reference::Job {
            service: None,
            job_id: job_id.to_owned(),
        }
    }

    fn prefix(text: &str, low: &str, high: &str) -> Reference {
        Reference::Prefix {
            low: low.parse().unwrap(),
            high: high.parse().unwrap(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_whole_id_is_read_with_and_without_dashes() {
        let id = Reference::Id(ID.parse().unwrap());
        for text in [ID.to_owned(), ID.replace('-', ""), ID.to_uppercase()] {
            let read = Reference::parse(&text).unwrap();
            assert_eq!(read, Reference::Either(vec![id.clone(), job(&text)]));
        }
    }

    #[test]
    fn a_prefix_of_six_digits_or_more_stands_for_a_range() {
        for (text, low, high) in [
            (
                "019ac0",
                "019ac000-0000-0000-0000-000000000000",
                "019ac0ff-ffff-ffff-ffff-ffffffffffff",
            ),
            (
                "019AC0D",
                "019ac0d0-0000-0000-0000-000000000000",
                "019ac0df-ffff-ffff-ffff-ffffffffffff",
            ),
            (
                "019ac0de-",
                "019ac0de-0000-0000-0000-000000000000",
                "019ac0de-ffff-ffff-ffff-ffffffffffff",
            ),
            (
                "019ac0de-1234-7",
                "019ac0de-1234-7000-0000-000000000000",
                "019ac0de-1234-7fff-ffff-ffffffffffff",
            ),
            (
                "019ac0de12347abc8def0123456789a",
                "019ac0de-1234-7abc-8def-0123456789a0",
                "019ac0de-1234-7abc-8def-0123456789af",
            ),
        ] {
            let readings = vec![prefix(text, low, high), job(text)];
            assert_eq!(Reference::parse(text), Ok(Reference::Either(readings)));
        }
    }

    #[test]
    fn a_text_that_is_not_the_begin_of_an_id_is_a_job_id() {
        let longer = format!("{ID}0");
        for text in [
            "019ac",
            "019acx0",
            "job-1",
            "019a-c0de",
            "019ac0de-12347",
            "-019ac0d",
            "019ac0de--1234",
            "019ac0-",
            "------",
            "a b",
            &longer,
        ] {
            assert_eq!(Reference::parse(text), Ok(job(text)));
        }
    }

    #[test]
    fn a_slash_separates_the_service_and_may_be_in_the_job_id() {
        let Ok(Reference::Either(readings)) = Reference::parse("gcp/projects/p/op-1") else {
            panic!("it has one reading");
        };
        let of_service = Reference::Job {
            service: Some("gcp".to_owned()),
            job_id: "projects/p/op-1".to_owned(),
        };
        assert_eq!(readings, [of_service, job("gcp/projects/p/op-1")]);
        assert_eq!(Reference::parse("/abc"), Ok(job("/abc")));
        assert_eq!(Reference::parse("abc/"), Ok(job("abc/")));
    }

    #[test]
    fn a_text_that_can_name_nothing_is_refused_with_its_reason() {
        let long = "x".repeat(3 * JOB_ID_BYTES_MAX);
        for (text, reason) in [
            ("", "is empty"),
            ("  ", "is empty"),
            (" 019ac0de", "has blanks around it; write it as `019ac0de`"),
            ("job-1\n", "blanks around"),
            ("a\u{7}b", "control characters"),
            (&long, "at most 512"),
            ("..", "neither"),
        ] {
            let error = Reference::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
