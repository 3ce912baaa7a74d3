//! The last answer of each service, for people who ask how it is. A good answer is noted without
//! an allocation.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::service::Services;
use crate::watch::observation::{Observation, ProblemKind, ProblemNote};

/// The last answer of a service, or the reason why there was none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastAnswer {
    /// The time at which the poll ended.
    pub at: Timestamp,
    /// The duration of the poll, with a renewal of the credential.
    pub took: Duration,
    /// The HTTP status; `None` without an answer.
    pub http_status: Option<u16>,
    /// The problem of that poll; `None` if it showed the job.
    pub problem: Option<ProblemNote>,
    /// The polls in a row that say that the service does not work, and the time of the first.
    pub failing: Option<(u32, Timestamp)>,
}

/// The last answers of all services.
pub(super) struct LastAnswers(HashMap<Arc<str>, Option<LastAnswer>>);

impl LastAnswers {
    pub(super) fn new(services: &Services) -> Self {
        let names = services.all().map(|service| Arc::clone(&service.name));
        Self(names.map(|name| (name, None)).collect())
    }

    pub(super) fn of(&self, service: &str) -> Option<&LastAnswer> {
        self.0.get(service)?.as_ref()
    }

    /// Notes the result of a poll that ended at `at`.
    pub(super) fn note(
        &mut self,
        service: &str,
        observation: &Observation,
        http_status: Option<u16>,
        (at, took): (Timestamp, Duration),
    ) {
        let Some(last) = self.0.get_mut(service) else {
            return;
        };
        let before = last.take().and_then(|last| last.failing);
        let problem = match observation {
            Observation::Sighting(_) => None,
            Observation::Problem(problem) => Some(problem),
        };
        let fails = problem.is_some_and(|problem| says_that_it_fails(problem.kind));
        let failing = fails.then(|| {
            let (count, since) = before.unwrap_or((0, at));
            (count.saturating_add(1), since)
        });
        *last = Some(LastAnswer {
            at,
            took,
            http_status,
            problem: problem.map(|problem| ProblemNote::new(problem, at)),
            failing,
        });
    }
}

/// True for a problem of the service itself, false for one of a single job or of too many requests.
fn says_that_it_fails(kind: ProblemKind) -> bool {
    match kind {
        ProblemKind::Unreachable
        | ProblemKind::ServerError
        | ProblemKind::Unreadable
        | ProblemKind::Unauthorized
        | ProblemKind::Forbidden
        | ProblemKind::Misconfigured => true,
        ProblemKind::Throttled | ProblemKind::NotFound => false,
    }
}
