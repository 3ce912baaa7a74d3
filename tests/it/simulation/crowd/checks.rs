//! The checks of a crowd: while it lives, that a budget with work to do is spent and that its
//! lateness is shown; afterwards, how each watch has ended.

use std::time::Duration;

use jobwatch::clock::until;
use jobwatch::watch::{Outcome, State, Watch};
use jobwatch::workers::poller::{BudgetStatus, Poller};

use crate::simulation::crowd::Crowd;
use crate::simulation::crowd::plan::{BUDGETS, INTERVAL_MAX, LISTED_BUDGET, Member, STUCK_BUDGET};
use crate::simulation::world::wall_at;

/// The part of its rate that a budget spends at least while polls wait.
const SPENT: f64 = 0.9;
/// The longest time from a deadline to the poll at the deadline, without troubles.
const DEADLINE_SLACK: Duration = Duration::from_secs(15);
/// The time from the begin of a poll to its answer, without troubles.
const ANSWER: Duration = Duration::from_millis(250);

/// The budgets at one time.
pub(super) struct Sample {
    at: Duration,
    /// The status of each budget, and the number of its polls.
    budgets: Vec<(BudgetStatus, u64)>,
}

impl Sample {
    pub(super) fn take(crowd: &Crowd, poller: &Poller) -> Self {
        let all = poller.budgets();
        let state = crowd.state();
        let budgets = BUDGETS.iter().zip(&state.ledgers);
        let budgets = budgets.map(|((host, ..), ledger)| {
            let mut all = all.iter();
            let status = all.find(|status| status.host.contains(host)).unwrap();
            (status.clone(), ledger.begun())
        });
        Self {
            at: crowd.world.elapsed(),
            budgets: budgets.collect(),
        }
    }

    /// Checks the time from this sample to the next one.
    pub(super) fn compare(&self, next: &Self, crowd: &Crowd) {
        if !crowd.scene.is_calm(self.at) || !crowd.scene.is_calm(next.at) {
            return;
        }
        let passed = next.at.saturating_sub(self.at).as_secs_f64();
        let budgets = self.budgets.iter().zip(&next.budgets);
        for (n, ((before, begun), (after, begun_after))) in budgets.enumerate() {
            let allowed = before.rate.min(after.rate) * passed;
            let waiting = before.waiting.min(after.waiting);
            let is_busy = f64::from(u32::try_from(waiting).unwrap()) > 2.0 * allowed;
            if matches!(n, STUCK_BUDGET | LISTED_BUDGET) || !is_busy {
                continue;
            }
            crowd.state().samples += 1;
            let made = f64::from(u32::try_from(begun_after - begun).unwrap());
            if made < allowed * SPENT {
                let host = BUDGETS[n].0;
                crowd.wrong(format!(
                    "{host}: {made} polls of {allowed} while {waiting} wait, at {:?}",
                    next.at
                ));
            }
            // A line that was as long 10 s ago has polls that are late.
            if after.late == 0 || after.lateness.is_zero() {
                crowd.wrong(format!("a budget does not show that it is late: {after:?}"));
            }
        }
    }
}

/// Checks how each watch has ended.
pub(super) fn ends(crowd: &Crowd) {
    let rows = crowd.world.memory.rows();
    if rows.watches.len() != crowd.scene.members.len() {
        crowd.wrong(format!("{} watches are stored", rows.watches.len()));
    }
    for watch in &rows.watches {
        let job = watch.job_id.strip_prefix("job-").unwrap();
        let job: usize = job.parse().unwrap();
        if let Err(what) = end(crowd, job, watch) {
            let member = &crowd.scene.members[job];
            let visits = crowd.state().visits[job];
            crowd.wrong(format!(
                "{}: {what}: it is {}, {member:?}, {visits:?}",
                watch.job_id, watch.state
            ));
        }
    }
}

fn end(crowd: &Crowd, job: usize, watch: &Watch) -> Result<(), &'static str> {
    let member = &crowd.scene.members[job];
    let visits = crowd.state().visits[job];
    let State::Final(outcome) = watch.state else {
        return Err("it never ended");
    };
    match outcome {
        Outcome::Succeeded | Outcome::Failed => {
            if outcome != member.verdict.outcome() || visits.shown_at.is_none() {
                return Err("the cloud did not show this verdict");
            }
            Ok(())
        }
        Outcome::TimedOut => timed_out(crowd, job, member, watch),
        _ => Err("no job has this end"),
    }
}

/// Checks that the job was asked for at its deadline, which was late by no more than it may be,
/// and that it had not ended.
fn timed_out(
    crowd: &Crowd,
    job: usize,
    member: &Member,
    watch: &Watch,
) -> Result<(), &'static str> {
    let visits = crowd.state().visits[job];
    let deadline = until(wall_at(Duration::ZERO), watch.deadline);
    let finished = watch
        .finished_at
        .map(|at| until(wall_at(Duration::ZERO), at));
    if finished.is_none_or(|finished| finished < deadline) {
        return Err("its deadline had not passed");
    }
    let is_shown = visits.shown_at.is_some_and(|shown_at| shown_at < deadline);
    if is_shown && member.budget != LISTED_BUDGET {
        return Err("the cloud has shown its verdict");
    }
    let is_calm = crowd.scene.is_calm(deadline);
    if member.budget == LISTED_BUDGET {
        let is_missed = is_calm && member.ends_at + INTERVAL_MAX * 2 < deadline;
        return if is_missed {
            Err("its end was not noticed")
        } else {
            Ok(())
        };
    }
    if visits.asked == 0 && (is_calm || member.budget == STUCK_BUDGET) {
        return Err("it was never asked for");
    }
    if !is_calm || member.budget == STUCK_BUDGET {
        return Ok(());
    }
    if visits.last_at + ANSWER < deadline {
        return Err("it was not asked for at its deadline");
    }
    if visits.last_at > served_from(crowd, deadline) + DEADLINE_SLACK {
        return Err("it was asked for long after its deadline");
    }
    if member.ends_at < visits.last_at {
        return Err("its end was not noticed");
    }
    Ok(())
}

/// The time from which a process could poll for this deadline: the begin of the next one, if the
/// process had no time for the poll.
fn served_from(crowd: &Crowd, deadline: Duration) -> Duration {
    let state = crowd.state();
    let next = state.lives.windows(2).find_map(|lives| {
        let (ended, began) = (lives[0].1, lives[1].0);
        let is_cut = deadline < began && deadline + DEADLINE_SLACK > ended;
        is_cut.then_some(began)
    });
    next.unwrap_or(deadline).min(deadline + INTERVAL_MAX * 5)
}
