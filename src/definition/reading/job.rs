//! The facts of a job in an answer.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::definition::reading::children::{CHILDREN_MAX, Found, promote_reason};
use crate::definition::reading::{Decided, Reading};
use crate::definition::selector::{Selectors, View};
use crate::definition::{JobSelectors, timestamp};
use crate::watch::observation::{Job, Sighting, bounded};

impl Reading<'_> {
    /// Returns the sighting of the job at `view`, in the answer that `whole` shows.
    pub(super) fn sighting(
        &self,
        view: View<'_>,
        whole: View<'_>,
        status: Option<String>,
        decided: Decided,
    ) -> Sighting {
        let selectors = &self.definition.job;
        let zone = &self.definition.answer.zone;
        let found = Found::of(self.definition, view);
        let mut warnings = found.warnings();
        let mut job = Job {
            state: found.decide(self.definition.children_verdict, decided.state),
            job_type: selectors.job_type.first_text(view).map(bounded),
            status: status.map(bounded),
            code: selectors.code.first_text(view).map(bounded),
            reason: selectors.reason.first_text(view).map(bounded),
            began_at: read_time(&selectors.began_at, view, "began_at", zone, &mut warnings),
            ended_at: read_time(&selectors.ended_at, view, "ended_at", zone, &mut warnings),
            progress: selectors.progress.first_text(view).map(bounded),
            resources: resources(selectors, view),
            children: found.children,
        };
        promote_reason(&mut job);
        job.children.truncate(CHILDREN_MAX);
        let mut sighting = Sighting {
            unknown_status: decided.is_unlisted || found.unlisted.is_some(),
            warnings,
            proof: decided.proof,
            ..Sighting::of(job)
        };
        self.add_beside(&mut sighting, view, whole);
        sighting
    }
}

fn resources(selectors: &JobSelectors, view: View<'_>) -> Option<Value> {
    let found = selectors.resources.first_value(view)?;
    let (Some(member), Some(object)) = (&selectors.children_member, found.as_object()) else {
        return Some(found.into_owned());
    };
    // Only the other members are cloned: the children may be most of the answer.
    let others = object.iter().filter(|(name, _)| *name != member);
    Some(Value::Object(
        others
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    ))
}

/// Reads the first time that the selectors yield. One that cannot be read counts as absent,
/// with a warning.
pub(super) fn read_time(
    selectors: &Selectors,
    view: View<'_>,
    name: &str,
    zone: &TimeZone,
    warnings: &mut Vec<String>,
) -> Option<Timestamp> {
    let value = selectors.first_value(view)?;
    timestamp::read_in(&value, zone).unwrap_or_else(|text| {
        warnings.push(bounded(format!("cannot read {name} as a time: {text}")));
        None
    })
}
