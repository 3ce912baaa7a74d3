//! Says why a watch ends although its service was never asked.

use jiff::Timestamp;

use crate::clock::{later, show_duration};
use crate::schedule::agenda::Entry;
use crate::watch::observation::{Problem, ProblemKind, ProblemNote};
use crate::watch::transition::Tracking;
use crate::workers::poller::Shared;
use crate::workers::poller::budget_queue::BudgetQueue;
use crate::workers::poller::dispatch::{UNASKED_OVERDUE, is_asked};

impl Shared {
    /// Returns the tracking of a watch that ends without a poll. If its service was never asked,
    /// the last problem says why.
    pub(super) fn explained(&self, entry: &Entry) -> Tracking {
        let mut tracking = entry.tracking.clone();
        if !is_asked(entry) {
            let now = self.clock.now();
            let uptime = self.clock.uptime();
            let state = self.state();
            let index = state.queues.index_of(&entry.service);
            let queue = index.map(|index| state.queues.get(index));
            let paused = queue.and_then(|queue| queue.budget.paused(uptime));
            let until = paused.map(|end| later(now, end.saturating_sub(uptime)));
            let problem = why_never_asked(&entry.service, queue, until);
            tracking.last_problem = Some(Box::new(ProblemNote::new(&problem, now)));
        }
        tracking
    }
}

/// Says why a service was never asked about a watch, as a problem without a poll. `queue` is absent
/// if the service is not configured, and `paused_until` unless its budget is paused.
fn why_never_asked(
    service: &str,
    queue: Option<&BudgetQueue>,
    paused_until: Option<Timestamp>,
) -> Problem {
    let (kind, why) = match (queue, paused_until) {
        (None, _) => (
            ProblemKind::Misconfigured,
            format!("the service `{service}` is not configured any more"),
        ),
        (Some(_), Some(until)) => (
            ProblemKind::Throttled,
            format!("the service asked for no requests until {until:.0}"),
        ),
        (Some(queue), None) => (
            ProblemKind::Throttled,
            format!(
                "the budget of {:.3} polls a second and {} at once had no place for it until {} after the deadline",
                queue.budget.rate(),
                queue.budget.limits().concurrency,
                show_duration(UNASKED_OVERDUE)
            ),
        ),
    };
    Problem::new(kind, format!("the service was never asked: {why}"))
}
