//! The submission of a watch: the check of the request, and the commit.

use rand::Rng;

use crate::actions::Actions;
use crate::outbound::egress::Hosts;
use crate::service::Service;
use crate::store::{StoreError, Submitted};
use crate::suggest;
use crate::watch::change::Change;
use crate::watch::event::EventKind;
use crate::watch::request::{Fault, WatchRequest, check_param};
use crate::watch::{CallbackUrl, Params, State, Watch, WatchId};

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

fn listed(faults: &[Fault]) -> String {
    let each: Vec<String> = faults.iter().map(ToString::to_string).collect();
    each.join("; ")
}

impl Actions {
    /// Accepts one watch. If the same job of the same service is watched already, returns that
    /// watch.
    ///
    /// # Errors
    /// The request has faults and nothing was stored, or the store failed.
    pub async fn submit(&self, request: &WatchRequest) -> Result<Submitted, SubmitError> {
        let change = self.prepare(request).map_err(SubmitError::Refused)?;
        let answers = self.parts.store.submit(vec![change]).await?;
        let answer = answers.into_iter().next().ok_or(StoreError::Closed)?;
        if matches!(answer, Submitted::Accepted(_)) {
            self.parts.wake.wake();
        }
        Ok(answer)
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
        let params = params_of(request, service, &mut faults);
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
        let composer = &self.parts.composer;
        Ok(composer.compose(watch, EventKind::Accepted, now))
    }

    fn unknown_service(&self, name: &str) -> Fault {
        let names = self.parts.services.names();
        Fault::new("service", unknown_name("service", name, names))
    }

    fn check_sinks(&self, sinks: &[String], faults: &mut Vec<Fault>) {
        let known = &self.parts.composer.subscriptions().sinks;
        for sink in sinks.iter().filter(|sink| !known.contains_key(*sink)) {
            let names = known.keys().map(String::as_str);
            faults.push(Fault::new("sinks", unknown_name("sink", sink, names)));
        }
    }
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

/// Returns the params of the definition, each from the request or else from the service.
/// They are stored with the watch, so that a later change of the configuration does not
/// make it poll another job.
fn params_of(request: &WatchRequest, service: &Service, faults: &mut Vec<Fault>) -> Params {
    let wanted = &service.definition.params;
    for name in request.params.keys().filter(|name| !wanted.contains(name)) {
        let names = wanted.iter().map(String::as_str);
        faults.push(Fault::new("params", unknown_name("param", name, names)));
    }
    for name in service.params_wanted(&request.params) {
        faults.push(Fault::new(
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
            faults.push(Fault::new("params", format!("`{name}` {allowed}")));
        }
        params.insert(name.clone(), value.clone());
    }
    params
}
