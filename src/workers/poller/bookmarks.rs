//! The pages from which lists go on that were not read to their end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::schedule::agenda::Ticket;
use crate::service::together::Bookmark;
use crate::watch::WatchId;

/// The time within which a list goes on at a later page: marks of pages do not live for long.
const GO_ON_WITHIN: Duration = Duration::from_mins(1);

/// The other watches of a request, and the page from which it goes on.
#[derive(Default)]
pub(super) struct Companions {
    pub(super) tickets: Vec<Ticket>,
    pub(super) bookmark: Option<Arc<Bookmark>>,
}

/// The pages from which lists go on, by watch.
#[derive(Default)]
pub(super) struct Bookmarks(HashMap<WatchId, Placed>);

/// A bookmark, and the uptime until which it is good.
struct Placed {
    at: Arc<Bookmark>,
    until: Duration,
}

impl Bookmarks {
    pub(super) fn has(&self, watch: WatchId) -> bool {
        self.0.contains_key(&watch)
    }

    pub(super) fn forget(&mut self, watch: WatchId) {
        self.0.remove(&watch);
    }

    pub(super) fn keep(&mut self, watch: WatchId, at: &Arc<Bookmark>, uptime: Duration) {
        let placed = Placed {
            at: Arc::clone(at),
            until: uptime.saturating_add(GO_ON_WITHIN),
        };
        self.0.insert(watch, placed);
    }

    pub(super) fn of(&self, watch: WatchId, uptime: Duration) -> Option<&Arc<Bookmark>> {
        let placed = self.0.get(&watch)?;
        (placed.until > uptime).then_some(&placed.at)
    }

    pub(super) fn take(&mut self, watch: WatchId, uptime: Duration) -> Option<Arc<Bookmark>> {
        let placed = self.0.remove(&watch)?;
        (placed.until > uptime).then_some(placed.at)
    }
}
