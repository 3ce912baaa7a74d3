//! The clients that wait for watches, by watch.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::watch::{Watch, WatchId};

/// The reason for which a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// All of its watches have ended.
    All,
    /// One of its watches has ended.
    Any,
    /// One of its watches has a new event.
    Change,
}

/// A client, and the reason for which its wait is over.
#[derive(Debug)]
pub(super) struct Waiter {
    until: Until,
    /// The number of ends that are missing.
    missing: AtomicUsize,
    is_over: AtomicBool,
    over: Notify,
    /// The watch that ended last, for the answer to a wait for one watch.
    ended: Mutex<Option<Arc<Watch>>>,
}

impl Waiter {
    pub(super) fn new(until: Until, watches: usize) -> Self {
        let missing = if until == Until::All { watches } else { 1 };
        Self {
            until,
            missing: AtomicUsize::new(missing),
            is_over: AtomicBool::new(false),
            over: Notify::new(),
            ended: Mutex::new(None),
        }
    }

    /// Ends the wait, if it goes on.
    pub(super) fn finish(&self) {
        self.is_over.store(true, Ordering::Release);
        self.over.notify_one();
    }

    /// Waits for the end of this wait, and returns the watch that ended last, if one did.
    pub(super) async fn until_over(&self) -> Option<Arc<Watch>> {
        while !self.is_over.load(Ordering::Acquire) {
            self.over.notified().await;
        }
        self.ended.lock().clone()
    }

    fn one_ended(&self, watch: &Arc<Watch>) {
        *self.ended.lock() = Some(Arc::clone(watch));
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.finish();
        }
    }
}

/// The clients that wait, by watch.
#[derive(Debug, Default)]
pub(super) struct Waits {
    by_watch: HashMap<WatchId, Vec<Arc<Waiter>>>,
}

impl Waits {
    pub(super) fn add(&mut self, watches: &[WatchId], waiter: &Arc<Waiter>) {
        for watch in watches {
            let waiters = self.by_watch.entry(*watch).or_default();
            waiters.push(Arc::clone(waiter));
        }
    }

    pub(super) fn remove(&mut self, watches: &[WatchId], waiter: &Arc<Waiter>) {
        for watch in watches {
            if let Some(waiters) = self.by_watch.get_mut(watch) {
                waiters.retain(|other| !Arc::ptr_eq(other, waiter));
                if waiters.is_empty() {
                    self.by_watch.remove(watch);
                }
            }
        }
    }

    /// True if a client waits for the end of the watch.
    pub(super) fn is_end_awaited(&self, watch: WatchId) -> bool {
        let waiters = self.by_watch.get(&watch);
        waiters.is_some_and(|all| all.iter().any(|it| it.until != Until::Change))
    }

    /// Ends the waits for a change of the watch; all waits for it if the change is its end.
    pub(super) fn end_waits(&self, watch: WatchId, is_end: bool) {
        let waiters = self.by_watch.get(&watch).into_iter().flatten();
        let waiters = waiters.filter(|waiter| is_end || waiter.until == Until::Change);
        waiters.for_each(|waiter| waiter.finish());
    }

    /// Counts the end of a watch in the waits for it.
    pub(super) fn count_end(&mut self, watch: &Arc<Watch>) {
        for waiter in self.by_watch.remove(&watch.id).unwrap_or_default() {
            waiter.one_ended(watch);
        }
    }

    /// True if no client waits.
    pub(super) fn is_empty(&self) -> bool {
        self.by_watch.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use uuid::Uuid;

    fn id(n: u128) -> WatchId {
        WatchId(Uuid::from_u128(n))
    }

    fn watch(n: u128) -> Arc<Watch> {
        let (now, later) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        Arc::new(Watch::new(id(n), ("dcs", "dcs"), "job", now, later))
    }

    fn waiting(waits: &mut Waits, until: Until, watches: &[u128]) -> Arc<Waiter> {
        let watches: Vec<WatchId> = watches.iter().map(|n| id(*n)).collect();
        let waiter = Arc::new(Waiter::new(until, watches.len()));
        waits.add(&watches, &waiter);
        waiter
    }

    fn is_over(waiter: &Waiter) -> bool {
        waiter.is_over.load(Ordering::Acquire)
    }

    #[test]
    fn a_wait_for_all_needs_every_end() {
        let mut waits = Waits::default();
        let waiter = waiting(&mut waits, Until::All, &[1, 2]);
        waits.count_end(&watch(1));
        waits.end_waits(id(2), false);
        assert!(!is_over(&waiter));
        waits.count_end(&watch(2));
        assert!(is_over(&waiter));
        assert!(waits.is_empty());
    }

    #[test]
    fn a_wait_for_any_needs_one_end() {
        let mut waits = Waits::default();
        let waiter = waiting(&mut waits, Until::Any, &[1, 2]);
        waits.count_end(&watch(2));
        assert!(is_over(&waiter));
        waits.remove(&[id(1), id(2)], &waiter);
        assert!(waits.is_empty());
    }

    #[test]
    fn a_wait_for_a_change_needs_an_event() {
        let mut waits = Waits::default();
        let waiter = waiting(&mut waits, Until::Change, &[1]);
        let other = waiting(&mut waits, Until::All, &[1]);
        waits.end_waits(id(1), false);
        assert!(is_over(&waiter) && !is_over(&other));
        waits.end_waits(id(1), true);
        assert!(is_over(&other), "its client came after the end was read");
    }

    #[tokio::test]
    async fn the_answer_to_one_wait_brings_the_watch() {
        let mut waits = Waits::default();
        let waiter = waiting(&mut waits, Until::All, &[1]);
        waits.count_end(&watch(1));
        assert_eq!(waiter.until_over().await.unwrap().id, id(1));
    }
}
