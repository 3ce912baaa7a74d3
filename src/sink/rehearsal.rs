//! Tries a template on sample events, so that its mistakes are found before a job fails.

use std::collections::BTreeMap;

use jiff::Timestamp;
use secrecy::SecretString;

use crate::outbound::secret::Secret;
use crate::sink::template::Template;
use crate::tree::reader::Reader;
use crate::watch::event::{Event, EventKind, Instance};
use crate::watch::observation::{Job, JobState};
use crate::watch::{Outcome, State, Watch, WatchId};

/// Warns if the template fails for a sample event, because it will probably fail for real
/// ones. One sample lacks all optional values, which shows a template that requires one; the
/// other has them as texts, which shows quotes that should not be there.
pub(super) fn rehearse(
    section: &Reader<'_>,
    template: &Template,
    values: &BTreeMap<String, Secret>,
) {
    let read = |(name, secret): (&String, &Secret)| match secret {
        Secret::Elsewhere(_) => Some((name.clone(), SecretString::from("sample"))),
        here => Some((name.clone(), here.read().ok()?)),
    };
    let values = values.iter().filter_map(read).collect();
    let samples = [
        ("a plain `job.failed` event", None),
        ("a `job.failed` event with a reason", Some(whole_job())),
    ];
    for (name, job) in samples {
        let event = sample(job).body;
        let event = serde_json::from_str(&event).expect("an event is a JSON object");
        if let Err(message) = template.render(&event, &values) {
            section.warn("template_file", format!("fails for {name}: {message}"));
            return;
        }
    }
}

/// Makes a job with a value in every text.
fn whole_job() -> Job {
    let text = || Some("sample".to_owned());
    let at = Timestamp::UNIX_EPOCH;
    Job {
        state: JobState::Failed,
        job_type: text(),
        status: text(),
        code: text(),
        reason: text(),
        began_at: Some(at),
        ended_at: Some(at),
        progress: text(),
        resources: None,
        children: Vec::new(),
    }
}

/// Makes the event of a failed job.
fn sample(job: Option<Job>) -> Event {
    let at = Timestamp::UNIX_EPOCH;
    let outcome = Outcome::Failed;
    let names = ("sample", "sample");
    let watch = Watch {
        state: State::Final(outcome),
        job,
        finished_at: Some(at),
        polls: 1,
        revision: 1,
        ..Watch::new(WatchId::new(at, [0; 10]), names, "sample", at, at)
    };
    let instance = Instance("sample".to_owned());
    Event::of(&watch, EventKind::Finished(outcome), &instance, at)
}
