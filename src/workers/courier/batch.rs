//! The deliveries to a sink that takes many events at once.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::store::{Claimed, StoreError};
use crate::watch::delivery::Delivery;
use crate::workers::courier::attempt::{Begun, Ended};
use crate::workers::courier::{LEASE, SinkQueue};

impl SinkQueue {
    /// Attempts the deliveries that are due, many at once, until none is due or `stop`. Returns the
    /// number of attempts. Those of small batches within the time `gather` are recorded in one
    /// transaction.
    pub(super) async fn deliver_batches(
        self: &Arc<Self>,
        stop: &CancellationToken,
        gather: Duration,
    ) -> Result<usize, StoreError> {
        let (mut attempts, mut ended) = (0, Vec::new());
        let mut window = pin!(sleep(gather));
        let most = self.sink.concurrency();
        loop {
            let claimed = match self.claim(stop, most).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    self.record(ended).await?;
                    return Err(error);
                }
            };
            if !claimed.is_empty() {
                if ended.is_empty() {
                    window.set(sleep(gather));
                }
                ended.extend(self.attempt_in_task(claimed.into()).await);
            } else if ended.is_empty() {
                return Ok(attempts);
            }
            if ended.len() < most {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = window.as_mut() => {}
                    () = self.woken.notified() => continue,
                }
            }
            attempts += ended.len();
            self.record(std::mem::take(&mut ended)).await?;
        }
    }

    async fn claim(
        &self,
        stop: &CancellationToken,
        most: usize,
    ) -> Result<Vec<Claimed>, StoreError> {
        if !self.is_wanted(stop) {
            return Ok(Vec::new());
        }
        self.store.claim_deliveries(&self.name, LEASE, most).await
    }

    /// Attempts deliveries together in a task, so that a panic does not end the loop. After one
    /// each is attempted alone, so that the event behind it delays no other.
    async fn attempt_in_task(self: &Arc<Self>, claimed: Arc<[Claimed]>) -> Vec<Ended> {
        let mut task = JoinSet::new();
        task.spawn(Arc::clone(self).attempt_batch(Arc::clone(&claimed)));
        if let Some(Ok(ended)) = task.join_next().await {
            return ended;
        }
        let mut all = Vec::with_capacity(claimed.len());
        for one in claimed.iter() {
            task.spawn(Arc::clone(self).attempt_batch([one.clone()].into()));
            if let Some(Ok(ended)) = task.join_next().await {
                all.extend(ended);
            }
        }
        all
    }

    async fn attempt_batch(self: Arc<Self>, claimed: Arc<[Claimed]>) -> Vec<Ended> {
        let begun = self.clock.moment();
        let deliveries: Vec<Delivery> = claimed.iter().map(|one| one.delivery.clone()).collect();
        let Some(sink) = self.sink.as_batch_sink() else {
            return Vec::new();
        };
        let attempts = sink.deliver_all(&deliveries, begun.at).await;
        let ended: Vec<Ended> = claimed
            .iter()
            .zip(attempts)
            .map(|(claimed, attempt)| self.ended(&Begun::of(claimed), attempt, begun))
            .collect();
        self.report(&ended);
        ended
    }
}
