//! Builds the parts of the program from the settings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};

use crate::clock::SharedClock;
use crate::credential;
use crate::credential::SharedCredential;
use crate::credential::build::Wanted;
use crate::credential::configured::BuildError;
use crate::outbound::proxy::Route;
use crate::outbound::{NO_TLS, is_local};
use crate::service::settings::ServiceSettings;
use crate::service::transport::{HttpTransport, LocalBypass, SetUpError, SharedTransport};
use crate::service::{Base, Service, Services};
use crate::settings::values::Settings;
use crate::sink::SharedSink;
use crate::sink::callback::Callback;
use crate::telemetry::LogOutput;
use crate::watch::subscription::{CALLBACK, Subscriptions};

/// Returns the configured services.
///
/// # Errors
/// TLS cannot be set up.
pub fn services(settings: &Settings, clock: &SharedClock) -> anyhow::Result<Services> {
    services_with(settings, &credentials(settings, clock)?)
}

/// Returns the configured services, with credentials that exist already.
///
/// # Errors
/// TLS cannot be set up.
pub fn services_with(
    settings: &Settings,
    credentials: &BTreeMap<String, SharedCredential>,
) -> anyhow::Result<Services> {
    let transports = transports(settings).context(NO_TLS)?;
    let services = settings.services.iter().map(|(name, service)| {
        let credential = credentials.get(&service.credential).with_context(|| {
            format!("the credential `{}` is not configured", service.credential)
        })?;
        let transport = &transports[&service.route];
        Ok(service_of(name, service, credential, transport))
    });
    Ok(Services::new(services.collect::<anyhow::Result<Vec<_>>>()?))
}

/// Makes one transport for each route; services with the same proxy share its connections.
fn transports(settings: &Settings) -> Result<BTreeMap<Route, SharedTransport>, SetUpError> {
    let routes = settings.services.values().map(|it| &it.route);
    let routes: BTreeSet<&Route> = routes.collect();
    let made = routes.into_iter().map(|route| match route {
        Route::Environment => Ok((route.clone(), by_environment(settings)?)),
        own => {
            let own = HttpTransport::by(own.clone())?;
            Ok((route.clone(), Arc::new(own) as SharedTransport))
        }
    });
    made.collect()
}

fn by_environment(settings: &Settings) -> Result<SharedTransport, SetUpError> {
    let far = HttpTransport::new()?;
    let may_be_near = |base: &Base| match base {
        Base::Url(url) => is_local(url.as_str()),
        Base::Catalog { .. } => true,
    };
    if !settings.services.values().any(|it| may_be_near(&it.base)) {
        return Ok(Arc::new(far));
    }
    let near = HttpTransport::direct()?;
    Ok(Arc::new(LocalBypass { near, far }))
}

/// Returns the configured credentials, by name.
///
/// # Errors
/// TLS cannot be set up, or an agency has no source.
pub fn credentials(
    settings: &Settings,
    clock: &SharedClock,
) -> anyhow::Result<BTreeMap<String, SharedCredential>> {
    let needs_catalog = |name: &String| {
        let mut services = settings.services.values();
        services.any(|it| it.credential == *name && matches!(it.base, Base::Catalog { .. }))
    };
    let wanted = settings.credentials.iter().map(|(name, credential)| {
        let wanted = Wanted {
            credential: Arc::clone(&credential.credential),
            catalog: needs_catalog(name),
        };
        (name.clone(), wanted)
    });
    let wanted = wanted.collect();
    credential::build::credentials(&wanted, clock).map_err(|error| match error {
        BuildError::Tls(_) => anyhow::Error::from(error).context(NO_TLS),
        BuildError::Source { .. } => error.into(),
    })
}

fn service_of(
    name: &str,
    service: &ServiceSettings,
    credential: &SharedCredential,
    transport: &SharedTransport,
) -> Service {
    Service {
        name: Arc::from(name),
        definition: Arc::clone(&service.definition),
        base: service.base.clone(),
        credential: Arc::clone(credential),
        params: service.params.clone(),
        timing: service.timing.clone(),
        stages: service.stages.clone(),
        expect: service.expect,
        allow_hosts: service.allow_hosts.clone(),
        max_body: service.max_body,
        limits: service.limits,
        transport: Arc::clone(transport),
        refusals: Arc::default(),
    }
}

/// Returns the configured sinks, by name, and the one for the URLs of watches. The log sink
/// writes to `log`.
///
/// # Errors
/// A file cannot be used, or TLS cannot be set up.
pub fn sinks(settings: &Settings, log: &LogOutput) -> anyhow::Result<BTreeMap<String, SharedSink>> {
    let mut sinks = BTreeMap::new();
    for (name, settings) in &settings.sinks {
        let sink = settings.sink.set_up(log).map_err(|reason| anyhow!(reason));
        let sink = sink.with_context(|| format!("set up the sink `{name}`"))?;
        sinks.insert(name.clone(), sink);
    }
    if let Some(callback) = &settings.api.callback {
        let sink = Callback::new(callback.hosts.clone(), &callback.options);
        let sink = sink.map_err(|reason| anyhow!(reason)).context(NO_TLS)?;
        sinks.insert(CALLBACK.to_owned(), Arc::new(sink));
    }
    Ok(sinks)
}

/// Returns how long a watch is kept after its end; `None` for ever. A watch that still gets late
/// polls is kept as long.
pub fn keep(settings: &Settings) -> Option<Duration> {
    let services = settings.services.values();
    let late = services.map(|service| service.timing.after_watch());
    settings.store.keep_with(late)
}

/// Returns the jobs of the `[[watches]]`, by service and job id: their watches are kept for ever,
/// because each start submits them.
pub fn configured_jobs(settings: &Settings) -> BTreeSet<(String, String)> {
    let watches = settings.watches.iter();
    let jobs = watches.map(|watch| (watch.service.clone(), watch.job_id.clone()));
    jobs.collect()
}

/// Returns the filters that decide which sink gets which event.
pub fn subscriptions(settings: &Settings) -> Subscriptions {
    let sinks = settings.sinks.iter();
    let callback = settings.api.callback.as_ref();
    Subscriptions {
        sinks: sinks
            .map(|(name, sink)| (name.clone(), sink.filter.clone()))
            .collect(),
        callback: callback.map(|callback| callback.filter.clone()),
    }
}
