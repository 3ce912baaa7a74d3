//! What must hold: some of it at every look, the rest once a history has ended. Each is
//! named after its number in the design, or by what it is about.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jobwatch::clock::until;
use jobwatch::watch::event::EventKind;
use jobwatch::watch::{Outcome, State, Watch};

use crate::simulation::cloud::Told;
use crate::simulation::plan::{CloudFault, Job, SINKS, Stop};
use crate::simulation::world::{World, wall_at};
use crate::store::memory::{Logged, Rows};
use jobwatch::store::delivery::DeliveryState;

/// How many attempts are made before a delivery is dead.
const ATTEMPTS_MAX: u32 = 10;
/// What a poll, a commit and the waiting for a budget may take together when all is well.
const SLACK: Duration = Duration::from_secs(90);
/// How long a new watch may wait for what is polled before it.
const ASKED_WITHIN: Duration = Duration::from_secs(20);
/// How long a late look may be put off, and take.
const LATE_SLACK: Duration = Duration::from_mins(1);
/// The longest pause after a 401 that no renewal cured.
const REFUSED_PAUSE: Duration = Duration::from_mins(5);

/// What is left to do.
pub(super) enum Left {
    Watches,
    /// Watches, long after each should have ended.
    Overdue,
    /// The next of them is due after this.
    Deliveries(Duration),
    /// Deliveries to sinks that want nothing from this process any more.
    Gone,
    /// Watches that ended without a verdict, for one that comes late.
    Late,
    Nothing,
}

pub(super) fn left(world: &World) -> Left {
    let rows = world.memory.rows();
    let is_over = |job: &Job| {
        let watch = rows.watches.iter().find(|watch| watch.job_id == job.id);
        watch.is_some_and(|watch| watch.state != State::Watching)
    };
    if !world.plan.jobs.iter().all(is_over) {
        let last = world
            .plan
            .jobs
            .iter()
            .map(|job| job.submit_at + job.deadline);
        let last = last.max().unwrap_or_default().max(world.plan.calm_at);
        let deadline = Duration::from_mins(5);
        let limit = last + world.jumped() * 2 + downtime(world) + deadline + SLACK;
        if world.elapsed() > limit {
            drop(rows);
            world.wrong("every watch ends", "some still watch");
            return Left::Overdue;
        }
        return Left::Watches;
    }
    let now = world.wall();
    let state = world.state();
    if state.acknowledged.len() < world.plan.jobs.len() {
        return Left::Watches;
    }
    let is_gone = |sink: &str| {
        let index = SINKS.iter().position(|(name, _)| *name == sink);
        index.is_some_and(|index| state.books[index].is_gone())
    };
    let pending = rows.deliveries.iter();
    let pending = pending.filter(|owed| owed.state == DeliveryState::Pending);
    let (gone, due): (Vec<_>, Vec<_>) = pending.partition(|owed| is_gone(&owed.sink));
    match due.iter().map(|owed| owed.due_at).min() {
        Some(due_at) => Left::Deliveries(world.memory.until(due_at)),
        None if !gone.is_empty() => Left::Gone,
        None => {
            let after_watch = world.plan.timing.after_watch();
            let is_looked_at = |watch: &Watch| is_looked_at(watch, after_watch, now);
            if rows.watches.iter().any(is_looked_at) {
                Left::Late
            } else {
                Left::Nothing
            }
        }
    }
}

/// Whether the time for a late verdict is not over.
fn is_looked_at(watch: &Watch, after_watch: Duration, now: Timestamp) -> bool {
    let passed = watch.finished_at.map(|finished_at| until(finished_at, now));
    may_come_late(watch)
        && !after_watch.is_zero()
        && passed.is_some_and(|passed| passed < after_watch + LATE_SLACK)
}

fn may_come_late(watch: &Watch) -> bool {
    watch.state.outcome().is_some_and(Outcome::may_come_late)
}

/// How long all processes together may have been down.
fn downtime(world: &World) -> Duration {
    let stops = u32::try_from(world.plan.stops.len()).unwrap();
    Duration::from_secs(30) * stops
}

/// Final is final, at every look.
pub(super) fn look(world: &World) {
    let rows = world.memory.rows();
    let mut changed = Vec::new();
    let mut state = world.state();
    for watch in &rows.watches {
        if watch.state == State::Watching {
            continue;
        }
        let before = state.finals.get(&watch.id);
        if before.is_some_and(|before| *before != (watch.state, watch.revision)) {
            changed.push(format!("{} is {} now", watch.job_id, watch.state));
        }
        state.finals.insert(watch.id, (watch.state, watch.revision));
    }
    let gone = state.finals.len() > rows.watches.len();
    drop((state, rows));
    if gone || !changed.is_empty() {
        world.wrong("5", &changed.join(", "));
    }
}

/// A submitter is told that the job is watched.
pub(super) fn acknowledged(world: &World, job: &Job, watch: &Watch) {
    world.note(|| format!("{} is acknowledged as {}", job.id, watch.id));
    if world.memory.rows().watch(watch.id).is_none() {
        world.wrong("2", "what was acknowledged is not stored");
    }
    let mut state = world.state();
    let before = state.acknowledged.insert(job.id.clone(), watch.id);
    drop(state);
    if before.is_some_and(|before| before != watch.id) {
        world.wrong("2", "one job was acknowledged as two watches");
    }
}

/// Everything, once a history has ended.
pub(super) fn all(world: &World) {
    let rows = world.memory.rows().clone();
    for job in &world.plan.jobs {
        let acknowledged = world.state().acknowledged.get(&job.id).copied();
        let watch = acknowledged.and_then(|id| rows.watch(id));
        match watch {
            Some(watch) if watch.job_id == job.id && watch.service == job.service => {}
            _ => world.wrong("2", &format!("{} is not stored as acknowledged", job.id)),
        }
    }
    let mut events: BTreeMap<_, Vec<&Logged>> = BTreeMap::new();
    for logged in &rows.events {
        events.entry(logged.watch).or_default().push(logged);
    }
    for watch in &rows.watches {
        let events = events.remove(&watch.id).unwrap_or_default();
        let wrong = |invariant: &str, what: &str| {
            let what = format!("{} ({}): {what}", watch.job_id, watch.state);
            world.wrong(invariant, &what);
        };
        agreeing(&rows, watch, &events, &wrong);
        let told = world.state().visits.told.get(&watch.job_id).cloned();
        let told = told.unwrap_or_default();
        let changes = events
            .iter()
            .filter(|it| matches!(it.event.kind, EventKind::Changed | EventKind::Held));
        if changes.count() > told.changes {
            wrong("6", "more changes were written than seen");
        }
        if let Some(job) = world.plan.job(&watch.job_id) {
            outcome(world, job, watch, &told, &wrong);
            in_time(world, job, watch, &told, &wrong);
            let is_late = |it: &&Logged| it.event.kind == EventKind::LateResult;
            late(world, job, watch, events.iter().any(is_late), &wrong);
        }
    }
    deliveries(world, &rows);
}

/// State, events and deliveries tell the same (3), and there is one end (5).
fn agreeing(rows: &Rows, watch: &Watch, events: &[&Logged], wrong: &impl Fn(&str, &str)) {
    let is_late = |it: &&&Logged| it.event.kind == EventKind::LateResult;
    let late = events.iter().filter(is_late).count();
    if late > usize::from(may_come_late(watch)) {
        wrong("5", &format!("{late} late results"));
    }
    if events.len() != usize::try_from(watch.revision).unwrap() + 1 + late {
        wrong("3", "the number of events is not that of its changes");
    }
    if events.first().map(|it| it.event.kind) != Some(EventKind::Accepted) {
        wrong("3", "its first event is not that of its acceptance");
    }
    let ends = events
        .iter()
        .filter(|it| matches!(it.event.kind, EventKind::Finished(_)));
    if ends.count() != usize::from(watch.state != State::Watching) {
        wrong("5", "its ends are not one");
    }
    let last = events.len().checked_sub(1 + late);
    if let (Some(outcome), Some(last)) = (watch.state.outcome(), last.map(|n| events[n]))
        && last.event.kind != EventKind::Finished(outcome)
    {
        wrong("3", "its last event is not its end");
    }
    for Logged { event, .. } in events {
        if !event.body.contains(&event.id.to_string()) {
            wrong("3", "an event does not carry its id");
        }
        for (sink, is_told_all) in SINKS {
            let is_end = matches!(event.kind, EventKind::Finished(_) | EventKind::LateResult);
            let is_wanted = is_told_all || is_end;
            let owed = rows.deliveries.iter();
            let owed = owed.filter(|owed| owed.event_id == event.id && owed.sink == sink);
            if owed.count() != usize::from(is_wanted) {
                wrong("3", &format!("what is owed to {sink} is not {is_wanted}"));
            }
        }
    }
}

/// Each outcome has its cause (1).
fn outcome(world: &World, job: &Job, watch: &Watch, told: &Told, wrong: &impl Fn(&str, &str)) {
    let Some(outcome) = watch.state.outcome() else {
        return;
    };
    let finished = watch.finished_at.unwrap_or(Timestamp::MAX);
    if let Some(at) = told.verdict_at
        && wall_at(at) < finished
        && world.plan.jumps.is_empty()
        && outcome != job.verdict.outcome()
        && job.unwatch_at.is_none()
        && world.plan.stops.is_empty()
    {
        wrong("1", &format!("the service told its verdict at {at:?}"));
    }
    match outcome {
        Outcome::Succeeded | Outcome::Failed => {
            if told.verdict_at.is_none() || job.verdict.outcome() != outcome {
                wrong("1", "the service never said so");
            }
        }
        Outcome::Lost => {
            let grace = world.plan.timing.not_found_grace();
            let appears_late = job.visible_at > job.submit_at + grace;
            // A clock that was set ends the grace early, and late looks find the job.
            let is_known = told.changes > 0
                && job.forgotten_at.is_none()
                && !appears_late
                && world.plan.jumps.is_empty();
            if told.unknown == 0 || is_known {
                wrong("1", "the service knows the job");
            }
        }
        Outcome::Unknown => {
            let limit = world.plan.timing.give_up_after();
            if told.refused_for + world.jumped() < limit {
                wrong("1", &format!("refused for {:?} only", told.refused_for));
            }
        }
        Outcome::Unwatched => {
            if job.unwatch_at.is_none() {
                wrong("1", "nobody ended it");
            }
        }
        Outcome::TimedOut => {
            let finished = watch.finished_at.unwrap_or(Timestamp::MIN);
            if finished < watch.deadline && world.plan.jumps.is_empty() {
                wrong("1", "its deadline had not passed");
            }
        }
        Outcome::Partial | Outcome::Cancelled => wrong("1", "no job ends so"),
    }
}

/// A deadline is kept, and a verdict that can be seen is seen.
fn in_time(world: &World, job: &Job, watch: &Watch, told: &Told, wrong: &impl Fn(&str, &str)) {
    let plan = &world.plan;
    let finished = watch.finished_at.unwrap_or(Timestamp::MIN);
    if !plan.jumps.is_empty() {
        return;
    }
    let began = wall_at(Duration::ZERO);
    let well_from = plan.calm_at.max(world.state().last_began);
    let deadline = until(began, watch.deadline);
    let finished = until(began, finished);
    if finished > deadline.max(well_from) + SLACK {
        wrong(
            "deadlines are kept",
            &format!("{finished:?} > {deadline:?}"),
        );
    }
    let longest =
        (plan.timing.max() * 2 + plan.timing.max_retry_after()).mul_f64(1.0 + plan.timing.jitter());
    let asked = told.asked_at.unwrap_or(finished);
    let accepted = until(began, watch.submitted_at);
    if asked > accepted.max(well_from) + longest + ASKED_WITHIN && asked < deadline {
        wrong("a new watch is polled", &format!("{accepted:?}, {asked:?}"));
    }
    let is_refused = |fault| matches!(fault, CloudFault::Status(401));
    let refused = plan.cloud.iter().any(|trouble| is_refused(trouble.fault));
    let refused = if refused {
        REFUSED_PAUSE
    } else {
        Duration::ZERO
    };
    let visible = well_from.max(job.ends_at) + longest + refused + SLACK;
    let is_timed_out = watch.state == State::Final(Outcome::TimedOut);
    if is_timed_out && job.forgotten_at.is_none() && visible < deadline {
        wrong("a verdict is seen", &format!("{visible:?} < {deadline:?}"));
    }
}

/// A verdict that comes after the end is told, while somebody looks, and only then.
fn late(world: &World, job: &Job, watch: &Watch, is_told: bool, wrong: &impl Fn(&str, &str)) {
    let plan = &world.plan;
    let after_watch = plan.timing.after_watch();
    let told = world.state().visits.told.get(&job.id).cloned();
    let verdict_at = told.and_then(|told| told.verdict_at);
    if is_told && (after_watch.is_zero() || verdict_at.is_none()) {
        wrong("late results", "the service never said so");
    }
    let is_one_life = world.state().life == 1 && plan.jumps.is_empty();
    let is_quiet = job.wish.is_some() || job.forgotten_at.is_some();
    if is_told || !may_come_late(watch) || !is_one_life || is_quiet {
        return;
    }
    let well_from = plan.calm_at + plan.timing.max_retry_after() + REFUSED_PAUSE;
    let looked_until = until(
        wall_at(Duration::ZERO),
        watch.finished_at.unwrap_or(Timestamp::MIN),
    ) + after_watch;
    if well_from.max(job.ends_at) + SLACK < looked_until {
        wrong("late results", "a verdict came in time and nobody told");
    }
}

/// Every delivery was made, or is dead after all its attempts (4).
fn deliveries(world: &World, rows: &Rows) {
    let state = world.state();
    let mut wrongs = Vec::new();
    for owed in &rows.deliveries {
        let index = SINKS.iter().position(|(name, _)| *name == owed.sink);
        let book = &state.books[index.unwrap()];
        let taken = book.taken.get(&owed.event_id).copied().unwrap_or_default();
        let tried = book.tried.get(&owed.event_id).copied().unwrap_or_default();
        let is_well = match owed.state {
            DeliveryState::Delivered => taken > 0,
            // Those at a receiver that is gone are none of the schedule.
            DeliveryState::Dead => owed.attempts_total - owed.earlier == ATTEMPTS_MAX,
            DeliveryState::Pending => false,
        };
        if !is_well || tried < usize::try_from(owed.attempts_total).unwrap() {
            wrongs.push(format!(
                "{owed:?} was taken {taken} and tried {tried} times"
            ));
        }
    }
    for book in &state.books {
        let again: usize = book.taken.values().map(|taken| taken - 1).sum();
        if world.plan.is_orderly() && again > book.untold {
            wrongs.push(format!("{again} repeated without need"));
        }
    }
    let only_crashes = |stop: &Stop| matches!(stop, Stop::Crash(_));
    let crashed = world.plan.stops.iter().any(only_crashes);
    let in_vain = state.applies_in_vain;
    let unwatches = world.plan.jobs.iter().any(|job| job.unwatch_at.is_some());
    if world.plan.store.is_empty() && !crashed && !unwatches && in_vain > 0 {
        wrongs.push(format!("{in_vain} writes in vain"));
    }
    drop(state);
    for what in wrongs {
        world.wrong("4", &what);
    }
}
