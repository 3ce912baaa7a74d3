//! Each kind of sink alone, with real sockets, files and processes.

mod callbacks;
mod commands;
mod files;
mod templates;
mod tls;
mod webhooks;

use jiff::Timestamp;
use jobwatch::sink::{AttemptResult, Sink};
use jobwatch::watch::delivery::Delivery;
use jobwatch::watch::event::{Event, EventKind, Instance};
use jobwatch::watch::observation::{Job, JobState};
use jobwatch::watch::{Outcome, State};

use crate::store::samples::{at, watch};

/// The event of a watch whose job ended with this outcome and `reason`.
pub(crate) fn delivery(outcome: Outcome, reason: &str) -> Delivery {
    let mut watch = watch(1);
    watch.state = State::Final(outcome);
    watch.job = Some(Job {
        state: JobState::Failed,
        job_type: Some("createCache".to_owned()),
        status: Some("FAIL".to_owned()),
        code: Some("DCS.4001".to_owned()),
        reason: Some(reason.to_owned()),
        began_at: Some(at(1)),
        ended_at: Some(at(59)),
        progress: None,
        resources: None,
        children: Vec::new(),
    });
    let event = Event::of(
        &watch,
        EventKind::Finished(outcome),
        &Instance("test".to_owned()),
        at(60),
    );
    Delivery {
        event_id: event.id,
        type_name: event.kind.type_name().to_owned(),
        body: event.body,
        target: None,
    }
}

/// An event of a job that failed.
pub(crate) fn failed() -> Delivery {
    delivery(Outcome::Failed, "no capacity")
}

/// The time of all attempts.
pub(crate) fn now() -> Timestamp {
    at(61)
}

/// The reason of a failed attempt that may be repeated.
pub(crate) async fn failure(sink: &dyn Sink, delivery: &Delivery) -> String {
    match sink.deliver(delivery, now()).await.result {
        AttemptResult::Failed { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

/// The reason of a failed attempt that is not repeated.
pub(crate) async fn refusal(sink: &dyn Sink, delivery: &Delivery) -> String {
    match sink.deliver(delivery, now()).await.result {
        AttemptResult::Never { reason } => reason,
        other => panic!("{other:?}"),
    }
}
