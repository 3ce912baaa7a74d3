//! The part of a watch that polling needs. It stays in memory, for a million watches, so it is
//! small: names and params are shared, times are whole microseconds as they are stored, and what
//! only a transition needs stays in the store.

use std::sync::Arc;

use jiff::Timestamp;

use crate::watch::job_id::JobId;
use crate::watch::tracking::Tracking;
use crate::watch::{Params, Watch, WatchId};

/// The part of a watch that polling needs; see the module.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The id of the stored watch.
    pub id: WatchId,
    /// The name of the service that is polled.
    pub service: Arc<str>,
    /// The id of the job at the service.
    pub job_id: JobId,
    /// Values for the request; most watches of one service share them.
    pub params: Arc<Params>,
    submitted_at: i64,
    deadline: i64,
    /// The knowledge of the job from the polls so far.
    pub tracking: Tracking,
}

impl Entry {
    /// Makes an entry from the parts of a watch.
    pub fn new(
        id: WatchId,
        service: Arc<str>,
        job_id: &str,
        params: Arc<Params>,
        (submitted_at, deadline): (Timestamp, Timestamp),
        tracking: Tracking,
    ) -> Self {
        Self {
            id,
            service,
            job_id: job_id.into(),
            params,
            submitted_at: submitted_at.as_microsecond(),
            deadline: deadline.as_microsecond(),
            tracking,
        }
    }

    /// Makes the entry of a watch, which shares nothing with others yet.
    pub fn of(watch: &Watch) -> Self {
        Self::new(
            watch.id,
            watch.service.as_str().into(),
            &watch.job_id,
            Arc::new(watch.params.clone()),
            (watch.submitted_at, watch.deadline),
            Tracking::resume(watch),
        )
    }

    /// Returns the time at which the watch was accepted.
    pub fn submitted_at(&self) -> Timestamp {
        time(self.submitted_at)
    }

    /// True if the job was asked for before.
    pub fn was_polled(&self) -> bool {
        self.tracking.polls > 0
    }

    /// Returns the stored deadline, to which the blind periods of the service are not added; for a
    /// watch that has ended, the time of its last late poll.
    pub fn deadline(&self) -> Timestamp {
        time(self.deadline)
    }

    /// Sets the time that [`deadline`](Self::deadline) returns.
    pub fn set_deadline(&mut self, deadline: Timestamp) {
        self.deadline = deadline.as_microsecond();
    }
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).expect("it was a timestamp before")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 160, "{}", size_of::<Entry>());
    }
}
