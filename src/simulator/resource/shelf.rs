//! The resources the simulator knows, behind one lock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

use super::spec::{BodyFormat, ResourceSpec};
use super::{Resource, Target, body, path_of};
use crate::simulator::answer::Answer;
use crate::simulator::job::MAX_RECENT_POLLS;
use crate::simulator::refusal::Refusal;

/// The most resources of one simulator.
const MAX_RESOURCES: usize = 10_000;

/// A resource as the simulator's own pages show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResourceView {
    /// The id in the path of its status.
    pub job_id: String,
    /// The path of its status, below the simulator's URL.
    pub path: String,
    /// The run that it shows now; `None` if it is not found.
    pub run: Option<String>,
    /// The status that its next answer shows; `None` if it is not found.
    pub status: Option<String>,
    /// The number of answered polls.
    pub polls: u64,
    /// The latest polls, at most fifty, oldest first.
    pub recent_polls: Vec<ResourcePoll>,
}

/// One poll of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResourcePoll {
    /// The time of the answer.
    pub at: Timestamp,
    /// The HTTP status of the answer.
    pub http: u16,
    /// The path that was polled.
    pub path: String,
}

/// The resources by their ids.
#[derive(Default)]
pub(in crate::simulator) struct Shelf(Mutex<BTreeMap<Arc<str>, Kept>>);

struct Kept {
    resource: Resource,
    recent: VecDeque<Visit>,
}

struct Visit {
    at: Timestamp,
    http: u16,
    step: Option<u64>,
}

impl Shelf {
    /// Adds a resource that is created now; returns its view.
    pub(in crate::simulator) fn create(
        &self,
        spec: ResourceSpec,
        now: Timestamp,
    ) -> Result<ResourceView, Refusal> {
        spec.check().map_err(Refusal::Invalid)?;
        let mut kept = self.0.lock();
        if kept.len() >= MAX_RESOURCES {
            return Err(Refusal::Full(format!(
                "there are {MAX_RESOURCES} resources already, which is the limit"
            )));
        }
        let id: Arc<str> = spec.job_id.as_str().into();
        if kept.contains_key(&id) {
            return Err(Refusal::Exists(format!(
                "job_id = {id:?}: this resource exists already"
            )));
        }
        let resource = Resource {
            id: Arc::clone(&id),
            spec,
            created: now,
            polls: 0,
        };
        let added = Kept {
            resource,
            recent: VecDeque::new(),
        };
        let view = added.view(now);
        kept.insert(id, added);
        Ok(view)
    }

    /// Answers a poll and records it.
    pub(in crate::simulator) fn poll(&self, target: &Target, now: Timestamp) -> Answer {
        match self.0.lock().get_mut(target.id.as_str()) {
            Some(kept) => kept.poll(target.step, now),
            None => body::unknown(BodyFormat::Json),
        }
    }

    pub(in crate::simulator) fn view(&self, id: &str, now: Timestamp) -> Option<ResourceView> {
        self.0.lock().get(id).map(|kept| kept.view(now))
    }

    /// Returns all resources in the order of their ids.
    pub(in crate::simulator) fn views(&self, now: Timestamp) -> Vec<ResourceView> {
        self.0.lock().values().map(|kept| kept.view(now)).collect()
    }

    /// Forgets a resource; false if it did not exist.
    pub(in crate::simulator) fn forget(&self, id: &str) -> bool {
        self.0.lock().remove(id).is_some()
    }
}

impl Kept {
    fn poll(&mut self, step: Option<u64>, now: Timestamp) -> Answer {
        let answer = self.resource.answer(step, now);
        self.resource.polls += 1;
        if self.recent.len() == MAX_RECENT_POLLS {
            self.recent.pop_front();
        }
        self.recent.push_back(Visit {
            at: now,
            http: answer.status,
            step,
        });
        answer
    }

    fn view(&self, now: Timestamp) -> ResourceView {
        let resource = &self.resource;
        let shown = resource.shown(now);
        let recent = self.recent.iter().map(|visit| ResourcePoll {
            at: visit.at,
            http: visit.http,
            path: path_of(&resource.id, visit.step),
        });
        ResourceView {
            job_id: resource.id.as_ref().to_owned(),
            path: path_of(&resource.id, None),
            run: shown.as_ref().map(|shown| shown.run.to_owned()),
            status: shown.as_ref().map(|shown| shown.status.to_owned()),
            polls: resource.polls,
            recent_polls: recent.collect(),
        }
    }
}
