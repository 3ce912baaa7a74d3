//! The places of the next poll and of the next job in an answer: `[pace]` and `[next]`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::clock::until;
use crate::definition::retry_hint::Unit;
use crate::definition::selector::{Selector, Selectors, View};
use crate::definition::timestamp;
use crate::watch::observation::NextJob;

/// A place of the time to the next poll.
#[derive(Debug, Clone)]
pub struct Pace {
    pub(crate) at: Selector,
    pub(crate) unit: Unit,
}

/// The places of the next URL and of the next job.
#[derive(Debug, Clone, Default)]
pub struct Next {
    pub(crate) follow: Selectors,
    pub(crate) job_id: Selectors,
    pub(crate) definition: Option<String>,
    pub(crate) params: BTreeMap<String, Selectors>,
}

impl Pace {
    /// Returns the time to the next poll; `None` if the answer does not have it in this place. A
    /// date, as `Retry-After` may have one, counts in every unit; a number that is negative
    /// counts as absent.
    pub(super) fn read(&self, view: View<'_>, now: Timestamp) -> Option<Duration> {
        let text = self.at.text(view)?;
        let text = text.trim();
        if text.contains(':') {
            let at = timestamp::read(&Value::from(text)).ok()??;
            return Some(until(now, at));
        }
        self.unit.wait(text, now)
    }
}

impl Next {
    /// Returns the URL to poll next. Selectors start at the item, and then at the whole answer.
    pub(super) fn follow(&self, item: View<'_>, whole: View<'_>) -> Option<String> {
        first(&self.follow, item, whole)
    }

    /// Returns the job that takes over; `None` if the answer does not name one.
    pub(super) fn job(&self, item: View<'_>, whole: View<'_>) -> Option<NextJob> {
        let job_id = first(&self.job_id, item, whole)?;
        let params = self
            .params
            .iter()
            .filter_map(|(name, selectors)| Some((name.clone(), first(selectors, item, whole)?)));
        Some(NextJob {
            job_id,
            definition: self.definition.clone(),
            params: params.collect(),
        })
    }

    /// True if an answer names the param for the next job.
    pub fn gives(&self, param: &str) -> bool {
        self.params.contains_key(param)
    }

    /// True if another job takes over from one that has succeeded.
    pub fn hands_over(&self) -> bool {
        !self.job_id.is_empty()
    }
}

fn first(selectors: &Selectors, item: View<'_>, whole: View<'_>) -> Option<String> {
    selectors
        .first_text(item)
        .or_else(|| selectors.first_text(whole))
}
