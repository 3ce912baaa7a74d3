//! The specification of a simulated resource, and its limits.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use jiff::SignedDuration;
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::simulator::faults::{Faults, duration};
use crate::simulator::spec::{
    Ending, MAX_DURATION, MAX_ID_LEN, MAX_REASON_LEN, MAX_WORD_LEN, check_span, check_text, read,
};

/// The most runs of one resource.
const MAX_RUNS: usize = 100;

/// The specification of a resource: an id that has one run after another.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceSpec {
    /// The id in the path of its status.
    pub job_id: String,
    /// The runs in the order of their starts; the latest that has started is shown.
    pub runs: Vec<RunSpec>,
    /// An end that shows for some polls although the run goes on.
    #[serde(default)]
    pub flicker: Option<Flicker>,
    /// A time in which the resource is not found.
    #[serde(default)]
    pub not_found: Option<Absence>,
    /// The HTTP status of an answer that shows a failed run, in place of 200.
    #[serde(default)]
    pub failure_status: Option<u16>,
    /// True for bodies that are not valid JSON: wrong UTF-8, a control character, `NaN`.
    #[serde(default)]
    pub odd_bytes: bool,
    /// The format of the bodies.
    #[serde(default)]
    pub format: BodyFormat,
    /// True if each answer names the URL of the next poll in `Location`.
    #[serde(default)]
    pub moving: bool,
    /// The faults of its polls.
    #[serde(default)]
    pub faults: Faults,
}

/// One run of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// The name that distinguishes it from the other runs.
    pub run: String,
    /// The time from the creation of the resource to the start; negative for an earlier one.
    #[serde(default, deserialize_with = "signed_duration")]
    pub starts: SignedDuration,
    /// The time from start to end. The run is pending in the first tenth of it.
    #[serde(deserialize_with = "duration")]
    pub duration: Duration,
    /// The way in which the run ends.
    pub outcome: Ending,
    /// The message of a failed run; one of our own when absent.
    pub message: Option<String>,
}

/// An end that shows for some polls although the run goes on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flicker {
    /// This many polls come before it.
    #[serde(default)]
    pub after: u32,
    /// It shows for this many polls.
    pub polls: u32,
    /// The end that it shows.
    #[serde(default = "succeeded")]
    pub shows: Ending,
}

/// A time in which the resource is not found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Absence {
    /// The time from the creation of the resource to the first 404.
    #[serde(deserialize_with = "duration")]
    pub from: Duration,
    /// The time for which it is not found.
    #[serde(rename = "for", deserialize_with = "duration")]
    pub lasts: Duration,
}

/// The format of the bodies of a resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyFormat {
    /// A body is one JSON object.
    #[default]
    Json,
    /// A body is one XML element.
    Xml,
}

fn succeeded() -> Ending {
    Ending::Succeeded
}

fn signed_duration<'de, D: Deserializer<'de>>(reader: D) -> Result<SignedDuration, D::Error> {
    let text: Cow<'_, str> = Cow::deserialize(reader)?;
    text.parse().map_err(|_| {
        let expected = "a number with a unit, such as `2s`, or `-2h` for the past";
        D::Error::invalid_value(Unexpected::Str(&text), &expected)
    })
}

impl ResourceSpec {
    /// Returns a resource without faults.
    pub fn new(job_id: impl Into<String>, runs: Vec<RunSpec>) -> Self {
        Self {
            job_id: job_id.into(),
            runs,
            flicker: None,
            not_found: None,
            failure_status: None,
            odd_bytes: false,
            format: BodyFormat::Json,
            moving: false,
            faults: Faults::default(),
        }
    }

    /// Reads the body of a `POST /_sim/resources`.
    ///
    /// # Errors
    /// The message names the wrong key, its value and the allowed values.
    pub fn from_json(body: &[u8]) -> Result<Self, String> {
        let spec: Self = read(body)?;
        spec.check()?;
        Ok(spec)
    }

    /// Checks the limits, and that the resource can show everything that is asked for.
    ///
    /// # Errors
    /// The message names the wrong key, its value and the allowed values.
    pub(super) fn check(&self) -> Result<(), String> {
        check_text("job_id", Some(&self.job_id), MAX_ID_LEN)?;
        self.check_runs()?;
        if let Some(flicker) = &self.flicker {
            flicker.check()?;
        }
        if let Some(absence) = &self.not_found {
            check_span("not_found.from", absence.from, MAX_DURATION)?;
            check_span("not_found.for", absence.lasts, MAX_DURATION)?;
        }
        self.check_failure_status()?;
        if self.odd_bytes && self.format != BodyFormat::Json {
            return Err("odd_bytes = true: allowed only with format \"json\"".to_owned());
        }
        if self.faults.token_expires_after.is_some() {
            return Err("faults.token_expires_after: a resource needs no token".to_owned());
        }
        self.faults.check()
    }

    fn check_runs(&self) -> Result<(), String> {
        let count = self.runs.len();
        if count == 0 || count > MAX_RUNS {
            return Err(format!(
                "runs has {count} items: 1 to {MAX_RUNS} are allowed"
            ));
        }
        let mut names = HashSet::new();
        let mut earlier = SignedDuration::MIN;
        for (index, run) in self.runs.iter().enumerate() {
            let at = format!("runs[{index}].");
            run.check(&at)?;
            if !names.insert(run.run.as_str()) {
                return Err(format!(
                    "{at}run = {:?}: each run needs a name of its own",
                    run.run
                ));
            }
            if run.starts <= earlier {
                return Err(format!(
                    "{at}starts = {}s: must be later than that of the run before it",
                    run.starts.as_secs_f64()
                ));
            }
            earlier = run.starts;
        }
        Ok(())
    }

    fn check_failure_status(&self) -> Result<(), String> {
        let Some(status) = self.failure_status else {
            return Ok(());
        };
        if !matches!(status, 422 | 500) {
            return Err(format!("failure_status = {status}: must be 422 or 500"));
        }
        let shows = self.flicker.as_ref().map(|flicker| flicker.shows);
        let mut ends = self.runs.iter().map(|run| run.outcome).chain(shows);
        if ends.any(|end| end == Ending::Failed) {
            return Ok(());
        }
        Err(format!(
            "failure_status = {status}: allowed only if a run fails"
        ))
    }
}

impl RunSpec {
    fn check(&self, at: &str) -> Result<(), String> {
        check_text(&format!("{at}run"), Some(&self.run), MAX_WORD_LEN)?;
        if self.starts.unsigned_abs() > MAX_DURATION {
            return Err(format!(
                "{at}starts = {}s: must be at most {}s away",
                self.starts.as_secs_f64(),
                MAX_DURATION.as_secs()
            ));
        }
        check_span(&format!("{at}duration"), self.duration, MAX_DURATION)?;
        let message = self.message.as_deref();
        check_text(&format!("{at}message"), message, MAX_REASON_LEN)?;
        match message {
            Some(message) if self.outcome != Ending::Failed => Err(format!(
                "{at}message = {message:?}: allowed only with outcome \"failed\""
            )),
            _ => Ok(()),
        }
    }
}

impl Flicker {
    fn check(&self) -> Result<(), String> {
        if self.polls == 0 {
            return Err("flicker.polls = 0: must be at least 1".to_owned());
        }
        if self.shows == Ending::Never {
            return Err("flicker.shows = \"never\": must be one of succeeded, failed".to_owned());
        }
        Ok(())
    }
}
