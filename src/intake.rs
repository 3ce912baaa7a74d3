//! The way in: how a submission becomes a watch, and how an operator ends one.
//!
//! The HTTP API, the configuration's `[[watches]]` and every later way in use this one
//! door, so that they check the same things and say the same words. What it acknowledges
//! has been committed (invariant 2).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rand::Rng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::clock::{SharedClock, later, parse_duration, until};
use crate::outbound::egress::Hosts;
use crate::service::{Service, Services};
use crate::store::{Applied, SharedStore, StoreError, Submission, Submitted, Transition};
use crate::suggest;
use crate::wake::Wake;
use crate::watch::event::{Event, EventKind, Instance};
use crate::watch::subscription::Subscriptions;
use crate::watch::transition::{Step, Tracking};
use crate::watch::{
    CallbackUrl, JOB_ID_BYTES_MAX, LABEL_BYTES_MAX, LABELS_MAX, Outcome, Params, State, Watch,
    WatchId, transition,
};

/// The longest a watch may take.
pub const DEADLINE_MAX: Duration = Duration::from_hours(24 * 365);
/// The most sinks one watch may name.
const SINKS_MAX: usize = 64;
/// How often ending a watch is tried while polls keep changing it.
const UNWATCH_TRIES: usize = 5;

/// What somebody asks to be watched; the body of `POST /v1/watches`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WatchRequest {
    /// The configured service.
    pub service: String,
    /// The job's id, as the service gave it.
    pub job_id: String,
    /// Values for the definition's placeholders that the service does not set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// Free text that every event carries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How long the watch may take (`2h`), or until when (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// The sinks to tell; all whose filter matches when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<String>,
    /// A URL of the watch's own to tell, beside the sinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<CallbackUrl>,
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The member of the request.
    pub field: String,
    /// What is wrong with it and what is allowed.
    pub message: String,
}

/// Why a submission was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The request is wrong; everything wrong with it is listed.
    #[error("the watch was refused: {}", listed(.0))]
    Refused(Vec<Fault>),
    /// The store failed; submitting again is safe, whether or not anything was stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn listed(faults: &[Fault]) -> String {
    let each: Vec<String> = faults
        .iter()
        .map(|fault| format!("{}: {}", fault.field, fault.message))
        .collect();
    each.join("; ")
}

/// What the intake works with.
pub struct Parts {
    /// Where watches are kept.
    pub store: SharedStore,
    /// What can be watched.
    pub services: Services,
    /// Who is told what.
    pub subscriptions: Arc<Subscriptions>,
    /// The hosts that a `callback_url` may name; `None` when there may be none.
    pub callback_hosts: Option<Hosts>,
    /// Our name in events.
    pub instance: Instance,
    /// The time.
    pub clock: SharedClock,
    /// Wakes whoever polls and whoever delivers.
    pub wake: Wake,
}

/// The door for submissions.
pub struct Intake {
    parts: Parts,
    rng: Mutex<StdRng>,
}

impl Intake {
    /// An open door; `rng` is the source of ids.
    pub fn new(parts: Parts, rng: StdRng) -> Self {
        Self {
            parts,
            rng: Mutex::new(rng),
        }
    }

    /// Accepts one watch, or tells everything that is wrong with the request. The same
    /// job of the same service again gives the watch there is.
    ///
    /// # Errors
    /// The request is wrong and nothing was stored, or the store failed.
    pub async fn submit(&self, request: &WatchRequest) -> Result<Submitted, IntakeError> {
        let submission = self.prepare(request).map_err(IntakeError::Refused)?;
        let answers = self.parts.store.submit(vec![submission]).await?;
        let answer = answers.into_iter().next().ok_or(StoreError::Closed)?;
        if matches!(answer, Submitted::Accepted(_)) {
            self.parts.wake.wake();
        }
        Ok(answer)
    }

    /// Ends a watch as `unwatched`; a final one stays as it is. `None` when there is none.
    ///
    /// `live` tells the present numbers of the watch, which only its poller knows.
    ///
    /// # Errors
    /// The store failed; the watch goes on.
    pub async fn unwatch(
        &self,
        id: WatchId,
        live: impl Fn(&mut Tracking),
    ) -> Result<Option<Watch>, StoreError> {
        for _ in 0..UNWATCH_TRIES {
            let Some(watch) = self.parts.store.watch(id).await? else {
                return Ok(None);
            };
            if watch.state != State::Watching {
                return Ok(Some(watch));
            }
            let mut tracking = Tracking::resume(&watch);
            live(&mut tracking);
            let transition = self.ending(&watch, &tracking);
            let ended = transition.watch.clone();
            if self.parts.store.apply(transition).await? == Applied::Applied {
                self.parts.wake.wake();
                return Ok(Some(ended));
            }
        }
        Err(StoreError::Failed {
            doing: "end a watch that polls keep changing",
            source: "try again".into(),
        })
    }

    fn ending(&self, watch: &Watch, tracking: &Tracking) -> Transition {
        let now = self.parts.clock.now();
        let step = Step::Finished(Outcome::Unwatched);
        let (watch, kind) = transition::record(watch, tracking, None, step, now)
            .expect("an end is always worth telling");
        Transition {
            event: Event::of(&watch, kind, &self.parts.instance, now),
            owed: self.parts.subscriptions.owed(&watch, kind),
            watch,
        }
    }

    /// Checks a request and makes of it what the store takes.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn prepare(&self, request: &WatchRequest) -> Result<Submission, Vec<Fault>> {
        let now = self.parts.clock.now();
        let mut faults = check_request(request);
        self.check_sinks(&request.sinks, &mut faults);
        if let Some(url) = &request.callback_url
            && let Err(message) = check_callback(url, self.parts.callback_hosts.as_ref())
        {
            faults.push(fault("callback_url", message));
        }
        let service = self.find_service(&request.service, &mut faults);
        let deadline = deadline_of(request, service, now, &mut faults);
        let params = service.map(|service| params_of(request, service, &mut faults));
        match (service, params, deadline) {
            (Some(service), Some(params), Some(deadline)) if faults.is_empty() => {
                Ok(self.submission(request, service, params, deadline, now))
            }
            _ => Err(faults),
        }
    }

    fn submission(
        &self,
        request: &WatchRequest,
        service: &Service,
        params: Params,
        deadline: Timestamp,
        now: Timestamp,
    ) -> Submission {
        let mut random = [0; 10];
        self.rng
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill_bytes(&mut random);
        let watch = Watch {
            id: WatchId::new(now, random),
            service: request.service.clone(),
            definition: service.definition.name.clone(),
            job_id: request.job_id.clone(),
            params,
            labels: request.labels.clone(),
            sinks: request.sinks.clone(),
            callback_url: request.callback_url.clone(),
            submitted_at: now,
            deadline,
            state: State::Watching,
            job: None,
            finished_at: None,
            polls: 0,
            problems: 0,
            last_problem: None,
            unknown_status: None,
            revision: 0,
        };
        let kind = EventKind::Accepted;
        Submission {
            event: Event::of(&watch, kind, &self.parts.instance, now),
            owed: self.parts.subscriptions.owed(&watch, kind),
            watch,
        }
    }

    fn find_service(&self, name: &str, faults: &mut Vec<Fault>) -> Option<&Service> {
        let found = self.parts.services.get(name);
        if found.is_none() {
            let names = self.parts.services.names();
            faults.push(fault("service", unknown_name("service", name, names)));
        }
        found.map(|service| &**service)
    }

    fn check_sinks(&self, sinks: &[String], faults: &mut Vec<Fault>) {
        let known = &self.parts.subscriptions.sinks;
        for sink in sinks.iter().filter(|sink| !known.contains_key(*sink)) {
            let names = known.keys().map(String::as_str);
            faults.push(fault("sinks", unknown_name("sink", sink, names)));
        }
    }
}

fn fault(field: &str, message: impl Into<String>) -> Fault {
    Fault {
        field: field.to_owned(),
        message: message.into(),
    }
}

/// "there is no service `dsc`; did you mean `dcs`? (dcs, sdrs)"
fn unknown_name<'a>(what: &str, name: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let hint = suggest::did_you_mean(name, names.iter().copied());
    let all = if names.is_empty() {
        "none is configured".to_owned()
    } else {
        names.join(", ")
    };
    format!("there is no {what} `{name}`{hint} ({all})")
}

/// What is wrong with a request whatever is configured; not whether its deadline has
/// passed, which changes by the minute.
pub fn check_request(request: &WatchRequest) -> Vec<Fault> {
    let mut faults = Vec::new();
    check_job_id(&request.job_id, &mut faults);
    check_labels(&request.labels, &mut faults);
    if let Some(text) = &request.deadline
        && parse_deadline(text, Timestamp::UNIX_EPOCH).is_none()
    {
        faults.push(fault(
            "deadline",
            format!("`{text}` must be a duration such as `30m` or `2h`, or a time such as `2026-12-24T18:00:00Z`"),
        ));
    }
    if request.sinks.len() > SINKS_MAX {
        faults.push(fault("sinks", format!("must be at most {SINKS_MAX}")));
    }
    faults
}

/// Whether a watch may bring this URL; `hosts` are those that the settings allow.
///
/// # Errors
/// Why not, without showing it.
pub fn check_callback(url: &CallbackUrl, hosts: Option<&Hosts>) -> Result<(), String> {
    match hosts {
        Some(hosts) => hosts.check(&url.0).map(drop),
        None => Err(
            "is not allowed: `allow_callback_hosts` in [api] lists the hosts that are".to_owned(),
        ),
    }
}

/// Whether `value` can fill a placeholder.
///
/// # Errors
/// What it must be.
pub fn check_param(value: &str) -> Result<(), String> {
    // A URL parser takes dots for steps in the path, however they are encoded.
    let is_step = matches!(value, "" | "." | "..");
    if is_step || value.len() > LABEL_BYTES_MAX || value.chars().any(char::is_control) {
        return Err(format!(
            "must have 1 to {LABEL_BYTES_MAX} bytes, no control characters, and be no step in a path"
        ));
    }
    Ok(())
}

fn check_job_id(job_id: &str, faults: &mut Vec<Fault>) {
    let problem = if job_id.is_empty() {
        "must not be empty"
    } else if job_id.len() > JOB_ID_BYTES_MAX {
        "must have at most 512 bytes"
    } else if job_id.chars().any(char::is_control) {
        "must not hold control characters"
    } else if matches!(job_id, "." | "..") {
        // A URL parser takes these for steps in the path, however they are encoded.
        "must not be a step in a path"
    } else {
        return;
    };
    faults.push(fault("job_id", problem));
}

fn check_labels(labels: &BTreeMap<String, String>, faults: &mut Vec<Fault>) {
    if labels.len() > LABELS_MAX {
        faults.push(fault("labels", format!("must be at most {LABELS_MAX}")));
    }
    for (name, value) in labels {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
        if name.is_empty() || name.len() > LABEL_BYTES_MAX || !name.chars().all(is_plain) {
            faults.push(fault(
                "labels",
                format!("the name {name:?} must have 1 to {LABEL_BYTES_MAX} letters, digits, `.`, `_`, `/` or `-`"),
            ));
        }
        if value.len() > LABEL_BYTES_MAX || value.chars().any(char::is_control) {
            faults.push(fault(
                "labels",
                format!("the value of `{name}` must have at most {LABEL_BYTES_MAX} bytes and no control characters"),
            ));
        }
    }
}

/// A time, or so long after `now`.
fn parse_deadline(text: &str, now: Timestamp) -> Option<Timestamp> {
    let after = || parse_duration(text).ok().map(|after| later(now, after));
    text.parse().ok().or_else(after)
}

fn deadline_of(
    request: &WatchRequest,
    service: Option<&Service>,
    now: Timestamp,
    faults: &mut Vec<Fault>,
) -> Option<Timestamp> {
    let Some(text) = &request.deadline else {
        return service.map(|service| later(now, service.timing.deadline()));
    };
    // That it is neither was told already.
    let deadline = parse_deadline(text, now)?;
    if deadline <= now || until(now, deadline) > DEADLINE_MAX {
        faults.push(fault(
            "deadline",
            format!("`{text}` must be in the future, at most 365 days from now"),
        ));
        return None;
    }
    Some(deadline)
}

/// The definition's params, each from the request or else from the service. They are
/// stored with the watch: a later change of the configuration does not move it.
fn params_of(request: &WatchRequest, service: &Service, faults: &mut Vec<Fault>) -> Params {
    let wanted = &service.definition.params;
    for name in request.params.keys().filter(|name| !wanted.contains(name)) {
        let names = wanted.iter().map(String::as_str);
        faults.push(fault("params", unknown_name("param", name, names)));
    }
    for name in service.params_wanted(&request.params) {
        faults.push(fault(
            "params",
            format!(
                "`{name}` is missing: the service `{}` does not set it, so the watch must",
                service.name
            ),
        ));
    }
    let mut params = Params::new();
    for name in wanted {
        let value = request
            .params
            .get(name)
            .or_else(|| service.params.get(name));
        let Some(value) = value else { continue };
        if let Err(allowed) = check_param(value) {
            faults.push(fault("params", format!("`{name}` {allowed}")));
        }
        params.insert(name.clone(), value.clone());
    }
    params
}
