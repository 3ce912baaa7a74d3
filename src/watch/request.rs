//! A request to watch a job, and the checks of it that need no configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::clock::{later, parse_duration, until};
use crate::watch::creating_answer::CreatingAnswer;
use crate::watch::{CallbackUrl, Expect, JOB_ID_BYTES_MAX, LABEL_BYTES_MAX, LABELS_MAX};

/// The longest time from a submission to its deadline.
pub const DEADLINE_MAX: Duration = Duration::from_hours(24 * 365);
/// The longest name of a run, in bytes.
const RUN_BYTES_MAX: usize = 512;
/// How far ahead of ours the clock of a submitter may be.
const CLOCKS_DIFFER: Duration = Duration::from_mins(1);
/// The most sinks one watch may name.
const SINKS_MAX: usize = 64;
/// The longest name of a group, in bytes.
const GROUP_BYTES_MAX: usize = 64;
/// The most watches that a group can be complete with.
const GROUP_SIZE_MAX: u32 = 100_000;

/// A request to watch a job: the body of `POST /v1/watches`, an entry of `[[watches]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WatchRequest {
    /// The name of the service in the configuration.
    pub service: String,
    /// The id of the job, as the service gave it; empty if `response` has it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub job_id: String,
    /// The answer of the call that created the job, in place of `job_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Box<CreatingAnswer>>,
    /// Values for the placeholders of the definition that the service does not set.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "each_once"
    )]
    pub params: BTreeMap<String, String>,
    /// Free text that every event carries.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "each_once"
    )]
    pub labels: BTreeMap<String, String>,
    /// The run of the job that the watch is about, where the id names a resource with several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Ends from before this time are not believed: a time (RFC 3339), or a duration before the
    /// submission (`10m`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// True for a new watch although an earlier one of the job has ended with a verdict.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// The end that the watch is about, if it is not that of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
    /// The longest duration of the watch (`2h`), or its last moment (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// The sinks that receive its events; empty means every sink whose filter matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<String>,
    /// A URL that receives events of this watch alone, beside the sinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<CallbackUrl>,
    /// The group of watches that it belongs to; one event reports the end of them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The number of watches after which the group is complete; all watches that give one give the
    /// same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_size: Option<u32>,
}

/// Reads a map, and refuses a name that is given twice: serde would keep the last value.
fn each_once<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct EachOnce;
    impl<'de> Visitor<'de> for EachOnce {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut given: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((name, value)) = given.next_entry::<String, String>()? {
                if map.contains_key(&name) {
                    return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
                }
                map.insert(name, value);
            }
            Ok(map)
        }
    }
    from.deserialize_map(EachOnce)
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The member of the request.
    pub field: String,
    /// The rule that it breaks.
    pub message: String,
}

impl Fault {
    /// Makes a fault of the member `field`.
    pub fn new(field: &str, message: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl WatchRequest {
    /// Returns every fault that depends neither on the configuration nor on the time.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        match (&self.response, self.job_id.as_str()) {
            (Some(_), "") => {}
            (Some(_), _) => faults.push(Fault::new(
                "response",
                "give either `job_id` or `response`, not both",
            )),
            (None, job_id) => check_job_id(job_id, &mut faults),
        }
        check_labels(&self.labels, &mut faults);
        self.check_run(&mut faults);
        self.check_group(&mut faults);
        if let Some(text) = &self.deadline
            && parse_deadline(text, Timestamp::UNIX_EPOCH).is_none()
        {
            faults.push(Fault::new(
                "deadline",
                format!("`{text}` must be a duration such as `30m` or `2h`, or a time such as `2026-12-24T18:00:00Z`"),
            ));
        }
        if self.sinks.len() > SINKS_MAX {
            faults.push(Fault::new("sinks", format!("must be at most {SINKS_MAX}")));
        }
        faults
    }

    fn check_run(&self, faults: &mut Vec<Fault>) {
        if let Some(run) = &self.run {
            let is_plain = !run.is_empty() && !run.chars().any(char::is_control);
            if !is_plain || run.len() > RUN_BYTES_MAX {
                faults.push(Fault::new(
                    "run",
                    format!("must have 1 to {RUN_BYTES_MAX} bytes and no control characters"),
                ));
            }
        }
        if let Some(text) = &self.since
            && parse_since(text, Timestamp::UNIX_EPOCH).is_none()
        {
            faults.push(Fault::new(
                "since",
                format!("`{text}` must be a time such as `2026-12-24T18:00:00Z`, or a duration before now such as `10m`"),
            ));
        }
    }

    fn check_group(&self, faults: &mut Vec<Fault>) {
        if let Some(name) = &self.group
            && !is_group_name(name)
        {
            faults.push(Fault::new(
                "group",
                format!("must have 1 to {GROUP_BYTES_MAX} letters, digits, `.`, `_` or `-`"),
            ));
        }
        let Some(size) = self.group_size else { return };
        if self.group.is_none() {
            faults.push(Fault::new("group_size", "needs a `group`"));
        }
        if !(1..=GROUP_SIZE_MAX).contains(&size) {
            faults.push(Fault::new(
                "group_size",
                format!("must be from 1 to {GROUP_SIZE_MAX}"),
            ));
        }
    }

    /// Returns the time before which an end is not believed; `None` for the default. `now` is the
    /// time of the submission. A text that is neither a time nor a duration is a fault of
    /// [`check`](Self::check), and gives the default here.
    ///
    /// # Errors
    /// Fails if the time is in the future: every end would be too early.
    pub fn since_at(&self, now: Timestamp) -> Result<Option<Timestamp>, Fault> {
        let text = self.since.as_deref().unwrap_or_default();
        let since = parse_since(text, now);
        if since.is_some_and(|since| since > later(now, CLOCKS_DIFFER)) {
            return Err(Fault::new(
                "since",
                format!("`{text}` must not be in the future"),
            ));
        }
        Ok(since)
    }

    /// Returns the deadline of a watch that is submitted at `now`. `default` is the time until
    /// the deadline if the request names none.
    ///
    /// # Errors
    /// Fails if the deadline has passed or is too far away. A text that is neither a duration nor
    /// a time is a fault of [`check`](Self::check), and gives the default here.
    pub fn deadline_at(&self, now: Timestamp, default: Duration) -> Result<Timestamp, Fault> {
        let written = self.deadline.as_deref();
        let parsed = written.and_then(|text| Some((text, parse_deadline(text, now)?)));
        let Some((text, deadline)) = parsed else {
            return Ok(later(now, default));
        };
        if deadline <= now || until(now, deadline) > DEADLINE_MAX {
            return Err(Fault::new(
                "deadline",
                format!("`{text}` must be in the future, at most 365 days from now"),
            ));
        }
        Ok(deadline)
    }
}

/// Checks a value for a placeholder of a definition.
///
/// # Errors
/// Returns the rule that the value breaks.
pub fn check_param(value: &str) -> Result<(), String> {
    // A URL parser takes dots for steps in the path, in every encoding.
    let is_step = matches!(value, "" | "." | "..");
    if is_step || value.len() > LABEL_BYTES_MAX || value.chars().any(char::is_control) {
        return Err(format!(
            "must have 1 to {LABEL_BYTES_MAX} bytes, no control characters, and not be a step in a path"
        ));
    }
    Ok(())
}

/// True if a text that a service gave can be the id of a job.
pub fn is_job_id(job_id: &str) -> bool {
    let mut faults = Vec::new();
    check_job_id(job_id, &mut faults);
    faults.is_empty()
}

/// True if a text can be the name of a group.
pub fn is_group_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=GROUP_BYTES_MAX).contains(&name.len()) && name.chars().all(is_plain)
}

fn check_job_id(job_id: &str, faults: &mut Vec<Fault>) {
    let rule = if job_id.is_empty() {
        "must not be empty; without it, give the `response` of the creating call"
    } else if job_id.len() > JOB_ID_BYTES_MAX {
        "must have at most 512 bytes"
    } else if job_id.chars().any(char::is_control) {
        "must not hold control characters"
    } else if job_id.trim() != job_id {
        "has blanks around it; give the id alone"
    } else if matches!(job_id, "." | "..") {
        // A URL parser takes these for steps in the path, in every encoding.
        "must not be a step in a path"
    } else {
        return;
    };
    faults.push(Fault::new("job_id", rule));
}

fn check_labels(labels: &BTreeMap<String, String>, faults: &mut Vec<Fault>) {
    if labels.len() > LABELS_MAX {
        faults.push(Fault::new(
            "labels",
            format!("must be at most {LABELS_MAX}"),
        ));
    }
    for (name, value) in labels {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
        if name.is_empty() || name.len() > LABEL_BYTES_MAX || !name.chars().all(is_plain) {
            faults.push(Fault::new(
                "labels",
                format!("the name {name:?} must have 1 to {LABEL_BYTES_MAX} letters, digits, `.`, `_`, `/` or `-`"),
            ));
        }
        if value.len() > LABEL_BYTES_MAX || value.chars().any(char::is_control) {
            faults.push(Fault::new(
                &format!("labels.{name}"),
                format!(
                    "the value must have at most {LABEL_BYTES_MAX} bytes and no control characters"
                ),
            ));
        }
    }
}

/// Reads a time, or a duration before `now`.
fn parse_since(text: &str, now: Timestamp) -> Option<Timestamp> {
    let before = || {
        let before = SignedDuration::try_from(parse_duration(text).ok()?).ok()?;
        now.checked_sub(before).ok()
    };
    text.parse().ok().or_else(before)
}

/// Reads a time, or a duration after `now`.
fn parse_deadline(text: &str, now: Timestamp) -> Option<Timestamp> {
    let after = || parse_duration(text).ok().map(|after| later(now, after));
    text.parse().ok().or_else(after)
}
