//! The effect of an observation on a watch: the only place that decides on outcomes.
//!
//! [`decide`] is a function of the tracking so far, one observation, the terms of the watch
//! and the time. It reads and writes only [`Tracking`], the small part of a watch that stays
//! in memory; [`record`] then carries a step that makes an event over to the whole [`Watch`].

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Moment;
use crate::watch::belief::{self, Meaning};
use crate::watch::event::EventKind;
use crate::watch::note::Note;
use crate::watch::observation::{
    Job, JobState, NextJob, Observation, Problem, ProblemKind, ProblemNote, Sighting,
};
use crate::watch::request::{check_param, is_job_id};
use crate::watch::stage::{EndedStage, STAGES_MAX, Stage};
use crate::watch::terms::{NotFoundMeans, Terms};
use crate::watch::tracking::{Extra, Tracking};
use crate::watch::{Cause, Outcome, State, Watch};

/// The number of `not_found` in a row that ends a watch.
pub const NOT_FOUND_CONFIRMATIONS: u8 = 3;

/// The effect of an observation on a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is nothing new, so there is no event and nothing to write (invariant 6).
    Unchanged,
    /// The job changed, which makes an event of this kind.
    Changed(EventKind),
    /// The job succeeded, and another job takes over.
    HandedOver,
    /// The watch ends with this outcome.
    Finished(Outcome),
}

/// Decides on the effect of `observation`, made at `now`, on a watch without an outcome.
///
/// The observation gets the state that counts for this watch: an end of an earlier run is
/// pending.
pub fn decide(
    tracking: &mut Tracking,
    observation: &mut Observation,
    terms: &Terms<'_>,
    now: Moment,
) -> Step {
    tracking.polls = tracking.polls.saturating_add(1);
    let step = match observation {
        Observation::Sighting(sighting) => on_sighting(tracking, sighting, terms, now),
        Observation::Problem(problem) => on_problem(tracking, problem, terms, now),
    };
    match step {
        Step::Finished(_) | Step::HandedOver => step,
        _ if now.at >= terms.deadline => Step::Finished(Outcome::TimedOut),
        _ => step,
    }
}

fn on_sighting(
    tracking: &mut Tracking,
    sighting: &mut Sighting,
    terms: &Terms<'_>,
    now: Moment,
) -> Step {
    note_sighting(tracking, sighting);
    let knew_the_run = tracking.run().is_some();
    let meaning = belief::meaning(tracking, sighting, terms, now);
    if meaning != Meaning::Stale && meaning != Meaning::End(Outcome::Succeeded) {
        forget_unusable(tracking);
    }
    match meaning {
        Meaning::Unconfirmed => {
            tracking.is_counted = false;
            Step::Unchanged
        }
        Meaning::Replaced => {
            tracking.is_counted = false;
            replaced(tracking, sighting, terms)
        }
        Meaning::Progress => {
            if sighting.job.state.outcome().is_some() {
                // A resource that shall go, and is well.
                sighting.job.state = JobState::Running;
            }
            let step = count(tracking, &sighting.job);
            tracking.has_progress = true;
            follow(tracking, sighting);
            match step {
                // The run must survive a restart, so that another one is not taken for ours.
                Step::Unchanged if !knew_the_run && tracking.run().is_some() => {
                    Step::Changed(EventKind::Changed)
                }
                step => step,
            }
        }
        Meaning::AnotherRun => not_ours_yet(tracking, sighting),
        Meaning::Stale => {
            let step = not_ours_yet(tracking, sighting);
            let ended = sighting
                .run_at
                .map_or_else(String::new, |at| format!(" at {at}"));
            let why = format!("the last run ended{ended}, before this watch's since");
            give_up_unusable(tracking, why, terms, now).unwrap_or(step)
        }
        Meaning::End(Outcome::Succeeded) if terms.hands_over => {
            hand_over(tracking, sighting, terms, now)
        }
        Meaning::End(outcome) => {
            count(tracking, &sighting.job);
            Step::Finished(outcome)
        }
    }
}

/// Notes that an answer showed the job, in any state.
fn note_sighting(tracking: &mut Tracking, sighting: &Sighting) {
    tracking.seen = true;
    tracking.sightings = tracking.sightings.saturating_add(1);
    tracking.problems_in_a_row = 0;
    tracking.not_found_run = 0;
    tracking.refused_since = None;
    if let Some(extra) = &mut tracking.extra {
        extra.absent_since = None;
        if **extra == Extra::default() {
            tracking.extra = None;
        }
    }
    if sighting.proof.is_lenient {
        tracking.notes.add(Note::Lenient);
    }
    if sighting.is_redirected {
        tracking.notes.add(Note::Redirected);
    }
}

/// Takes a sighting as the last one that counts, and returns the step of a job that goes on.
fn count(tracking: &mut Tracking, job: &Job) -> Step {
    let looks = job.fingerprint();
    let is_new = looks != tracking.fingerprint;
    let was_held = tracking.held;
    tracking.held = job.state == JobState::Held;
    tracking.fingerprint = looks;
    tracking.is_counted = true;
    match (tracking.held && !was_held, is_new) {
        (true, _) => Step::Changed(EventKind::Held),
        (false, true) => Step::Changed(EventKind::Changed),
        (false, false) => Step::Unchanged,
    }
}

/// Counts an end of another run as pending: ours has not begun.
fn not_ours_yet(tracking: &mut Tracking, sighting: &mut Sighting) -> Step {
    tracking.notes.add(Note::Stale);
    sighting.job.state = JobState::Pending;
    count(tracking, &sighting.job)
}

/// Ends a watch whose run has made room for another one.
fn replaced(tracking: &mut Tracking, sighting: &Sighting, terms: &Terms<'_>) -> Step {
    tracking.notes.add(Note::Replaced);
    if gone_is_success(tracking, terms) {
        return Step::Finished(Outcome::Succeeded);
    }
    let run = sighting.run.as_deref().unwrap_or_default();
    tracking.explain_end(Cause::new(format!("replaced by run {run}")));
    Step::Finished(Outcome::Lost)
}

/// Goes on to the job that takes over. A success that does not name it yet counts as pending.
fn hand_over(
    tracking: &mut Tracking,
    sighting: &mut Sighting,
    terms: &Terms<'_>,
    now: Moment,
) -> Step {
    let next = sighting.next.as_ref();
    let Some(next) = next.filter(|next| is_usable(next)) else {
        sighting.job.state = JobState::Pending;
        let step = count(tracking, &sighting.job);
        let why = "no next job was named".to_owned();
        return give_up_unusable(tracking, why, terms, now).unwrap_or(step);
    };
    let index = tracking.stage().map_or(0, |stage| stage.index) + 1;
    if index as usize >= STAGES_MAX {
        count(tracking, &sighting.job);
        let why = format!("more than {STAGES_MAX} jobs handed over to each other");
        tracking.explain_end(Cause::new(why));
        return Step::Finished(Outcome::Unknown);
    }
    let definition = next.definition.as_deref().unwrap_or(terms.definition);
    *tracking = tracking.at_stage(Stage {
        index,
        definition: definition.to_owned(),
        job_id: next.job_id.clone(),
        params: next.params.clone(),
    });
    Step::HandedOver
}

/// True if the next job can be asked for: the texts come from an answer.
fn is_usable(next: &NextJob) -> bool {
    is_job_id(&next.job_id) && next.params.values().all(|value| check_param(value).is_ok())
}

/// Ends a watch as `unknown` when its sightings have been ends that cannot be used for
/// `not_found_grace`.
fn give_up_unusable(
    tracking: &mut Tracking,
    why: String,
    terms: &Terms<'_>,
    now: Moment,
) -> Option<Step> {
    let since = *tracking
        .extra_mut()
        .unusable_since
        .get_or_insert(now.uptime);
    let lasted = now.uptime.saturating_sub(since);
    if lasted < terms.timing.not_found_grace() {
        return None;
    }
    tracking.explain_end(Cause::new(why));
    Some(Step::Finished(Outcome::Unknown))
}

fn forget_unusable(tracking: &mut Tracking) {
    if let Some(extra) = &mut tracking.extra {
        extra.unusable_since = None;
    }
}

/// Takes over the URL of the next poll, if the answer named one.
fn follow(tracking: &mut Tracking, sighting: &Sighting) {
    if let Some(url) = &sighting.follow
        && tracking.follow() != Some(url)
    {
        tracking.extra_mut().follow = Some(url.as_str().into());
    }
}

fn on_problem(
    tracking: &mut Tracking,
    problem: &mut Problem,
    terms: &Terms<'_>,
    now: Moment,
) -> Step {
    if problem.is_page && tracking.seen {
        // The service knew the job, so a gateway answered in its place.
        problem.kind = ProblemKind::ServerError;
    }
    tracking.problems = tracking.problems.saturating_add(1);
    tracking.problems_in_a_row = tracking.problems_in_a_row.saturating_add(1);
    tracking.last_problem = Some(Box::new(ProblemNote::new(problem, now.at)));
    match problem.kind {
        ProblemKind::Forbidden | ProblemKind::Misconfigured => {
            let since = *tracking.refused_since.get_or_insert(now.uptime);
            let lasted = now.uptime.saturating_sub(since);
            if lasted >= terms.timing.give_up_after() {
                tracking.explain_end(cause_of(problem));
                return Step::Finished(Outcome::Unknown);
            }
        }
        ProblemKind::NotFound => {
            tracking.refused_since = None;
            return on_not_found(tracking, problem, terms, now);
        }
        ProblemKind::Throttled
        | ProblemKind::Unreachable
        | ProblemKind::ServerError
        | ProblemKind::Unreadable
        | ProblemKind::Unauthorized => tracking.refused_since = None,
    }
    Step::Unchanged
}

/// Ends a watch whose job is absent: that was confirmed, and has lasted. A job that was never
/// seen has its grace, because some services list a job only seconds after they named it.
fn on_not_found(
    tracking: &mut Tracking,
    problem: &Problem,
    terms: &Terms<'_>,
    now: Moment,
) -> Step {
    tracking.not_found_run = tracking.not_found_run.saturating_add(1);
    let since = *tracking.extra_mut().absent_since.get_or_insert(now.uptime);
    let must_last = if !tracking.seen {
        terms.timing.not_found_grace()
    } else if tracking.expects_gone() {
        // A deletion is not held up.
        Duration::ZERO
    } else {
        terms.timing.gone_after()
    };
    let is_confirmed = tracking.not_found_run >= NOT_FOUND_CONFIRMATIONS;
    if !is_confirmed || now.uptime.saturating_sub(since) < must_last {
        return Step::Unchanged;
    }
    // An id that was never seen may be wrong; a run that was named has been there.
    if gone_is_success(tracking, terms) && (tracking.seen || tracking.run().is_some()) {
        return Step::Finished(Outcome::Succeeded);
    }
    tracking.explain_end(cause_of(problem));
    Step::Finished(Outcome::Lost)
}

fn gone_is_success(tracking: &Tracking, terms: &Terms<'_>) -> bool {
    tracking.expects_gone() || terms.not_found_means == NotFoundMeans::Succeeded
}

fn cause_of(problem: &Problem) -> Cause {
    Cause {
        code: problem.code.clone(),
        reason: problem.message.clone(),
    }
}

/// True if the stored watch shows this step already: its event exists.
fn is_told(
    watch: &Watch,
    tracking: &Tracking,
    observation: Option<&Observation>,
    step: Step,
) -> bool {
    match (step, observation) {
        (Step::HandedOver, _) => watch.stage.as_ref() == tracking.stage(),
        (Step::Changed(_), Some(Observation::Sighting(sighting))) => {
            let stored = watch.job.as_ref();
            let is_same = |stored: &Job| stored.fingerprint() == sighting.job.fingerprint();
            stored.is_some_and(is_same) && watch.run.as_deref() == tracking.run()
        }
        _ => false,
    }
}

/// Carries `step` over to `watch`. Returns the watch to store and the kind of its event;
/// `None` for a step that makes no event, or whose event exists: a commit that seemed to fail
/// may have gone through.
pub fn record(
    watch: &Watch,
    tracking: &Tracking,
    observation: Option<&Observation>,
    step: Step,
    now: Timestamp,
) -> Option<(Watch, EventKind)> {
    if is_told(watch, tracking, observation, step) {
        return None;
    }
    let kind = match step {
        Step::Unchanged => return None,
        Step::HandedOver => EventKind::Changed,
        Step::Changed(kind) => kind,
        Step::Finished(outcome) => EventKind::Finished(outcome),
    };
    let mut next = Watch {
        run: tracking.run().map(str::to_owned),
        has_progress: tracking.has_progress,
        notes: tracking.notes,
        follow: tracking.follow().map(str::to_owned),
        polls: tracking.polls,
        problems: tracking.problems,
        last_problem: tracking.last_problem.as_deref().cloned(),
        revision: watch.revision.saturating_add(1),
        ..watch.clone()
    };
    let sighting = match observation {
        Some(Observation::Sighting(sighting)) => Some(sighting),
        _ => None,
    };
    match (step, sighting) {
        (Step::HandedOver, Some(sighting)) => record_stage(&mut next, tracking, sighting, now),
        (_, Some(sighting)) if tracking.is_counted => record_job(&mut next, sighting),
        _ => {}
    }
    if let Step::Finished(outcome) = step {
        next.state = State::Final(outcome);
        next.finished_at = Some(now);
        next.cause = tracking.cause().cloned();
        let said = sighting.and_then(|sighting| sighting.job.state.outcome());
        if said == Some(outcome) && tracking.is_counted {
            next.confirmations = tracking.confirmations();
        }
    }
    Some((next, kind))
}

fn record_job(next: &mut Watch, sighting: &Sighting) {
    next.unknown_status = sighting
        .unknown_status
        .then(|| sighting.job.status.clone())
        .flatten();
    next.job = Some(sighting.job.clone());
    if sighting.job.state.outcome().is_some() && next.run.is_none() {
        next.run.clone_from(&sighting.run);
    }
}

fn record_stage(next: &mut Watch, tracking: &Tracking, sighting: &Sighting, now: Timestamp) {
    let before = next.stage.take();
    let (definition, job_id) = before.map_or_else(
        || (next.definition.clone(), next.job_id.clone()),
        |stage| (stage.definition, stage.job_id),
    );
    next.stages.push(EndedStage {
        definition,
        job_id,
        state: sighting.job.state.as_str().to_owned(),
        status: sighting.job.status.clone(),
        ended_at: sighting.job.ended_at.unwrap_or(now),
    });
    next.stage = tracking.stage().cloned();
    next.job = None;
    next.unknown_status = None;
}

/// True if `observation` is a verdict on a watch that ended without one. The rules are those of
/// [`decide`]: it must be about our run, and be confirmed. Problems show nothing, and a job that
/// hands over does not end.
pub fn decide_late(
    tracking: &mut Tracking,
    observation: &Observation,
    terms: &Terms<'_>,
    now: Moment,
) -> bool {
    let Observation::Sighting(sighting) = observation else {
        return false;
    };
    match belief::meaning(tracking, sighting, terms, now) {
        Meaning::Progress => {
            tracking.has_progress = true;
            false
        }
        Meaning::End(outcome) => !(outcome == Outcome::Succeeded && terms.hands_over),
        Meaning::AnotherRun | Meaning::Stale | Meaning::Unconfirmed | Meaning::Replaced => false,
    }
}

/// Returns the watch with the job as it is seen now, for the event of a late result; `None`
/// unless the watch ended without a verdict and this observation is one. The outcome stays
/// (invariant 5). Only a service that says how the job ended gives a verdict.
pub fn late_result(watch: &Watch, observation: &Observation) -> Option<Watch> {
    let may_come = watch.state.outcome().is_some_and(Outcome::may_come_late);
    match observation {
        Observation::Sighting(sighting) if may_come && is_verdict(sighting) => Some(Watch {
            job: Some(sighting.job.clone()),
            cause: None,
            ..watch.clone()
        }),
        _ => None,
    }
}

/// True if a sighting says how the job ended.
fn is_verdict(sighting: &Sighting) -> bool {
    sighting.job.state.outcome().is_some()
}

#[cfg(test)]
mod tests;
