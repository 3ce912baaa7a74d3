//! The groups of the store in memory.

use async_trait::async_trait;
use jiff::Timestamp;
use jobwatch::store::durations::Took;
use jobwatch::store::{Applied, GroupStore, StoreError, StoredGroup};
use jobwatch::watch::Watch;
use jobwatch::watch::delivery::Owed;
use jobwatch::watch::event::Event;

use crate::store::memory::{MemoryStore, Rows};

impl Rows {
    /// Returns the size of an open group that is not the given one.
    pub(super) fn other_size(&self, watch: &Watch, size: Option<u32>) -> Option<u32> {
        let group = self.groups.get(watch.group.as_ref()?)?;
        let open = group.size.filter(|_| group.closed_at.is_none());
        open.filter(|other| size.is_some_and(|size| size != *other))
    }

    /// Counts a watch in its group; false if the group takes no more watches.
    pub(super) fn join_group(&mut self, watch: &Watch, size: Option<u32>) -> bool {
        let Some(name) = &watch.group else {
            return true;
        };
        let new = || StoredGroup {
            name: name.clone(),
            size: None,
            members: 0,
            open: 0,
            closed_at: None,
            finished_at: None,
        };
        let group = self.groups.entry(name.clone()).or_insert_with(new);
        if group.closed_at.is_some() {
            return false;
        }
        group.members += 1;
        group.open += 1;
        group.size = group.size.or(size);
        let is_complete = group.size.is_some_and(|size| group.members >= size);
        group.closed_at = is_complete.then_some(watch.submitted_at);
        true
    }

    pub(super) fn count_end(&mut self, watch: &Watch) {
        if let Some(name) = &watch.group {
            self.groups.get_mut(name).unwrap().open -= 1;
        }
        if let Some(it) = Took::of(watch) {
            let key = (watch.service.clone(), it.job_type.to_owned());
            self.durations.entry(key).or_default().push(it.took);
        }
    }

    pub(super) fn due_groups(&self) -> Vec<StoredGroup> {
        let is_due = |group: &&StoredGroup| {
            group.closed_at.is_some() && group.open == 0 && group.finished_at.is_none()
        };
        let mut due: Vec<_> = self.groups.values().filter(is_due).cloned().collect();
        due.sort_by_key(|group| group.closed_at);
        due
    }
}

#[async_trait]
impl GroupStore for MemoryStore {
    async fn group(&self, name: &str) -> Result<Option<StoredGroup>, StoreError> {
        Ok(self.rows()?.groups.get(name).cloned())
    }

    async fn close_group(
        &self,
        name: &str,
        at: Timestamp,
    ) -> Result<Option<StoredGroup>, StoreError> {
        let mut rows = self.rows()?;
        let group = rows.groups.get_mut(name);
        Ok(group.map(|group| {
            group.closed_at.get_or_insert(at);
            group.clone()
        }))
    }

    async fn due_groups(&self, limit: usize) -> Result<Vec<StoredGroup>, StoreError> {
        let mut due = self.rows()?.due_groups();
        due.truncate(limit);
        Ok(due)
    }

    async fn finish_group(
        &self,
        name: &str,
        at: Timestamp,
        event: Event,
        owed: Vec<Owed>,
    ) -> Result<Applied, StoreError> {
        let mut rows = self.rows()?;
        if !rows.due_groups().iter().any(|group| group.name == name) {
            return Ok(Applied::Refused);
        }
        rows.may_log(&event, &owed)?;
        rows.groups.get_mut(name).unwrap().finished_at = Some(at);
        rows.log(None, event, owed, self.time.now());
        Ok(Applied::Applied)
    }
}
