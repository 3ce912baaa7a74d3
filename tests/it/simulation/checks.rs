//! The invariants: some are checked all the time, the others at the end of a history. Each
//! is named by its number in the design, or by its subject.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jobwatch::clock::until;
use jobwatch::schedule::rate::START;
use jobwatch::watch::event::EventKind;
use jobwatch::watch::{Outcome, State, Watch, WatchId};

use crate::simulation::cloud::Seen;
use crate::simulation::plan::{CloudFault, Job, Plan, SINKS, Stop};
use crate::simulation::world::{World, wall_at};
use crate::store::memory::{Logged, Rows};
use jobwatch::store::delivery::DeliveryState;

/// The number of attempts before a delivery is dead.
const ATTEMPTS_MAX: u32 = 10;
/// The longest time of a poll, a commit and the wait for a budget without failures.
const SLACK: Duration = Duration::from_secs(90);
/// The longest wait of a new watch for polls before it.
const POLLED_WITHIN: Duration = Duration::from_secs(20);
/// The longest delay and duration of a late poll.
const LATE_SLACK: Duration = Duration::from_mins(1);
/// The longest pause after a 401 that no renewal cured.
const REFUSED_PAUSE: Duration = Duration::from_mins(5);

/// The work that is left.
pub(super) enum Left {
    Watches,
    /// Watches that should have ended long ago.
    Overdue,
    /// The next of them is due after this.
    Deliveries(Duration),
    /// Deliveries to sinks that answered 410 to this process.
    Gone,
    /// Watches that ended without a verdict and may get a late result.
    Late,
    Nothing,
}

pub(super) fn left(world: &World) -> Left {
    let rows = world.memory.rows();
    let is_over = |job: &Job| {
        let mut watches = rows.watches.iter().filter(|watch| watch.job_id == job.id);
        let last = watches.next_back();
        // Only the last of several watches of a job may still watch.
        last.is_some_and(|watch| watch.state != State::Watching)
    };
    if !world.plan.jobs.iter().all(is_over) {
        let planned = world
            .plan
            .jobs
            .iter()
            .map(|job| job.submit_at + job.deadline);
        // A second watch of a job begins later than planned.
        let began = wall_at(Duration::ZERO);
        let deadlines = rows
            .watches
            .iter()
            .map(|watch| until(began, watch.deadline));
        let last = planned.chain(deadlines).max().unwrap_or_default();
        let last = last.max(world.plan.calm_at);
        let deadline = Duration::from_mins(5);
        let limit = last + world.jumped() * 2 + downtime(world) + deadline + SLACK;
        if world.elapsed() > limit {
            drop(rows);
            world.violated("every watch ends", "some still watch");
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
        index.is_some_and(|index| state.ledgers[index].is_gone())
    };
    let pending = rows.deliveries.iter();
    let pending = pending.filter(|owed| owed.state == DeliveryState::Pending);
    let (gone, due): (Vec<_>, Vec<_>) = pending.partition(|owed| is_gone(&owed.sink));
    // The time of the memory is read from the same state.
    drop(state);
    match due.iter().map(|owed| owed.due_at).min() {
        Some(due_at) => Left::Deliveries(world.memory.until(due_at)),
        None if !gone.is_empty() => Left::Gone,
        None => {
            let after_watch = world.plan.timing.after_watch();
            let awaits_late_result = |watch: &Watch| awaits_late_result(watch, after_watch, now);
            if rows.watches.iter().any(awaits_late_result) {
                Left::Late
            } else {
                Left::Nothing
            }
        }
    }
}

/// True while a late result may come.
fn awaits_late_result(watch: &Watch, after_watch: Duration, now: Timestamp) -> bool {
    let passed = watch.finished_at.map(|finished_at| until(finished_at, now));
    may_come_late(watch)
        && !after_watch.is_zero()
        && passed.is_some_and(|passed| passed < after_watch + LATE_SLACK)
}

fn may_come_late(watch: &Watch) -> bool {
    watch.state.outcome().is_some_and(Outcome::may_come_late)
}

/// The longest time without a process, in total.
fn downtime(world: &World) -> Duration {
    let stops = u32::try_from(world.plan.stops.len()).unwrap();
    Duration::from_secs(30) * stops
}

/// Checks that final states do not change (5).
pub(super) fn final_states(world: &World) {
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
        world.violated("5", &changed.join(", "));
    }
}

/// Records the acknowledgement of a job and checks that its watch is stored (2).
pub(super) fn acknowledged(world: &World, job: &Job, watch: &Watch) {
    world.note(|| format!("{} is acknowledged as {}", job.id, watch.id));
    if world.memory.rows().watch(watch.id).is_none() {
        world.violated("2", "an acknowledged watch is not stored");
    }
    let mut state = world.state();
    let before = state.acknowledged.insert(job.id.clone(), watch.id);
    drop(state);
    let ids = before.map(|before| [before, watch.id]);
    let is_wrong = ids.is_some_and(|[before, after]| {
        before != after && !is_watched_anew(&world.memory.rows(), [before, after])
    });
    if is_wrong {
        world.violated("2", "one job was acknowledged as two watches");
    }
}

/// True if the earlier of two watches of a job has ended without a verdict: a submission that
/// comes after that end begins a second watch.
fn is_watched_anew(rows: &Rows, ids: [WatchId; 2]) -> bool {
    // The order of the acknowledgements is not that of the watches, as a slow store holds one up.
    let earlier = rows.watches.iter().find(|watch| ids.contains(&watch.id));
    let outcome = earlier.and_then(|watch| watch.state.outcome());
    outcome.is_some_and(|outcome| !outcome.is_verdict())
}

/// Checks all invariants at the end of a history.
pub(super) fn all(world: &World) {
    let rows = world.memory.rows().clone();
    for job in &world.plan.jobs {
        let acknowledged = world.state().acknowledged.get(&job.id).copied();
        let watch = acknowledged.and_then(|id| rows.watch(id));
        match watch {
            Some(watch) if watch.job_id == job.id && watch.service == job.service => {}
            _ => world.violated("2", &format!("{} is not stored as acknowledged", job.id)),
        }
    }
    let mut events: BTreeMap<_, Vec<&Logged>> = BTreeMap::new();
    for logged in &rows.events {
        events.entry(logged.watch).or_default().push(logged);
    }
    for watch in &rows.watches {
        let events = events.remove(&Some(watch.id)).unwrap_or_default();
        let violated = |invariant: &str, what: &str| {
            let what = format!("{} ({}): {what}", watch.job_id, watch.state);
            world.violated(invariant, &what);
        };
        agreeing(&rows, watch, &events, &violated);
        asked(watch, &events, &violated);
        let seen = world.state().visits.seen.get(&watch.job_id).cloned();
        let seen = seen.unwrap_or_default();
        let changes = events
            .iter()
            .filter(|it| matches!(it.event.kind, EventKind::Changed | EventKind::Held));
        if changes.count() > seen.changes {
            violated("6", "more changes were written than seen");
        }
        if let Some(job) = world.plan.job(&watch.job_id) {
            outcome(world, job, watch, &seen, &violated);
            in_time(world, job, watch, &seen, &violated);
            let is_late = |it: &&Logged| it.event.kind == EventKind::LateResult;
            late(world, job, watch, events.iter().any(is_late), &violated);
        }
    }
    deliveries(world, &rows);
}

/// Checks that state, events and deliveries agree (3), and that there is one end (5).
fn agreeing(rows: &Rows, watch: &Watch, events: &[&Logged], violated: &impl Fn(&str, &str)) {
    let is_late = |it: &&&Logged| it.event.kind == EventKind::LateResult;
    let late = events.iter().filter(is_late).count();
    if late > usize::from(may_come_late(watch)) {
        violated("5", &format!("{late} late results"));
    }
    if events.len() != usize::try_from(watch.revision).unwrap() + 1 + late {
        violated("3", "the number of events is not that of its changes");
    }
    if events.first().map(|it| it.event.kind) != Some(EventKind::Accepted) {
        violated("3", "its first event is not that of its acceptance");
    }
    let ends = events
        .iter()
        .filter(|it| matches!(it.event.kind, EventKind::Finished(_)));
    if ends.count() != usize::from(watch.state != State::Watching) {
        violated("5", "its ends are not one");
    }
    let last = events.len().checked_sub(1 + late);
    if let (Some(outcome), Some(last)) = (watch.state.outcome(), last.map(|n| events[n]))
        && last.event.kind != EventKind::Finished(outcome)
    {
        violated("3", "its last event is not its end");
    }
    for Logged { event, .. } in events {
        if !event.body.contains(&event.id.to_string()) {
            violated("3", "an event does not carry its id");
        }
        for (sink, gets_all) in SINKS {
            let is_end = matches!(event.kind, EventKind::Finished(_) | EventKind::LateResult);
            let is_wanted = gets_all || is_end;
            let owed = rows.deliveries.iter();
            let owed = owed.filter(|owed| owed.event_id == event.id && owed.sink == sink);
            if owed.count() != usize::from(is_wanted) {
                violated(
                    "3",
                    &format!("a delivery to {sink} should exist: {is_wanted}"),
                );
            }
        }
    }
}

/// Checks that no watch times out unasked unless its event says that nothing could be asked.
fn asked(watch: &Watch, events: &[&Logged], violated: &impl Fn(&str, &str)) {
    let is_unasked = watch.state == State::Final(Outcome::TimedOut) && watch.polls == 0;
    let is_end = |it: &&&Logged| it.event.kind == EventKind::Finished(Outcome::TimedOut);
    let end = events.iter().find(is_end);
    let says_so = end.is_some_and(|it| it.event.body.contains("asked for no requests"));
    if is_unasked && !says_so {
        violated("no watch times out unasked", "its event gives no reason");
    }
}

/// Checks that each outcome has its cause (1).
fn outcome(world: &World, job: &Job, watch: &Watch, seen: &Seen, violated: &impl Fn(&str, &str)) {
    let Some(outcome) = watch.state.outcome() else {
        return;
    };
    let finished = watch.finished_at.unwrap_or(Timestamp::MAX);
    if let Some(at) = seen.verdict_at
        && wall_at(at) < finished
        && world.plan.jumps.is_empty()
        && outcome != job.verdict.outcome()
        && job.unwatch_at.is_none()
        && world.plan.stops.is_empty()
    {
        violated("1", &format!("the service showed its verdict at {at:?}"));
    }
    match outcome {
        Outcome::Succeeded | Outcome::Failed => {
            if seen.verdict_at.is_none() || job.verdict.outcome() != outcome {
                violated("1", "the service did not show this verdict");
            }
        }
        Outcome::Lost => {
            let grace = world.plan.timing.not_found_grace();
            let appears_late = job.visible_at > job.submit_at + grace;
            // A clock that was set ends the grace early, and late polls find the job.
            let is_known = seen.changes > 0
                && job.forgotten_at.is_none()
                && !appears_late
                && world.plan.jumps.is_empty();
            if seen.unknown == 0 || is_known {
                violated("1", "the service knows the job");
            }
        }
        Outcome::Unknown => {
            let limit = world.plan.timing.give_up_after();
            if seen.refused_for + world.jumped() < limit {
                violated("1", &format!("refused for {:?} only", seen.refused_for));
            }
        }
        Outcome::Unwatched => {
            if job.unwatch_at.is_none() {
                violated("1", "no operator ended it");
            }
        }
        Outcome::TimedOut => {
            let finished = watch.finished_at.unwrap_or(Timestamp::MIN);
            if finished < watch.deadline && world.plan.jumps.is_empty() {
                violated("1", "its deadline had not passed");
            }
        }
        Outcome::Partial | Outcome::Cancelled => violated("1", "no job has this end"),
    }
}

/// Checks that deadlines are kept and visible verdicts are seen.
fn in_time(world: &World, job: &Job, watch: &Watch, seen: &Seen, violated: &impl Fn(&str, &str)) {
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
        violated(
            "deadlines are kept",
            &format!("{finished:?} > {deadline:?}"),
        );
    }
    let longest =
        (plan.timing.max() * 2 + plan.timing.max_retry_after()).mul_f64(1.0 + plan.timing.jitter());
    let asked = seen.asked_at.unwrap_or(finished);
    let accepted = until(began, watch.submitted_at);
    let polled_within = POLLED_WITHIN + crawl(plan);
    if asked > accepted.max(well_from) + longest + polled_within && asked < deadline {
        violated("a new watch is polled", &format!("{accepted:?}, {asked:?}"));
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
        violated("a verdict is seen", &format!("{visible:?} < {deadline:?}"));
    }
}

/// The time in which a budget makes one poll of each job, when throttling has left a quarter of its
/// rate.
fn crawl(plan: &Plan) -> Duration {
    let jobs = f64::from(u32::try_from(plan.jobs.len()).unwrap());
    Duration::from_secs_f64(jobs / (plan.limits.rate.unwrap_or(START) / 4.0))
}

/// Checks that a verdict after the end makes a late result if it comes in time.
fn late(
    world: &World,
    job: &Job,
    watch: &Watch,
    is_reported: bool,
    violated: &impl Fn(&str, &str),
) {
    let plan = &world.plan;
    let after_watch = plan.timing.after_watch();
    let seen = world.state().visits.seen.get(&job.id).cloned();
    let verdict_at = seen.and_then(|seen| seen.verdict_at);
    if is_reported && (after_watch.is_zero() || verdict_at.is_none()) {
        violated("late results", "the service did not show this verdict");
    }
    let is_one_life = world.state().life == 1 && plan.jumps.is_empty();
    let is_quiet = job.retry_after.is_some() || job.forgotten_at.is_some();
    if is_reported || !may_come_late(watch) || !is_one_life || is_quiet {
        return;
    }
    let well_from = plan.calm_at + plan.timing.max_retry_after() + REFUSED_PAUSE;
    let polled_until = until(
        wall_at(Duration::ZERO),
        watch.finished_at.unwrap_or(Timestamp::MIN),
    ) + after_watch;
    if well_from.max(job.ends_at) + SLACK < polled_until {
        violated(
            "late results",
            "a verdict came in time and made no late result",
        );
    }
}

/// Checks that every delivery was made, or is dead after all its attempts (4).
fn deliveries(world: &World, rows: &Rows) {
    let state = world.state();
    let mut violations = Vec::new();
    for owed in &rows.deliveries {
        let index = SINKS.iter().position(|(name, _)| *name == owed.sink);
        let ledger = &state.ledgers[index.unwrap()];
        let taken = ledger
            .taken
            .get(&owed.event_id)
            .copied()
            .unwrap_or_default();
        let tried = ledger
            .tried
            .get(&owed.event_id)
            .copied()
            .unwrap_or_default();
        let is_well = match owed.state {
            DeliveryState::Delivered => taken > 0,
            // Attempts at a receiver that is gone are not part of the schedule.
            DeliveryState::Dead => owed.attempts_total - owed.earlier == ATTEMPTS_MAX,
            DeliveryState::Pending => false,
        };
        if !is_well || tried < usize::try_from(owed.attempts_total).unwrap() {
            violations.push(format!(
                "{owed:?} was taken {taken} and tried {tried} times"
            ));
        }
    }
    for ledger in &state.ledgers {
        let again: usize = ledger.taken.values().map(|taken| taken - 1).sum();
        if world.plan.is_orderly() && again > ledger.unconfirmed {
            violations.push(format!("{again} repeated without need"));
        }
    }
    let only_crashes = |stop: &Stop| matches!(stop, Stop::Crash(_));
    let crashed = world.plan.stops.iter().any(only_crashes);
    let failed = state.failed_applies;
    let unwatches = world.plan.jobs.iter().any(|job| job.unwatch_at.is_some());
    if world.plan.store.is_empty() && !crashed && !unwatches && failed > 0 {
        violations.push(format!("{failed} failed writes"));
    }
    drop(state);
    for what in violations {
        world.violated("4", &what);
    }
}
