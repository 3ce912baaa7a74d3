//! The choice whether a sighting counts: whether it is about our run, and whether its end is
//! believed.
//!
//! An end is believed once it holds for `settle` (only before any progress was seen) and
//! `confirm` sightings in a row agree on it. An end of an earlier run never is.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock::Moment;
use crate::watch::Outcome;
use crate::watch::observation::Sighting;
use crate::watch::terms::Terms;
use crate::watch::tracking::{Candidate, Tracking};

/// Without a `since` of its own, a watch is about runs that are at most this much older than its
/// submission: a job is often submitted only after it has begun.
const SINCE_DEFAULT: SignedDuration = SignedDuration::from_mins(1);

/// The meaning of a sighting for a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The job goes on, or a resource that shall go is still there.
    Progress,
    /// It shows another run before ours, which has not begun.
    AnotherRun,
    /// It shows an end from before the runs that the watch is about.
    Stale,
    /// It shows an end that is not believed yet.
    Unconfirmed,
    /// The job has ended, and enough sightings agree on that.
    End(Outcome),
    /// Another run has taken the place of ours.
    Replaced,
}

/// Returns the meaning of a sighting, learns its run, and counts its end among the confirmations.
pub(super) fn meaning(
    tracking: &mut Tracking,
    sighting: &Sighting,
    terms: &Terms<'_>,
    now: Moment,
) -> Meaning {
    let outcome = end_of(tracking, sighting);
    if is_another_run(tracking, sighting) {
        let is_ours_seen = tracking
            .extra
            .as_ref()
            .is_some_and(|extra| extra.is_run_seen);
        if !is_ours_seen {
            forget_candidate(tracking);
            return Meaning::AnotherRun;
        }
        // Every sighting of the other run agrees with this, in each of its states.
        let end = hash(&("replaced", &sighting.run));
        return confirmed(tracking, end, terms, now, Meaning::Replaced);
    }
    note_run(tracking, sighting, outcome.is_none());
    let Some(outcome) = outcome else {
        forget_candidate(tracking);
        return Meaning::Progress;
    };
    if !tracking.has_progress && is_old(tracking, sighting, terms) {
        forget_candidate(tracking);
        return Meaning::Stale;
    }
    let job = &sighting.job;
    let end = hash(&(job.state, &job.status, &sighting.run, sighting.run_at));
    confirmed(tracking, end, terms, now, Meaning::End(outcome))
}

/// Returns the outcome that a sighting would have for this watch; `None` if its job goes on. A
/// watch of a deletion goes on while the resource is well.
fn end_of(tracking: &Tracking, sighting: &Sighting) -> Option<Outcome> {
    let outcome = sighting.job.state.outcome()?;
    let is_success = matches!(outcome, Outcome::Succeeded | Outcome::Partial);
    (!(is_success && tracking.expects_gone())).then_some(outcome)
}

/// True if both runs are known and differ. An answer that does not name its run is not compared.
fn is_another_run(tracking: &Tracking, sighting: &Sighting) -> bool {
    match (tracking.run(), sighting.run.as_deref()) {
        (Some(ours), Some(seen)) => ours != seen,
        _ => false,
    }
}

/// Notes that our run was seen. The first progress that names its run fixes it.
fn note_run(tracking: &mut Tracking, sighting: &Sighting, is_progress: bool) {
    let Some(seen) = sighting.run.as_deref() else {
        return;
    };
    match tracking.run() {
        Some(_) => tracking.extra_mut().is_run_seen = true,
        None if is_progress => {
            let extra = tracking.extra_mut();
            extra.run = Some(seen.into());
            extra.is_run_seen = true;
        }
        None => {}
    }
}

/// True if the run of an end began or ended before the runs that the watch is about.
fn is_old(tracking: &Tracking, sighting: &Sighting, terms: &Terms<'_>) -> bool {
    sighting
        .run_at
        .is_some_and(|run_at| run_at < since(tracking, terms))
}

/// Returns the time before which an end belongs to an earlier run.
fn since(tracking: &Tracking, terms: &Terms<'_>) -> Timestamp {
    let named = tracking.extra.as_ref().and_then(|extra| extra.since);
    named.unwrap_or_else(|| {
        let since = terms.submitted_at.checked_sub(SINCE_DEFAULT);
        since.unwrap_or(Timestamp::MIN)
    })
}

/// Returns `meaning` once enough sightings agree on this `end` for long enough.
fn confirmed(
    tracking: &mut Tracking,
    end: u64,
    terms: &Terms<'_>,
    now: Moment,
    meaning: Meaning,
) -> Meaning {
    let settle = if tracking.has_progress {
        Duration::ZERO
    } else {
        terms.timing.settle()
    };
    let confirm = terms.timing.confirm();
    if settle.is_zero() && confirm <= 1 {
        forget_candidate(tracking);
        return meaning;
    }
    let before = tracking.extra_mut().candidate.take();
    let candidate = match before {
        Some(before) if before.end == end => Candidate {
            sightings: before.sightings.saturating_add(1),
            ..before
        },
        _ => Candidate {
            end,
            since: now.uptime,
            sightings: 1,
        },
    };
    tracking.extra_mut().candidate = Some(candidate);
    let has_held = now.uptime.saturating_sub(candidate.since) >= settle;
    if has_held && candidate.sightings >= confirm {
        meaning
    } else {
        Meaning::Unconfirmed
    }
}

fn forget_candidate(tracking: &mut Tracking) {
    if let Some(extra) = &mut tracking.extra {
        extra.candidate = None;
    }
}

fn hash(end: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    end.hash(&mut hasher);
    hasher.finish()
}
