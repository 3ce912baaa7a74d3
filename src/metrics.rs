//! What is counted, for Prometheus: one registry, passed to whoever counts.
//!
//! Labels are names from the configuration and fixed words only. Job ids, labels of
//! watches and status values never become labels: their number has no bound.

use std::sync::Arc;

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

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    polls: Family<ServiceLabel, Counter>,
    problems: Family<ProblemLabels, Counter>,
    unknown_statuses: Family<ServiceLabel, Counter>,
    watching: Gauge,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn shared() -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::with_prefix("jobwatch"),
            polls: Family::default(),
            problems: Family::default(),
            unknown_statuses: Family::default(),
            watching: Gauge::default(),
        };
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
            "watching",
            "Watches on the agenda",
            metrics.watching.clone(),
        );
        Arc::new(metrics)
    }

    /// Counts one poll and what it showed.
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

    /// The text that Prometheus reads, with `watching` as it is now.
    pub fn text(&self, watching: usize) -> String {
        self.watching
            .set(i64::try_from(watching).unwrap_or(i64::MAX));
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }
}
