//! Calls of one kind that wait together, and share a transaction.
//!
//! One task makes them: all calls that came during the last transaction go into the next one.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::store::postgres::connections::{CameBetween, Connections, Refused};
use crate::store::{SqlError, StoreError};

/// How many calls may wait; further callers wait for room.
const WAITING_MAX: usize = 4096;
/// The most calls in one transaction.
const BATCH_MAX: usize = 512;
/// How often a transaction is run again that the server undid because of another one.
const TRIES: usize = 5;

/// One kind of call to the store.
#[async_trait]
pub(super) trait Call: Sized + Send + Sync + 'static {
    type Answer: Send + 'static;

    /// Makes several calls in one transaction, and answers in their order.
    async fn make(connections: &Connections, calls: &[Self])
    -> Result<Vec<Self::Answer>, SqlError>;
}

type Waiting<C> = (C, oneshot::Sender<Result<<C as Call>::Answer, SqlError>>);

/// Hands calls to the task that makes them.
pub(super) struct Batches<C: Call>(Mutex<Option<mpsc::Sender<Waiting<C>>>>);

impl<C: Call> Batches<C> {
    /// Starts the task that makes the calls.
    pub(super) fn start(connections: &Arc<Connections>, tasks: &TaskTracker) -> Self {
        let (sender, mut waiting) = mpsc::channel(WAITING_MAX);
        let connections = Arc::clone(connections);
        tasks.spawn(async move {
            let mut batch: Vec<Waiting<C>> = Vec::with_capacity(BATCH_MAX);
            while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
                let (calls, senders): (Vec<C>, Vec<_>) = batch.drain(..).unzip();
                let answers = make_each(&connections, &calls).await;
                for (sender, answer) in senders.into_iter().zip(answers) {
                    // The caller may have given up waiting; the commit stays valid.
                    let _ = sender.send(answer);
                }
            }
        });
        Self(Mutex::new(Some(sender)))
    }

    /// Makes a call, with others, and returns its answer.
    pub(super) async fn call(&self, doing: &'static str, call: C) -> Result<C::Answer, StoreError> {
        let (answer, answered) = oneshot::channel();
        let sender = self.0.lock().await.clone().ok_or(StoreError::Closed)?;
        let sent = sender.send((call, answer)).await;
        drop(sender);
        sent.map_err(|_| StoreError::Closed)?;
        let answer = answered.await.map_err(|_| StoreError::Closed)?;
        answer.map_err(|source| StoreError::Failed { doing, source })
    }

    /// Accepts no more calls; those that wait are made by the task, which then ends.
    pub(super) async fn close(&self) {
        drop(self.0.lock().await.take());
    }
}

/// Makes calls in one transaction. If the server refuses that, each has one of its own, so that none
/// fails because of another. The answers are in the order of the calls.
pub(super) async fn make_each<C: Call>(
    connections: &Connections,
    calls: &[C],
) -> Vec<Result<C::Answer, SqlError>> {
    let error = match made(connections, calls).await {
        Ok(answers) => return answers.into_iter().map(Ok).collect(),
        Err(error) => error,
    };
    if calls.len() == 1 {
        return vec![Err(error)];
    }
    let mut answers = Vec::with_capacity(calls.len());
    for call in calls {
        if !error.is::<Refused>() {
            // The others would wait for the same connection.
            answers.push(Err(error.to_string().into()));
            continue;
        }
        let alone = made(connections, std::slice::from_ref(call)).await;
        answers.push(alone.and_then(|answers| {
            let answer = answers.into_iter().next();
            answer.ok_or_else(|| "there was no answer".into())
        }));
    }
    answers
}

/// Makes calls in one transaction, and again if another one came between.
async fn made<C: Call>(connections: &Connections, calls: &[C]) -> Result<Vec<C::Answer>, SqlError> {
    let mut tries = 1;
    loop {
        // A panic is logged by its hook. It fails these calls, not the task.
        let made = AssertUnwindSafe(C::make(connections, calls))
            .catch_unwind()
            .await;
        match made {
            Ok(Err(error)) if error.is::<CameBetween>() && tries < TRIES => tries += 1,
            Ok(made) => return made,
            Err(_) => {
                return Err(Box::new(Refused(
                    "the call panicked; the log has the cause".to_owned(),
                )));
            }
        }
    }
}
