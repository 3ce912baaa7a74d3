//! Reading a job from JSON, strictly.
//!
//! Every refusal names the key, the value and what is allowed. That is why this is not a
//! derived `Deserialize`: its messages name the field or the value, never both.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::faults::{Faults, RetryAfter, Throttle};
use super::service::Service;
use super::spec::{Ending, JobSpec, SubJobSpec};

const JOB_KEYS: &[&str] = &[
    "service", "job_id", "job_type", "duration", "outcome", "code", "reason", "sub_jobs", "faults",
];
const SUB_JOB_KEYS: &[&str] = &["job_type", "outcome", "code", "reason"];
const FAULT_KEYS: &[&str] = &[
    "server_errors",
    "throttle",
    "slow",
    "torn",
    "not_found_for",
    "unknown_status",
    "token_expires_after",
    "forbidden",
    "malformed",
];
const THROTTLE_KEYS: &[&str] = &["polls", "retry_after"];

const ENDINGS: &[(&str, Ending)] = &[
    ("succeeded", Ending::Succeeded),
    ("failed", Ending::Failed),
    ("never", Ending::Never),
];

impl JobSpec {
    /// Reads the body of a `POST /_sim/jobs`.
    ///
    /// # Errors
    /// Says which key is wrong, with its value and what is allowed there.
    pub fn from_json(body: &[u8]) -> Result<Self, String> {
        let value: Value =
            serde_json::from_slice(body).map_err(|error| format!("not JSON: {error}"))?;
        let spec = job(&value)?;
        spec.check()?;
        Ok(spec)
    }
}

fn job(value: &Value) -> Result<JobSpec, String> {
    let fields = Fields::of(value, "", JOB_KEYS)?;
    let sub_jobs = match fields.get("sub_jobs") {
        None => Vec::new(),
        Some(Value::Array(items)) => sub_jobs(items)?,
        Some(other) => return Err(format!("sub_jobs = {other}: must be a list of objects")),
    };
    Ok(JobSpec {
        service: fields.required("service", fields.word("service", &Service::NAMES)?)?,
        job_id: fields.text("job_id")?,
        job_type: fields.text("job_type")?,
        duration: fields.required("duration", fields.span("duration")?)?,
        outcome: fields.required("outcome", fields.word("outcome", ENDINGS)?)?,
        code: fields.text("code")?,
        reason: fields.text("reason")?,
        sub_jobs,
        faults: fields
            .get("faults")
            .map_or_else(|| Ok(Faults::default()), faults)?,
    })
}

fn sub_jobs(items: &[Value]) -> Result<Vec<SubJobSpec>, String> {
    let sub_job = |(index, item): (usize, &Value)| {
        let fields = Fields::of(item, &format!("sub_jobs[{index}]."), SUB_JOB_KEYS)?;
        Ok(SubJobSpec {
            job_type: fields.text("job_type")?,
            outcome: fields.required("outcome", fields.word("outcome", &ENDINGS[..2])?)?,
            code: fields.text("code")?,
            reason: fields.text("reason")?,
        })
    };
    items.iter().enumerate().map(sub_job).collect()
}

fn faults(value: &Value) -> Result<Faults, String> {
    let fields = Fields::of(value, "faults.", FAULT_KEYS)?;
    Ok(Faults {
        server_errors: fields.count("server_errors")?.unwrap_or_default(),
        throttle: fields.get("throttle").map(throttle).transpose()?,
        forbidden: fields.count("forbidden")?.unwrap_or_default(),
        malformed: fields.count("malformed")?.unwrap_or_default(),
        torn: fields.count("torn")?.unwrap_or_default(),
        slow: fields.span("slow")?.unwrap_or_default(),
        not_found_for: fields.span("not_found_for")?.unwrap_or_default(),
        unknown_status: fields.text("unknown_status")?,
        token_expires_after: fields.span("token_expires_after")?,
    })
}

fn throttle(value: &Value) -> Result<Throttle, String> {
    let fields = Fields::of(value, "faults.throttle.", THROTTLE_KEYS)?;
    let retry_after = match fields.text("retry_after")?.as_deref() {
        None => RetryAfter::Absent,
        Some("http-date") => RetryAfter::HttpDate,
        Some(text) => text.parse().map(RetryAfter::Seconds).map_err(|_| {
            fields.wrong(
                "retry_after",
                "whole seconds such as \"2\", or \"http-date\"",
            )
        })?,
    };
    Ok(Throttle {
        polls: fields.required("polls", fields.count("polls")?)?,
        retry_after,
    })
}

/// The members of one object, with the way to it for messages.
struct Fields<'a> {
    at: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn of(value: &'a Value, at: &str, allowed: &[&str]) -> Result<Self, String> {
        let Value::Object(map) = value else {
            let what = if at.is_empty() {
                "the body"
            } else {
                at.trim_end_matches('.')
            };
            return Err(format!("{what} = {value}: must be an object"));
        };
        if let Some((key, value)) = map.iter().find(|(key, _)| !allowed.contains(&key.as_str())) {
            let allowed = allowed.join(", ");
            return Err(format!(
                "{at}{key} = {value}: unknown key, allowed are {allowed}"
            ));
        }
        Ok(Self {
            at: at.to_owned(),
            map,
        })
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key)
    }

    fn wrong(&self, key: &str, allowed: &str) -> String {
        let value = self.map.get(key).unwrap_or(&Value::Null);
        format!("{}{key} = {value}: must be {allowed}", self.at)
    }

    fn required<T>(&self, key: &str, value: Option<T>) -> Result<T, String> {
        value.ok_or_else(|| format!("{}{key} is missing", self.at))
    }

    fn text(&self, key: &str) -> Result<Option<String>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.wrong(key, "a string")),
        }
    }

    fn count(&self, key: &str) -> Result<Option<u32>, String> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let count = value.as_u64().and_then(|count| u32::try_from(count).ok());
        let allowed = "a whole number from 0 to 4294967295";
        count.map(Some).ok_or_else(|| self.wrong(key, allowed))
    }

    fn span(&self, key: &str) -> Result<Option<Duration>, String> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let span = value
            .as_str()
            .and_then(|text| text.parse::<SignedDuration>().ok());
        let span = span.and_then(|span| Duration::try_from(span).ok());
        let allowed = "a duration such as \"0s\", \"500ms\", \"3s\" or \"2m\"";
        span.map(Some).ok_or_else(|| self.wrong(key, allowed))
    }

    fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Result<Option<T>, String> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let found = words.iter().find(|(word, _)| value.as_str() == Some(word));
        found.map(|(_, meaning)| Some(*meaning)).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(key, &format!("one of {}", words.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<JobSpec, String> {
        JobSpec::from_json(body.as_bytes())
    }

    #[test]
    fn a_full_request_is_read() {
        let spec = read(
            r#"{"service":"sdrs","job_id":"a1","job_type":"t","duration":"2m","outcome":"failed",
                "code":"SDRS.0407","reason":"no","sub_jobs":[{"outcome":"failed","reason":"r"}],
                "faults":{"server_errors":1,"throttle":{"polls":2,"retry_after":"http-date"},
                "slow":"500ms","torn":3,"not_found_for":"5s","unknown_status":"REBOOTING",
                "token_expires_after":"3s","forbidden":4,"malformed":5}}"#,
        )
        .unwrap();
        assert_eq!(spec.service, Service::Sdrs);
        assert_eq!(spec.duration, Duration::from_mins(2));
        assert_eq!(spec.sub_jobs[0].reason.as_deref(), Some("r"));
        let throttle = Throttle {
            polls: 2,
            retry_after: RetryAfter::HttpDate,
        };
        let expected = Faults {
            server_errors: 1,
            throttle: Some(throttle),
            forbidden: 4,
            malformed: 5,
            torn: 3,
            slow: Duration::from_millis(500),
            not_found_for: Duration::from_secs(5),
            unknown_status: Some("REBOOTING".into()),
            token_expires_after: Some(Duration::from_secs(3)),
        };
        assert_eq!(spec.faults, expected);
    }

    #[test]
    fn refusals_name_the_key_its_value_and_the_allowed_values() {
        let table = [
            ("[]", "the body = []: must be an object"),
            ("{", "not JSON"),
            (
                r#"{"servise":"dcs"}"#,
                r#"servise = "dcs": unknown key, allowed are service, "#,
            ),
            (
                r#"{"service":"rds"}"#,
                r#"service = "rds": must be one of dcs, sfs-turbo, sdrs"#,
            ),
            (
                r#"{"duration":"3s","outcome":"never"}"#,
                "service is missing",
            ),
            (
                r#"{"service":"dcs","outcome":"never"}"#,
                "duration is missing",
            ),
            (r#"{"service":"dcs","duration":"3s"}"#, "outcome is missing"),
            (
                r#"{"service":"dcs","duration":"soon"}"#,
                r#"duration = "soon": must be a duration"#,
            ),
            (
                r#"{"service":"dcs","duration":"-3s"}"#,
                r#"duration = "-3s": must be"#,
            ),
            (
                r#"{"service":"dcs","duration":3}"#,
                "duration = 3: must be a duration",
            ),
            (
                r#"{"service":"dcs","job_id":7}"#,
                "job_id = 7: must be a string",
            ),
            (r#"{"sub_jobs":{}}"#, "sub_jobs = {}: must be a list"),
            (
                r#"{"sub_jobs":[{"outcome":"never"}]}"#,
                "must be one of succeeded, failed",
            ),
            (r#"{"faults":{"torn":-1}}"#, ""),
        ];
        for (body, expected) in table {
            let message = read(body).unwrap_err();
            assert!(message.contains(expected), "{body}: {message}");
        }
    }

    #[test]
    fn refusals_name_the_path_within_the_faults() {
        let table = [
            (r#"{"torn":-1}"#, "faults.torn = -1: must be a whole number"),
            (
                r#"{"slow":"11m"}"#,
                "faults.slow = 660s: must be from 0s to 600s",
            ),
            (r#"{"teer":1}"#, "faults.teer = 1: unknown key"),
            (r#"{"throttle":{}}"#, "faults.throttle.polls is missing"),
            (
                r#"{"throttle":{"polls":1,"retry_after":"soon"}}"#,
                r#"faults.throttle.retry_after = "soon": must be whole seconds"#,
            ),
        ];
        for (faults, expected) in table {
            let body = format!(
                r#"{{"service":"dcs","duration":"1s","outcome":"never","faults":{faults}}}"#
            );
            let message = read(&body).unwrap_err();
            assert!(message.contains(expected), "{body}: {message}");
        }
    }
}
