//! The attempts of one sink that are under way, and those that have ended.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::{self, JoinSet};
use uuid::Uuid;

use crate::sink::ANSWER_BYTES_MAX;
use crate::store::{AttemptRecord, Claimed, Settlement, StoreError};

/// The delivery that an attempt is about.
pub(super) struct Begun {
    pub(super) delivery: i64,
    pub(super) event: Uuid,
    /// The number of the attempt in its schedule, from 1.
    pub(super) number: u32,
}

impl Begun {
    pub(super) fn of(claimed: &Claimed) -> Self {
        Self {
            delivery: claimed.id,
            event: claimed.delivery.event_id,
            number: claimed.schedule_attempts.saturating_add(1),
        }
    }
}

/// An attempt that has ended.
#[derive(Clone)]
pub(super) struct Ended {
    /// The uptime when it ended; the delay of a retry counts from then.
    pub(super) at: Duration,
    /// The event that it was to deliver.
    pub(super) event: Uuid,
    pub(super) record: AttemptRecord,
}

/// The work of one loop between two pauses.
#[derive(Default)]
pub(super) struct Round {
    pub(super) under_way: UnderWay,
    /// The attempts that have ended and are not yet recorded.
    pub(super) ended: Vec<Ended>,
    /// The number of attempts that have ended.
    pub(super) attempts: usize,
    /// True if the last claim took every delivery that was due.
    pub(super) is_drained: bool,
    /// The failure of the store, after which no attempt begins.
    pub(super) failure: Option<StoreError>,
}

impl Round {
    pub(super) fn note(&mut self, ended: Vec<Ended>) {
        self.attempts += ended.len();
        self.ended.extend(ended);
    }

    /// True if no attempt is under way or waits for its record.
    pub(super) fn is_over(&self) -> bool {
        self.under_way.tasks.is_empty() && self.ended.is_empty()
    }
}

/// The attempts of one sink that are under way.
#[derive(Default)]
pub(super) struct UnderWay {
    pub(super) tasks: JoinSet<Ended>,
    /// The ids of the deliveries that they attempt.
    deliveries: HashMap<task::Id, i64>,
}

impl UnderWay {
    /// Starts an attempt, unless one at the same delivery is running: one that outlasts its
    /// lease.
    pub(super) fn start(
        &mut self,
        delivery: i64,
        attempt: impl Future<Output = Ended> + Send + 'static,
    ) {
        if !self.deliveries.values().any(|id| *id == delivery) {
            let task = self.tasks.spawn(attempt);
            self.deliveries.insert(task.id(), delivery);
        }
    }

    /// Waits until an attempt ends and returns all that have ended; `None` if none is running.
    /// An attempt that panicked has no record: its delivery is claimed again after its lease.
    pub(super) async fn next(&mut self) -> Option<Vec<Ended>> {
        let mut ended = Vec::new();
        let mut next = Some(self.tasks.join_next_with_id().await?);
        while let Some(result) = next {
            let task = match result {
                Ok((task, one)) => {
                    ended.push(one);
                    task
                }
                Err(error) => error.id(),
            };
            self.deliveries.remove(&task);
            next = self.tasks.try_join_next_with_id();
        }
        Some(ended)
    }
}

impl Ended {
    /// Returns the record to store at `uptime`. Its retry delay is shortened by the time that
    /// the record has waited.
    pub(super) fn record_at(&self, uptime: Duration) -> AttemptRecord {
        let waited = uptime.saturating_sub(self.at);
        let settlement = match self.record.settlement {
            Settlement::RetryAfter(delay) => Settlement::RetryAfter(delay.saturating_sub(waited)),
            other => other,
        };
        AttemptRecord {
            settlement,
            ..self.record.clone()
        }
    }
}

/// Cuts an answer to [`ANSWER_BYTES_MAX`], between characters.
pub(super) fn beginning(mut answer: String) -> String {
    answer.truncate(answer.floor_char_boundary(ANSWER_BYTES_MAX));
    answer
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn an_answer_is_kept_up_to_a_whole_character() {
        let kept = beginning("é".repeat(ANSWER_BYTES_MAX));
        assert_eq!(kept.len(), ANSWER_BYTES_MAX);
        let kept = beginning(format!("x{}", "é".repeat(ANSWER_BYTES_MAX)));
        assert_eq!(kept.len(), ANSWER_BYTES_MAX - 1);
    }

    #[test]
    fn a_late_record_does_not_put_off_the_retry() {
        let ended = Ended {
            at: Duration::from_secs(100),
            event: Uuid::nil(),
            record: AttemptRecord {
                delivery: 1,
                schedule_attempt: 1,
                settlement: Settlement::RetryAfter(Duration::from_secs(30)),
                at: Timestamp::UNIX_EPOCH,
                took: Duration::ZERO,
                http_status: None,
                error: None,
                answer: None,
            },
        };
        for (uptime, delay) in [(100, 30), (110, 20), (500, 0)] {
            let record = ended.record_at(Duration::from_secs(uptime));
            let delay = Duration::from_secs(delay);
            assert_eq!(record.settlement, Settlement::RetryAfter(delay));
        }
    }
}
