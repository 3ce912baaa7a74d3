//! A client that follows the log from a position: first what is there, then what comes.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use crate::store::{Cursor, LoggedEvent, StoreError};
use crate::workers::announcer::tail::{Next, Place};
use crate::workers::announcer::{Announcer, ClientGuard, Shared};

/// The number of events that are read at a time to catch up.
const PAGE: usize = 100;
/// The number of events that are taken from memory at a time.
const TAKE: usize = 64;

/// Follows the log; see the module.
pub struct Follower {
    client: ClientGuard,
    news: watch::Receiver<()>,
    /// The position after the last event that was returned or skipped.
    position: Cursor,
    /// Read and not returned yet.
    ready: VecDeque<Arc<LoggedEvent>>,
    /// The place in memory; `None` while the follower reads from the store.
    place: Option<Place>,
}

/// The next step of a follower.
#[derive(Debug)]
pub enum Followed {
    /// The next event of the log.
    Event(Arc<LoggedEvent>),
    /// The follower takes its events too slowly, so that they are not in memory any more. It can
    /// continue from its position as a new follower.
    TooSlow,
}

impl Announcer {
    /// Follows the log after a position; without one, from now on.
    ///
    /// # Errors
    /// The position is not one of this store, or the store failed.
    pub async fn follow(&self, after: Option<Cursor>) -> Result<Follower, StoreError> {
        let news = self.shared.news.subscribe();
        let (client, _) = self.register_client().await;
        let mut follower = Follower {
            client,
            news,
            position: after.unwrap_or_else(|| self.position()),
            ready: VecDeque::new(),
            place: None,
        };
        if follower.find_place().is_none() {
            // Read here, so that a wrong position is an error of this call.
            follower.read_page().await?;
        }
        Ok(follower)
    }
}

impl Follower {
    /// Returns the position after the last event.
    pub fn position(&self) -> &Cursor {
        &self.position
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// The store failed. The follower ends; a new one can continue from the position.
    pub async fn next(&mut self) -> Result<Followed, StoreError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.position = event.cursor.clone();
                return Ok(Followed::Event(event));
            }
            match self.place {
                None => self.catch_up().await?,
                Some(place) => {
                    if !self.take(place).await {
                        return Ok(Followed::TooSlow);
                    }
                }
            }
        }
    }

    /// Reads from the store, until the position is in memory.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        self.news.borrow_and_update();
        if self.find_place().is_none() && self.read_page().await? == 0 {
            // The announcer has not read as far as this follower.
            self.wait_for_news().await;
        }
        Ok(())
    }

    fn find_place(&mut self) -> Option<Place> {
        let place = self.shared().state().tail.place_after(&self.position);
        self.place = place;
        place
    }

    async fn read_page(&mut self) -> Result<usize, StoreError> {
        let store = Arc::clone(&self.shared().store);
        let page = store.events_after(&self.position, PAGE).await?;
        let read = page.events.len();
        self.ready.extend(page.events.into_iter().map(Arc::new));
        Ok(read)
    }

    /// Takes events from memory, or waits for news if there are none. Returns false if the events
    /// at this place are not kept any more.
    async fn take(&mut self, place: Place) -> bool {
        // Before the look, so that news between the look and the wait end the wait.
        self.news.borrow_and_update();
        let next = self.shared().state().tail.from(place, TAKE);
        match next {
            Next::Gone => return false,
            Next::Events(events) if events.is_empty() => self.wait_for_news().await,
            Next::Events(events) => {
                self.place = Some(place + events.len() as Place);
                self.ready.extend(events);
            }
        }
        true
    }

    async fn wait_for_news(&mut self) {
        // The announcer is part of `shared`, which this follower keeps.
        let _ = self.news.changed().await;
    }

    fn shared(&self) -> &Shared {
        &self.client.shared
    }
}
