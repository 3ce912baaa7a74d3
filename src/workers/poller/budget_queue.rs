//! One queue for each budget. Watches that are due but not admitted wait here, in lines, so
//! that one slow service never delays another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::until;
use crate::schedule::agenda::Agenda;
use crate::schedule::budget::Budget;
use crate::schedule::lines::Lines;
use crate::service::{Base, BudgetKey, Generation, Service, Services};
use crate::store::Shards;
use crate::store::shards::{SHARDS, Throttling};

/// The least time between two warnings about one budget.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// The least time between two searches of a queue for passed deadlines.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A budget that cannot keep up is reported once a poll waits for longer than this.
const LATE_IS_LOUD: Duration = Duration::from_secs(10);

/// One budget and its queue.
pub(super) struct BudgetQueue {
    pub(super) key: BudgetKey,
    pub(super) budget: Budget,
    pub(super) waiting: Lines,
    /// The last warning about each service.
    warned_at: HashMap<Arc<str>, Duration>,
    warned_late_at: Option<Duration>,
    swept_at: Duration,
    /// True after a throttling that the other replicas do not know of.
    is_throttling_new: bool,
    /// The number of the last throttling of another replica that was applied.
    throttling_applied: i64,
}

impl BudgetQueue {
    /// Notes that the service has throttled a poll of this process.
    pub(super) fn throttled(&mut self) {
        self.is_throttling_new = true;
    }

    /// True if the queue may be searched for passed deadlines now.
    pub(super) fn may_sweep(&mut self, uptime: Duration) -> bool {
        let may = !self.waiting.is_empty() && uptime.saturating_sub(self.swept_at) >= SWEEP_EVERY;
        if may {
            self.swept_at = uptime;
        }
        may
    }

    /// Returns the uptime of the next search for passed deadlines while the budget pauses, and
    /// polls that begin do not lead to one.
    pub(super) fn next_end(&self, now: Timestamp, uptime: Duration) -> Option<Duration> {
        self.budget.paused(uptime)?;
        let deadline = self.waiting.earliest_deadline()?;
        let at = uptime.saturating_add(until(now, deadline));
        Some(at.max(self.swept_at.saturating_add(SWEEP_EVERY)))
    }

    /// True if a warning about this service is due: an outage is logged once a minute, not a
    /// thousand times a second.
    pub(super) fn may_warn(&mut self, service: &Arc<str>, uptime: Duration) -> bool {
        let mut warned_at = self.warned_at.get(service).copied();
        let may = may_repeat(&mut warned_at, uptime);
        if may {
            self.warned_at.insert(Arc::clone(service), uptime);
        }
        may
    }

    /// Returns how long the first poll of all lines has waited; zero if none waits.
    pub(super) fn lateness(&self, agenda: &Agenda, uptime: Duration) -> Duration {
        let due = self.waiting.firsts().filter_map(|it| agenda.due(it)).min();
        due.map_or(Duration::ZERO, |due| uptime.saturating_sub(due))
    }

    /// Lets the rate of the budget follow the lateness of the polls that still wait, and reports a
    /// budget that cannot keep up.
    pub(super) fn keep_up(&mut self, agenda: &Agenda, uptime: Duration) {
        let lateness = self.lateness(agenda, uptime);
        self.budget.keep_up(lateness, uptime);
        if lateness > LATE_IS_LOUD && may_repeat(&mut self.warned_late_at, uptime) {
            self.report_late(lateness, uptime);
        }
    }
}

fn may_repeat(warned_at: &mut Option<Duration>, uptime: Duration) -> bool {
    let may = warned_at.is_none_or(|at| uptime.saturating_sub(at) >= WARN_EVERY);
    if may {
        *warned_at = Some(uptime);
    }
    may
}

/// All queues, and the services that use them.
pub(super) struct BudgetQueues {
    queues: Vec<BudgetQueue>,
    /// The queue that each queue was merged into, or its own index. A poll in flight keeps the index
    /// that it began with.
    merged_into: Vec<usize>,
    by_service: HashMap<Arc<str>, usize>,
    of_catalogs: Vec<OfCatalog>,
}

/// A queue whose endpoint is in the catalog of its credential.
struct OfCatalog {
    queue: usize,
    /// One of its services; all of them have the same catalog and credential.
    service: Arc<Service>,
    /// The last secret whose catalog was read.
    read: Option<Generation>,
}

impl OfCatalog {
    /// Returns the endpoint after a new secret with a catalog came.
    fn new_endpoint(&mut self) -> Option<String> {
        let issued = self.service.credential.issued()?;
        if self.read.replace(issued.generation) == Some(issued.generation) {
            return None;
        }
        self.service.base.origin(&issued.scope)
    }
}

impl BudgetQueues {
    /// Returns the throttlings that the other replicas do not know of.
    pub(super) fn new_throttlings(&mut self, uptime: Duration) -> Vec<Throttling> {
        let paused = self.queues.iter_mut().filter_map(|queue| {
            if !std::mem::take(&mut queue.is_throttling_new) {
                return None;
            }
            let until = queue.budget.paused(uptime)?;
            Some(Throttling {
                endpoint: queue.key.endpoint.clone(),
                credential: queue.key.credential.clone(),
                pause: until.saturating_sub(uptime),
                number: 0,
            })
        });
        paused.collect()
    }

    /// Applies the throttlings of other replicas, each once.
    pub(super) fn apply_throttlings(&mut self, of_others: &[Throttling], uptime: Duration) {
        for throttling in of_others {
            let is_of = |queue: &&mut BudgetQueue| {
                queue.key.endpoint == throttling.endpoint
                    && queue.key.credential == throttling.credential
                    && queue.throttling_applied < throttling.number
            };
            for queue in self.queues.iter_mut().filter(is_of) {
                queue.throttling_applied = throttling.number;
                queue.budget.throttled(uptime, |_| throttling.pause);
            }
        }
    }

    /// Gives this replica the part of each budget that its shards have.
    pub(super) fn share(&mut self, shards: Shards, uptime: Duration) {
        let part = u16::try_from(shards.len()).unwrap_or(SHARDS);
        for queue in &mut self.queues {
            queue.budget.share(part, SHARDS, uptime);
        }
    }

    pub(super) fn new(services: &Services) -> Self {
        let mut all = Self {
            queues: Vec::new(),
            merged_into: Vec::new(),
            by_service: HashMap::new(),
            of_catalogs: Vec::new(),
        };
        let mut by_key: HashMap<BudgetKey, usize> = HashMap::new();
        for service in services.all() {
            let key = service.budget_key();
            let index = *by_key.entry(key.clone()).or_insert(all.queues.len());
            if let Some(queue) = all.queues.get_mut(index) {
                queue.budget = Budget::new(queue.budget.limits().stricter(service.limits));
            } else {
                all.add(key, service);
            }
            all.by_service.insert(Arc::clone(&service.name), index);
        }
        all
    }

    fn add(&mut self, key: BudgetKey, service: &Arc<Service>) {
        let queue = self.queues.len();
        if matches!(service.base, Base::Catalog { .. }) {
            self.of_catalogs.push(OfCatalog {
                queue,
                service: Arc::clone(service),
                read: None,
            });
        }
        self.merged_into.push(queue);
        self.queues.push(BudgetQueue {
            key,
            budget: Budget::new(service.limits),
            waiting: Lines::default(),
            warned_at: HashMap::new(),
            warned_late_at: None,
            swept_at: Duration::ZERO,
            is_throttling_new: false,
            throttling_applied: 0,
        });
    }

    /// Gives each queue of a catalog its endpoint once that is known, and merges queues that then
    /// have the same endpoint and credential. Merged queues stay so.
    pub(super) fn follow_catalogs(&mut self, uptime: Duration) {
        let mut of_catalogs = std::mem::take(&mut self.of_catalogs);
        for it in &mut of_catalogs {
            if let Some(endpoint) = it.new_endpoint() {
                self.place(it.queue, endpoint, uptime);
            }
        }
        self.of_catalogs = of_catalogs;
    }

    fn place(&mut self, index: usize, endpoint: String, uptime: Duration) {
        if self.is_merged(index) {
            return;
        }
        self.queues[index].key.endpoint = endpoint;
        let key = &self.queues[index].key;
        let target = self
            .indices()
            .find(|other| *other != index && self.queues[*other].key == *key);
        let Some(target) = target else { return };
        let emptied = &mut self.queues[index];
        let unused = Budget::new(emptied.budget.limits());
        let budget = std::mem::replace(&mut emptied.budget, unused);
        let waiting = std::mem::take(&mut emptied.waiting);
        let queue = &mut self.queues[target];
        queue.budget.merge(budget, uptime);
        queue.waiting.append(waiting);
        for into in &mut self.merged_into {
            if *into == index {
                *into = target;
            }
        }
    }

    /// Returns the queue of a service; `None` when the service is not configured.
    pub(super) fn index_of(&self, service: &str) -> Option<usize> {
        self.by_service.get(service).copied()
    }

    /// Returns the indices of the queues that are in use.
    pub(super) fn indices(&self) -> impl Iterator<Item = usize> + use<'_> {
        let merged_into = self.merged_into.iter().enumerate();
        merged_into.filter_map(|(index, into)| (index == *into).then_some(index))
    }

    pub(super) fn len(&self) -> usize {
        self.queues.len()
    }

    /// True if this queue was merged into another one.
    pub(super) fn is_merged(&self, index: usize) -> bool {
        self.merged_into[index] != index
    }

    pub(super) fn get(&self, index: usize) -> &BudgetQueue {
        &self.queues[self.merged_into[index]]
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &BudgetQueue> {
        self.indices().map(|index| &self.queues[index])
    }

    pub(super) fn queue(&mut self, index: usize) -> &mut BudgetQueue {
        &mut self.queues[self.merged_into[index]]
    }
}
