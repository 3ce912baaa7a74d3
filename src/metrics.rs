//! Counters and gauges for Prometheus, in one registry that is passed to the parts that count.
//!
//! Labels are names from the configuration and fixed words only. Job ids, labels of
//! watches and status values never become labels: their number has no bound.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::watch::observation::Observation;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabel {
    service: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProblemLabels {
    service: String,
    problem: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabel {
    sink: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    sink: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BudgetLabels {
    endpoint: String,
    credential: String,
}

/// The numbers of the budget of one endpoint and credential.
#[derive(Debug, Clone)]
pub struct BudgetNumbers {
    /// Scheme, host and port; or the types and region of the catalog.
    pub endpoint: String,
    /// The name of the credential.
    pub credential: String,
    /// The present polls a second.
    pub rate: f64,
    /// The number of polls that are due and wait.
    pub waiting: usize,
    /// How long the first of them has waited.
    pub lateness: Duration,
}

/// All counters and gauges of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    polls: Family<ServiceLabel, Counter>,
    problems: Family<ProblemLabels, Counter>,
    unknown_statuses: Family<ServiceLabel, Counter>,
    budget_rate: Family<BudgetLabels, Gauge<f64, AtomicU64>>,
    budget_waiting: Family<BudgetLabels, Gauge>,
    budget_late: Family<BudgetLabels, Gauge<f64, AtomicU64>>,
    blind: Family<ServiceLabel, Gauge>,
    watching: Gauge,
    shards: Gauge,
    unwritten: Gauge,
    attempts: Family<ResultLabels, Counter>,
    pending: Family<SinkLabel, Gauge>,
    dead: Family<SinkLabel, Gauge>,
    gone: Family<SinkLabel, Gauge>,
    pruned: Family<KindLabel, Counter>,
}

impl Metrics {
    /// Returns a registry with every count at zero.
    pub fn shared() -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::with_prefix("jobwatch"),
            polls: Family::default(),
            problems: Family::default(),
            unknown_statuses: Family::default(),
            budget_rate: Family::default(),
            budget_waiting: Family::default(),
            budget_late: Family::default(),
            blind: Family::default(),
            watching: Gauge::default(),
            shards: Gauge::default(),
            unwritten: Gauge::default(),
            attempts: Family::default(),
            pending: Family::default(),
            dead: Family::default(),
            gone: Family::default(),
            pruned: Family::default(),
        };
        metrics.register_budgets();
        metrics.register_deliveries();
        let registry = &mut metrics.registry;
        registry.register("polls", "Polls made", metrics.polls.clone());
        registry.register(
            "problems",
            "Polls that did not show the job",
            metrics.problems.clone(),
        );
        registry.register(
            "unknown_statuses",
            "Polls that showed a status the definition does not list",
            metrics.unknown_statuses.clone(),
        );
        registry.register(
            "blind",
            "1 while no job of a service can be seen",
            metrics.blind.clone(),
        );
        registry.register(
            "watching",
            "Watches on the agenda",
            metrics.watching.clone(),
        );
        registry.register(
            "shards",
            "Shards of 256 whose watches this process polls",
            metrics.shards.clone(),
        );
        registry.register(
            "unwritten",
            "Transitions that wait in memory until the store works again",
            metrics.unwritten.clone(),
        );
        registry.register(
            "pruned_rows",
            "Rows that were deleted because they are older than `keep`",
            metrics.pruned.clone(),
        );
        Arc::new(metrics)
    }

    fn register_deliveries(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "deliveries",
            "Attempts at deliveries by result: delivered, failed, dead, gone",
            self.attempts.clone(),
        );
        registry.register(
            "deliveries_pending",
            "Deliveries that are pending",
            self.pending.clone(),
        );
        registry.register(
            "deliveries_dead",
            "Dead letters: deliveries that were given up",
            self.dead.clone(),
        );
        registry.register(
            "sink_gone",
            "1 once the receiver of a sink answered 410",
            self.gone.clone(),
        );
    }

    fn register_budgets(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "budget_rate",
            "Polls a second that a budget allows now",
            self.budget_rate.clone(),
        );
        registry.register(
            "budget_waiting",
            "Polls that are due and wait for their budget",
            self.budget_waiting.clone(),
        );
        registry.register(
            "budget_late_seconds",
            "How long the first poll that waits for its budget is late",
            self.budget_late.clone(),
        );
    }

    /// Counts one poll and its observation.
    pub fn polled(&self, service: &str, observation: &Observation) {
        let label = || ServiceLabel {
            service: service.to_owned(),
        };
        self.polls.get_or_create(&label()).inc();
        match observation {
            Observation::Problem(problem) => {
                let labels = ProblemLabels {
                    service: service.to_owned(),
                    problem: problem.kind.as_str(),
                };
                self.problems.get_or_create(&labels).inc();
            }
            Observation::Sighting(sighting) if sighting.unknown_status => {
                self.unknown_statuses.get_or_create(&label()).inc();
            }
            Observation::Sighting(_) => {}
        }
    }

    /// Counts one attempt at a delivery and its result.
    pub fn attempted(&self, sink: &str, result: &'static str) {
        let labels = ResultLabels {
            sink: sink.to_owned(),
            result,
        };
        self.attempts.get_or_create(&labels).inc();
    }

    /// Notes that the receiver of `sink` answered 410.
    pub fn sink_is_gone(&self, sink: &str) {
        let label = SinkLabel {
            sink: sink.to_owned(),
        };
        self.gone.get_or_create(&label).set(1);
    }

    /// Counts rows of one kind that were deleted.
    pub fn pruned(&self, kind: &'static str, count: u64) {
        self.pruned.get_or_create(&KindLabel { kind }).inc_by(count);
    }

    /// Replaces the backlog: the sinks with their numbers of pending and of dead deliveries.
    /// A sink that is not listed has none.
    pub fn owed(&self, backlog: impl IntoIterator<Item = (String, u64, u64)>) {
        self.pending.clear();
        self.dead.clear();
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for (sink, pending, dead) in backlog {
            let label = SinkLabel { sink };
            self.pending.get_or_create(&label).set(number(pending));
            self.dead.get_or_create(&label).set(number(dead));
        }
    }

    /// Replaces the numbers of one budget.
    pub fn budget(&self, numbers: BudgetNumbers) {
        let labels = BudgetLabels {
            endpoint: numbers.endpoint,
            credential: numbers.credential,
        };
        self.budget_rate.get_or_create(&labels).set(numbers.rate);
        let waiting = i64::try_from(numbers.waiting).unwrap_or(i64::MAX);
        self.budget_waiting.get_or_create(&labels).set(waiting);
        let late = numbers.lateness.as_secs_f64();
        self.budget_late.get_or_create(&labels).set(late);
    }

    /// Notes whether the jobs of a service can be seen.
    pub fn set_blind(&self, service: &str, is_blind: bool) {
        let label = ServiceLabel {
            service: service.to_owned(),
        };
        self.blind.get_or_create(&label).set(i64::from(is_blind));
    }

    /// Notes the number of shards whose watches this process polls.
    pub fn set_shards(&self, shards: usize) {
        self.shards.set(i64::try_from(shards).unwrap_or(i64::MAX));
    }

    /// Returns the text for Prometheus. The caller passes the present numbers of watches on
    /// the agenda and of transitions that wait for the store.
    pub fn text(&self, watching: usize, unwritten: usize) -> String {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.watching.set(number(watching));
        self.unwritten.set(number(unwritten));
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }
}
