//! The submission of a watch: the check of the request, and the commit.

use std::collections::BTreeSet;

use rand::Rng;

use crate::actions::Actions;
use crate::clock::until;
use crate::outbound::egress::Hosts;
use crate::service::Service;
use crate::store::{self, StoreError, StoredGroup, Submitted};
use crate::suggest;
use crate::watch::change::Change;
use crate::watch::event::EventKind;
use crate::watch::request::{Fault, WatchRequest, check_param};
use crate::watch::{CallbackUrl, Params, Watch, WatchId};

/// The reason why a submission was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The request has these faults; the list is complete.
    #[error("the watch was refused: {}", listed(.0))]
    Refused(Vec<Fault>),
    /// The store failed. Submitting again is safe, whether or not the watch was stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The answer to a submission.
#[derive(Debug)]
pub struct Submission {
    /// The watch, new or existing.
    pub watch: Watch,
    /// True if the watch is new.
    pub is_new: bool,
    /// The members of the request that an existing watch does not follow.
    pub ignored: Vec<&'static str>,
}

fn listed(faults: &[Fault]) -> String {
    let each: Vec<String> = faults.iter().map(ToString::to_string).collect();
    each.join("; ")
}

impl Actions {
    /// Accepts one watch. If the same job is watched already, returns that watch; the same if an
    /// operation has ended with a verdict, which never changes.
    ///
    /// # Errors
    /// The request has faults and nothing was stored, or the store failed.
    pub async fn submit(&self, request: &WatchRequest) -> Result<Submission, SubmitError> {
        self.submit_as(request, self.is_operation(request)).await
    }

    /// Accepts a watch of the configuration. A job that has ended with a verdict is not watched
    /// anew at each start, unless the entry says `again = true`.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn submit_configured(
        &self,
        request: &WatchRequest,
    ) -> Result<Submission, SubmitError> {
        self.submit_as(request, true).await
    }

    async fn submit_as(
        &self,
        request: &WatchRequest,
        is_operation: bool,
    ) -> Result<Submission, SubmitError> {
        let requests = std::slice::from_ref(request);
        let mut answers = self.submit_each(requests, |_| is_operation).await?;
        let answer = answers.pop().ok_or(StoreError::Closed)?;
        answer.map_err(SubmitError::Refused)
    }

    /// Accepts many watches in one transaction. Each request is judged alone: the faults of one
    /// change nothing for the others. The answers are in the order of the requests.
    ///
    /// # Errors
    /// The store failed, and none was accepted.
    pub async fn submit_all(
        &self,
        requests: &[WatchRequest],
    ) -> Result<Vec<Result<Submission, Vec<Fault>>>, StoreError> {
        self.submit_each(requests, |request| self.is_operation(request))
            .await
    }

    /// Checks a request as a submission does, and stores nothing. A request without a job stands for
    /// one whose job does not exist yet.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn check(&self, mut request: WatchRequest) -> Result<(), SubmitError> {
        if request.job_id.is_empty() && request.response.is_none() {
            "the-job-to-come".clone_into(&mut request.job_id);
        }
        let mut faults = self.prepare(&request).err().unwrap_or_default();
        if let Some(name) = &request.group
            && let Some(group) = self.parts.store.group(name).await?
        {
            faults.extend(refusal_by(&group, &request));
        }
        match faults.as_slice() {
            [] => Ok(()),
            _ => Err(SubmitError::Refused(faults)),
        }
    }

    fn is_operation(&self, request: &WatchRequest) -> bool {
        let service = self.parts.services.get(&request.service);
        service.is_some_and(|service| service.definition.names_operations())
    }

    async fn submit_each(
        &self,
        requests: &[WatchRequest],
        is_operation: impl Fn(&WatchRequest) -> bool,
    ) -> Result<Vec<Result<Submission, Vec<Fault>>>, StoreError> {
        let mut submissions = Vec::with_capacity(requests.len());
        let mut refused = Vec::new();
        for request in requests {
            match self.prepare(request) {
                Ok(change) => {
                    submissions.push(store::Submission {
                        change,
                        accepts_ended: is_operation(request) && !request.again,
                        group_size: request.group_size,
                    });
                    refused.push(None);
                }
                Err(faults) => refused.push(Some(faults)),
            }
        }
        let mut stored = Vec::new().into_iter();
        if !submissions.is_empty() {
            let submitted = self.parts.store.submit(submissions).await?;
            self.hand_over(&submitted);
            stored = submitted.into_iter();
        }
        let mut answers = Vec::with_capacity(requests.len());
        for (request, refused) in requests.iter().zip(refused) {
            answers.push(match refused {
                Some(faults) => Err(faults),
                None => self.answer(request, stored.next().ok_or(StoreError::Closed)?),
            });
        }
        Ok(answers)
    }

    /// Gives the new watches to the poller, and wakes those who wait for events.
    fn hand_over(&self, submitted: &[Submitted]) {
        let accepted = submitted.iter().filter_map(|one| match one {
            Submitted::Accepted(watch) => Some(watch),
            _ => None,
        });
        let accepted: Vec<&Watch> = accepted.collect();
        if !accepted.is_empty() {
            self.parts.poller.accept(&accepted);
            self.parts.wake.wake();
        }
    }

    fn answer(
        &self,
        request: &WatchRequest,
        submitted: Submitted,
    ) -> Result<Submission, Vec<Fault>> {
        match submitted {
            Submitted::Accepted(watch) => Ok(Submission {
                watch,
                is_new: true,
                ignored: Vec::new(),
            }),
            Submitted::Existing(watch) => {
                // Composed once more, because most submissions are new.
                let wanted = self.prepare(request)?.watch;
                Ok(Submission {
                    ignored: ignored(request, &wanted, &watch),
                    watch,
                    is_new: false,
                })
            }
            Submitted::GroupClosed => Err(vec![closed(request)]),
            Submitted::GroupHasSize(size) => Err(vec![other_size(size)]),
        }
    }

    /// Checks a request and composes the change that accepts it.
    ///
    /// # Errors
    /// Returns every fault of the request.
    pub fn prepare(&self, request: &WatchRequest) -> Result<Change, Vec<Fault>> {
        let now = self.parts.clock.now();
        let mut faults = request.check();
        self.check_sinks(&request.sinks, &mut faults);
        if let Some(url) = &request.callback_url
            && let Err(message) = check_callback(url, self.parts.callback_hosts.as_ref())
        {
            faults.push(Fault::new("callback_url", message));
        }
        let Some(service) = self.parts.services.get(&request.service) else {
            faults.push(self.unknown_service(&request.service));
            return Err(faults);
        };
        let created = request.response.as_deref().and_then(|response| {
            let created = service.created_job(response, now);
            created.map_err(|fault| faults.push(fault)).ok()
        });
        let with_answer;
        let request = match &created {
            Some(created) => {
                with_answer = WatchRequest {
                    job_id: created.job_id.clone(),
                    run: request.run.clone().or_else(|| created.run.clone()),
                    since: request
                        .since
                        .clone()
                        .or_else(|| created.since_with_margin()),
                    response: None,
                    ..request.clone()
                };
                faults.extend(with_answer.check());
                &with_answer
            }
            None => request,
        };
        let params = params_of(request, service, &mut faults);
        let since = request.since_at(now).unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        let deadline = match request.deadline_at(now, service.timing.deadline()) {
            Ok(deadline) if faults.is_empty() => deadline,
            Ok(_) => return Err(faults),
            Err(fault) => {
                faults.push(fault);
                return Err(faults);
            }
        };
        let mut random = [0; 10];
        self.rng.lock().fill_bytes(&mut random);
        let names = (request.service.as_str(), service.definition.name.as_str());
        let id = WatchId::new(now, random);
        let watch = Watch {
            params,
            labels: request.labels.clone(),
            sinks: request.sinks.clone(),
            callback_url: request.callback_url.clone(),
            group: request.group.clone(),
            named_run: request.run.clone(),
            run: request.run.clone(),
            since,
            expect: request.expect.or(service.expect),
            ..Watch::new(id, names, &request.job_id, now, deadline)
        };
        let composer = &self.parts.composer;
        Ok(composer.compose(watch, EventKind::Accepted, now))
    }

    fn unknown_service(&self, name: &str) -> Fault {
        let names = self.parts.services.names();
        Fault::new("service", unknown_name("service", name, names))
    }

    fn check_sinks(&self, sinks: &[String], faults: &mut Vec<Fault>) {
        let known = &self.parts.composer.subscriptions().sinks;
        let unknown = |(_, sink): &(usize, &String)| !known.contains_key(*sink);
        for (n, sink) in sinks.iter().enumerate().filter(unknown) {
            let names = known.keys().map(String::as_str);
            let rule = unknown_name("sink", sink, names);
            faults.push(Fault::new(&format!("sinks[{n}]"), rule));
        }
    }
}

/// The group of a watch takes no more watches.
fn closed(request: &WatchRequest) -> Fault {
    let name = request.group.as_deref().unwrap_or_default();
    Fault::new(
        "group",
        format!("the group `{name}` is closed and takes no more watches; choose another name"),
    )
}

/// Returns the reason why a group does not take the watch of a request.
fn refusal_by(group: &StoredGroup, request: &WatchRequest) -> Option<Fault> {
    if group.closed_at.is_some() {
        return Some(closed(request));
    }
    let size = group.size.filter(|_| request.group_size.is_some());
    size.filter(|_| group.size != request.group_size)
        .map(other_size)
}

/// The group of a watch has another size than the request says.
fn other_size(size: u32) -> Fault {
    Fault::new(
        "group_size",
        format!("the group has the size {size}; give the same, or none"),
    )
}

/// Returns the members of a request that differ from an `existing` watch. `wanted` is the watch that
/// the request would have made.
fn ignored(request: &WatchRequest, wanted: &Watch, existing: &Watch) -> Vec<&'static str> {
    [
        (
            "labels",
            !request.labels.is_empty() && wanted.labels != existing.labels,
        ),
        (
            "deadline",
            request.deadline.is_some() && !is_same_deadline(wanted, existing),
        ),
        (
            "sinks",
            !request.sinks.is_empty() && wanted.sinks != existing.sinks,
        ),
        (
            "callback_url",
            request.callback_url.is_some() && wanted.callback_url != existing.callback_url,
        ),
        (
            "group",
            request.group.is_some() && wanted.group != existing.group,
        ),
        (
            "since",
            request.since.is_some() && !is_same_since(wanted, existing),
        ),
        (
            "expect",
            request.expect.is_some() && wanted.expect != existing.expect,
        ),
    ]
    .into_iter()
    .filter_map(|(member, differs)| differs.then_some(member))
    .collect()
}

/// True if two deadlines are the same time, or the same duration after each submission. A request
/// that is repeated a moment later must not seem to differ.
fn is_same_deadline(wanted: &Watch, existing: &Watch) -> bool {
    let within = |watch: &Watch| until(watch.submitted_at, watch.deadline);
    wanted.deadline == existing.deadline || within(wanted) == within(existing)
}

/// True if two `since` are the same time, or the same duration before each submission.
fn is_same_since(wanted: &Watch, existing: &Watch) -> bool {
    let before = |watch: &Watch| watch.since.map(|since| until(since, watch.submitted_at));
    wanted.since == existing.since || before(wanted) == before(existing)
}

/// Returns "unknown service `dsc`; did you mean `dcs`? (known: dcs, sdrs)".
fn unknown_name<'a>(noun: &str, name: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let suggestion = suggest::did_you_mean(name, names.iter().copied());
    let all = match names.as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    format!("unknown {noun} `{name}`{suggestion} (known: {all})")
}

/// Checks the `callback_url` of a watch against the hosts that the settings allow.
///
/// # Errors
/// Returns the rule that the URL breaks. The text does not contain the URL, which may be a
/// secret.
pub fn check_callback(url: &CallbackUrl, hosts: Option<&Hosts>) -> Result<(), String> {
    match hosts {
        Some(hosts) => hosts.check(&url.0).map(drop),
        None => Err(
            "is not allowed: `allow_callback_hosts` in [api] lists the hosts that are".to_owned(),
        ),
    }
}

/// Returns the params of the definition and of the jobs that may take over, each from the request
/// or else from the service. They are stored with the watch, so that a later change of the
/// configuration does not make it poll another job.
fn params_of(request: &WatchRequest, service: &Service, faults: &mut Vec<Fault>) -> Params {
    let wanted: BTreeSet<&str> = service.param_names().collect();
    let unknown = |name: &&String| !wanted.contains(name.as_str());
    for name in request.params.keys().filter(unknown) {
        let names = wanted.iter().copied();
        let rule = unknown_name("param", name, names);
        faults.push(Fault::new(&format!("params.{name}"), rule));
    }
    for name in service.params_wanted(&request.params) {
        faults.push(Fault::new(
            &format!("params.{name}"),
            format!(
                "is missing: the service `{}` does not set it, so the watch must",
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
            faults.push(Fault::new(&format!("params.{name}"), allowed));
        }
        params.insert(name.to_owned(), value.clone());
    }
    params
}
