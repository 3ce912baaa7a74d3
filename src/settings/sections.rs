//! Reads the settings that belong to no other part, and composes the sections.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::actions::submit::check_callback;
use crate::definition::catalog::Catalog;
use crate::service::settings::{MAX_BODIES, expect};
use crate::settings::api::api;
use crate::settings::credentials::credentials;
use crate::settings::services::{after_watches, services};
use crate::settings::sinks::sinks;
use crate::settings::store::store;
use crate::settings::values::{ApiSettings, RetentionSettings, Settings};
use crate::telemetry::{LogFormat, LogSettings};
use crate::timing::PollSettings;
use crate::tree::reader::{Context, Reader, Traces, not_among};
use crate::tree::source::Layered;
use crate::watch::CallbackUrl;
use crate::watch::request::WatchRequest;

const MILLISECOND: Duration = Duration::from_millis(1);
/// Reads all settings. Returns `None` for them if something essential is wrong; the
/// diagnostics then say so.
pub(super) fn read(layered: &Layered) -> (Option<Settings>, Traces) {
    let context = Context::new(layered);
    let settings = read_in(&context);
    (settings, context.into_traces())
}

pub(super) fn read_in(context: &Context<'_>) -> Option<Settings> {
    let root = &context.root();
    let catalog = catalog(root);
    let poll_section = root.section("poll");
    let poll = PollSettings::read(&poll_section);
    let max_body = poll_section.size("max_body", MAX_BODIES);
    poll_section.finish();
    let credentials = credentials(root);
    let max_body = max_body.and_then(|size| usize::try_from(size).ok());
    let (services, hints) = services(root, &catalog, &credentials, poll, max_body);
    let sinks = sinks(root);
    let (instance, stop_timeout) = (instance(root), root.duration("stop_timeout", MILLISECOND));
    let (log, store, api) = (log(root), store(root), api(root));
    let watches = watches(root, api.as_ref());
    let drop_dir = drop_dir(root);
    root.finish();
    Some(Settings {
        instance: instance?,
        stop_timeout: stop_timeout?,
        log: log?,
        store: store?,
        api: api?,
        credentials: credentials.by_name,
        services,
        hints,
        sinks,
        watches,
        drop_dir,
        catalog,
    })
}

fn instance(root: &Reader<'_>) -> Option<String> {
    let name = root.required_text("instance")?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
        root.report(
            "instance",
            format!("\"{name}\" must have 1 to 64 letters, digits, `.`, `_` or `-`"),
        );
        return None;
    }
    Some(name)
}

fn catalog(root: &Reader<'_>) -> Catalog {
    let mut catalog = Catalog::built_in();
    if !root.has("services_dir") {
        root.ask("services_dir");
    } else if let Some(folder) = root.expanded("services_dir") {
        for error in catalog.add_folder(&PathBuf::from(folder)) {
            root.add(error);
        }
    } else {
        catalog.is_missing_a_folder();
    }
    catalog
}

fn drop_dir(root: &Reader<'_>) -> Option<PathBuf> {
    let path = PathBuf::from(root.expanded("drop_dir")?);
    if !path.is_absolute() {
        let path = path.display();
        root.report("drop_dir", format!("\"{path}\" must be an absolute path"));
    } else if !path.is_dir() {
        let path = path.display();
        root.warn(
            "drop_dir",
            format!("the folder {path} does not exist; jobwatch waits for it"),
        );
    }
    Some(path)
}

fn log(root: &Reader<'_>) -> Option<LogSettings> {
    let section = root.section("log");
    let formats = [
        ("auto", LogFormat::Auto),
        ("human", LogFormat::Human),
        ("json", LogFormat::Json),
    ];
    let format = section.choice("format", &formats);
    let filter = section.required_text("filter").filter(|filter| {
        let parsed = tracing_subscriber::EnvFilter::try_new(filter);
        if let Err(error) = &parsed {
            section.report("filter", format!("\"{filter}\" cannot be used: {error}"));
        }
        parsed.is_ok()
    });
    section.finish();
    Some(LogSettings {
        format: format?,
        filter: filter?,
    })
}

/// Returns the jobs of the `[[watches]]`, by service and job id. Whether they are right is not
/// checked.
/// Reads how long watches are kept, and whose.
pub(super) fn retention(root: &Reader<'_>) -> Option<RetentionSettings> {
    let poll = PollSettings::read(&root.section("poll"));
    let late = after_watches(root, &catalog(root), poll);
    let store = store(root)?;
    Some(RetentionSettings {
        keep: store.keep_with(late),
        database: store.database,
        configured: configured_jobs(root),
    })
}

fn configured_jobs(root: &Reader<'_>) -> BTreeSet<(String, String)> {
    let elements = root.elements("watches");
    let jobs = elements.iter().map(|section| {
        let (service, job_id) = (section.text("service"), section.text("job_id"));
        service.zip(job_id)
    });
    jobs.flatten().collect()
}

fn callback_url(section: &Reader<'_>) -> Option<CallbackUrl> {
    // It may itself be a secret.
    section.hide_path("callback_url");
    section.expanded("callback_url").map(CallbackUrl)
}

/// Reads the watches that are submitted on start. If `api` has an error, their URLs are not
/// checked.
fn watches(root: &Reader<'_>, api: Option<&ApiSettings>) -> Vec<WatchRequest> {
    let api = api.filter(|_| !root.section("api").has_error(""));
    let callback_hosts = api.map(|api| api.callback.as_ref().map(|callback| &callback.hosts));
    root.elements("watches")
        .iter()
        .filter_map(|section| {
            let service = section.required_text("service");
            let job_id = section.required_text("job_id");
            let request = WatchRequest {
                response: None,
                params: section.texts("params"),
                labels: section.texts("labels"),
                run: section.text("run"),
                since: section.text("since"),
                again: section.flag("again"),
                expect: expect(section),
                deadline: section.text("deadline"),
                sinks: section.list("sinks"),
                callback_url: callback_url(section),
                group: None,
                group_size: None,
                service: service?,
                job_id: job_id?,
            };
            section.finish();
            let known = |names: Vec<String>, key: &str, name: &str| {
                if !names.iter().any(|known| known == name) {
                    let names = names.iter().map(String::as_str);
                    section.report(key, not_among(name, names));
                }
            };
            known(root.names("services"), "service", &request.service);
            for sink in &request.sinks {
                known(root.names("sinks"), "sinks", sink);
            }
            if let Some(url) = &request.callback_url
                && let Some(hosts) = callback_hosts
                && let Err(message) = check_callback(url, hosts)
            {
                section.report("callback_url", message);
            }
            for fault in request.check() {
                section.report(&fault.field, fault.message);
            }
            Some(request)
        })
        .collect()
}
