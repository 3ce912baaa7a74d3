//! From the store to the agenda: everything on start, what is new afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::until;
use crate::schedule::agenda::{Duty, Entry};
use crate::schedule::backoff::Next;
use crate::service::Service;
use crate::store::StoreError;
use crate::watch::Watch;
use crate::watch::observation::{Problem, ProblemKind, ProblemNote};
use crate::watch::transition::Tracking;
use crate::workers::poller::{Board, Shared};

/// How many watches are read at a time.
pub(super) const LOAD_PAGE: usize = 10_000;
/// How many events are looked through at a time.
const CHANGES_PAGE: usize = 1000;

/// Whether a watch is old or new to the agenda.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrival {
    /// From before a restart: spread over its interval.
    Resumed,
    /// Just accepted: polled after the policy's `first`.
    New,
}

impl Shared {
    pub(super) async fn load(&self) -> Result<(), StoreError> {
        if self.board().changes_read.is_some() {
            return Ok(());
        }
        // The cursor comes first: a watch that is accepted while the pages are read is among
        // the changes after it.
        let cursor = self.store.cursor().await?;
        let mut orphans: BTreeMap<String, usize> = BTreeMap::new();
        let mut after = None;
        loop {
            let page = self.store.watching(after, LOAD_PAGE).await?;
            for watch in page.watches {
                if self.services.get(&watch.service).is_none() {
                    *orphans.entry(watch.service.clone()).or_default() += 1;
                }
                self.add(&watch, Arrival::Resumed);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        for (service, watches) in orphans {
            tracing::warn!(
                service,
                watches,
                "these watches wait for a service that is not configured; they end at their deadline unless it comes back"
            );
        }
        self.load_late().await?;
        self.board().changes_read = Some(cursor);
        Ok(())
    }

    pub(super) async fn read_changes(&self) -> Result<(), StoreError> {
        loop {
            let Some(cursor) = self.board().changes_read.clone() else {
                return Ok(());
            };
            let changes = self.store.changes(&cursor, CHANGES_PAGE).await?;
            // A change may come again: a watch that is on the agenda stays as it is, and one
            // that has ended is not there.
            for watch in &changes.accepted {
                self.add(watch, Arrival::New);
            }
            let mut board = self.board();
            for id in changes.ended {
                board.agenda.forget(id);
            }
            board.changes_read = Some(changes.next);
            if !changes.more {
                return Ok(());
            }
        }
    }

    fn add(&self, watch: &Watch, arrival: Arrival) {
        let now = self.clock.now();
        let uptime = self.clock.uptime();
        let service = self.services.get(&watch.service);
        let mut board = self.board();
        let board = &mut *board;
        let mut entry = entry_of(board, watch, service);
        let (duty, after) = if let Some(service) = service {
            let next = match arrival {
                Arrival::New => service.policy.first_poll(now, watch.deadline),
                Arrival::Resumed => service.policy.resumed_poll(
                    watch.submitted_at,
                    now,
                    watch.deadline,
                    &mut board.rng,
                ),
            };
            (duty_of(next), next.after())
        } else {
            note_orphan(&mut entry, now);
            (Duty::Expire, until(now, watch.deadline))
        };
        board.agenda.add(entry, duty, uptime.saturating_add(after));
    }
}

/// What is to be done when `next` comes.
pub(super) fn duty_of(next: Next) -> Duty {
    match next {
        Next::Poll(_) => Duty::Poll,
        Next::Expire(_) => Duty::Expire,
    }
}

pub(super) fn entry_of(board: &mut Board, watch: &Watch, service: Option<&Arc<Service>>) -> Entry {
    let params = if let Some(shared) = board.interned.get(&watch.params) {
        Arc::clone(shared)
    } else {
        let shared = Arc::new(watch.params.clone());
        board.interned.insert(Arc::clone(&shared));
        shared
    };
    Entry {
        id: watch.id,
        service: service.map_or_else(
            || Arc::from(watch.service.as_str()),
            |service| Arc::clone(&service.name),
        ),
        job_id: watch.job_id.as_str().into(),
        params,
        submitted_at: watch.submitted_at,
        deadline: watch.deadline,
        tracking: Tracking::resume(watch),
    }
}

fn note_orphan(entry: &mut Entry, now: jiff::Timestamp) {
    let problem = Problem::new(
        ProblemKind::Misconfigured,
        format!("the service `{}` is not configured any more", entry.service),
    );
    entry.tracking.last_problem = Some(Box::new(ProblemNote::new(&problem, now)));
}
