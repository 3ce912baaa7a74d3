//! The end of a watch whose deadline has passed without a poll, and why its service was never
//! asked if that is so.

use crate::clock::{later, show_duration};
use crate::schedule::agenda::Entry;
use crate::watch::evidence::Evidence;
use crate::watch::transition::Step;
use crate::watch::{Cause, Outcome};
use crate::workers::poller::Shared;
use crate::workers::poller::decision::{Decision, Effect};
use crate::workers::poller::dispatch::UNPOLLED_OVERDUE;

impl Shared {
    /// Returns the end of a watch whose deadline has passed without a poll. The last problem, if
    /// there is one, is its evidence; if the service was never asked, its cause says why.
    pub(super) fn expired(&self, mut entry: Entry) -> Decision {
        if !entry.was_polled() {
            let why = self.why_never_asked(&entry.service);
            entry.tracking.explain_end(Cause::new(why));
        }
        let now = self.clock.now();
        let problem = entry.tracking.last_problem.as_deref();
        let evidence = problem.map_or_else(
            || Evidence::without_answer(now),
            |problem| Evidence {
                http_status: problem.http_status,
                ..Evidence::without_answer(problem.at)
            },
        );
        Decision {
            watch: entry.id,
            evidence: Some(Box::new(evidence)),
            effect: Effect::Step(Step::Finished(Outcome::TimedOut), entry.tracking),
            observation: None,
            at: now,
        }
    }

    /// Says why a service was never asked about a watch that ends now.
    fn why_never_asked(&self, service: &str) -> String {
        let now = self.clock.now();
        let uptime = self.clock.uptime();
        let state = self.state();
        let why = if let Some(queue) = state.queues.index_of(service) {
            let budget = &state.queues.get(queue).budget;
            if let Some(end) = budget.paused(uptime) {
                let until = later(now, end.saturating_sub(uptime));
                format!("the service asked for no requests until {until:.0}")
            } else {
                format!(
                    "its budget of {:.3} polls a second and {} at once had no place until {} after the deadline",
                    budget.rate(),
                    budget.limits().concurrency,
                    show_duration(UNPOLLED_OVERDUE)
                )
            }
        } else {
            format!("the service `{service}` is not configured any more")
        };
        format!("the service was never asked: {why}")
    }
}
