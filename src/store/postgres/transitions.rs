//! Changes of stored watches in PostgreSQL: many in one transaction.
//!
//! A transaction locks the watches, reads them, writes all changes, and commits. It
//! needs three exchanges with the server, however many watches there are.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::store::key;
use crate::store::postgres::cells::RowCells;
use crate::store::postgres::connections::{Connections, Transaction};
use crate::store::postgres::rows::{ChangedWatches, NewEvents};
use crate::store::postgres::shards::{Membership, fence};
use crate::store::postgres::{durations, groups};
use crate::store::{Applied, Decide, Shards, SqlError, Transitioned, row, watch_row};
use crate::watch::change::Change;
use crate::watch::{State, Watch, WatchId};

/// Changes watches as their decisions say, each on its own: one that fails leaves the others. With an
/// owner, those of shards that it does not own are left alone.
pub(super) async fn transitions(
    connections: &Connections,
    decisions: &[(WatchId, &Decide)],
    owner: Option<&Membership>,
) -> Result<Vec<Result<Transitioned, String>>, SqlError> {
    let transaction = connections.begin().await?;
    let ids: Vec<Uuid> = decisions.iter().map(|(id, _)| id.0).collect();
    let mut stored = locked(&transaction, &ids).await?;
    let here = match owner {
        Some(owner) => {
            let shards = stored
                .values()
                .map(|(_, watch)| key::of(watch)[0])
                .collect();
            fence(&transaction, owner, shards).await?
        }
        None => Shards::ALL,
    };
    let mut changes = Changes::default();
    let mut answers = Vec::with_capacity(decisions.len());
    for (id, decide) in decisions {
        let Some((number, watch)) = stored.get_mut(id) else {
            answers.push(Ok(Transitioned::Missing));
            continue;
        };
        if !here.contains(key::of(watch)[0]) {
            answers.push(Ok(Transitioned::Foreign));
            continue;
        }
        // A panic fails one decision; its hook has logged it.
        let change = catch_unwind(AssertUnwindSafe(|| decide(watch)));
        answers.push(match change {
            Err(_) => Err("the decision panicked; the log has the cause".to_owned()),
            Ok(None) => Ok(Transitioned::Unchanged(watch.clone())),
            Ok(Some(change)) if !follows(&change, watch) => {
                Err("the change does not follow the watch".to_owned())
            }
            Ok(Some(change)) => {
                changes.add(*number, &change);
                // A later decision about the same watch is about this one.
                *watch = change.watch.clone();
                Ok(Transitioned::Applied(change.watch))
            }
        });
    }
    changes.write_and_commit(transaction).await?;
    Ok(answers)
}

pub(super) async fn apply(connections: &Connections, change: &Change) -> Result<Applied, SqlError> {
    let transaction = connections.begin().await?;
    let id = change.watch.id;
    let stored = locked(&transaction, &[id.0]).await?;
    let Some((number, watch)) = stored.get(&id) else {
        transaction.roll_back().await?;
        return Ok(Applied::Refused);
    };
    if !follows(change, watch) {
        transaction.roll_back().await?;
        return Ok(Applied::Refused);
    }
    let mut changes = Changes::default();
    changes.add(*number, change);
    changes.write_and_commit(transaction).await?;
    Ok(Applied::Applied)
}

/// Stores the event of a change that leaves its watch as it is.
pub(super) async fn append(
    connections: &Connections,
    change: &Change,
) -> Result<Applied, SqlError> {
    let transaction = connections.begin().await?;
    let id = change.watch.id.0;
    // The lock lets one of two replicas look for the event first.
    let rows = transaction
        .query(
            "SELECT EXISTS (SELECT 1 FROM events WHERE watch_id = $1 AND id = $2)
             FROM (SELECT 1 FROM watches WHERE id = $1 FOR UPDATE) watch",
            &[(&id, Type::UUID), (&change.event.id, Type::UUID)],
        )
        .await?;
    let is_new = match rows.first() {
        Some(row) => !row.try_get::<_, bool>(0)?,
        None => false,
    };
    if !is_new {
        transaction.roll_back().await?;
        return Ok(Applied::Refused);
    }
    let mut events = NewEvents::default();
    events.add(&change.watch, &change.event, &change.owed);
    events.write_and_commit(transaction).await?;
    Ok(Applied::Applied)
}

fn follows(change: &Change, stored: &Watch) -> bool {
    stored.state == State::Watching && change.watch.revision == stored.revision + 1
}

/// Reads watches with their numbers, and locks them until the end of the transaction.
async fn locked(
    transaction: &Transaction,
    ids: &[Uuid],
) -> Result<HashMap<WatchId, (i64, Watch)>, SqlError> {
    let columns = watch_row::COLUMNS;
    // In one order, so that two transactions do not wait for each other.
    let sql =
        format!("SELECT {columns} FROM watches WHERE id = ANY ($1) ORDER BY number FOR UPDATE");
    let rows = transaction.query(&sql, &[(&ids, Type::UUID_ARRAY)]).await?;
    rows.iter()
        .map(|row| {
            let (number, watch) = watch_row::read(&mut RowCells::of(row))?;
            Ok((watch.id, (number, watch)))
        })
        .collect()
}

/// The changes of one transaction.
#[derive(Default)]
struct Changes {
    /// One array for each: of two changes of one watch, the second follows the first.
    rounds: Vec<ChangedWatches>,
    numbers: HashMap<i64, usize>,
    events: NewEvents,
    evidence_of: Vec<i64>,
    evidence: Vec<String>,
    ended: Vec<Watch>,
}

impl Changes {
    fn add(&mut self, number: i64, change: &Change) {
        let watch = &change.watch;
        let round = self.numbers.entry(number).or_default();
        if self.rounds.len() == *round {
            self.rounds.push(ChangedWatches::default());
        }
        self.rounds[*round].add(number, watch);
        *round += 1;
        self.events.add(watch, &change.event, &change.owed);
        if let Some(evidence) = &change.evidence {
            self.evidence_of.push(number);
            self.evidence.push(row::json(evidence));
        }
        if watch.state != State::Watching {
            self.ended.push(watch.clone());
        }
    }

    /// Writes the changes, if there are any, and ends the transaction.
    async fn write_and_commit(&self, transaction: Transaction) -> Result<(), SqlError> {
        if self.rounds.is_empty() {
            return transaction.roll_back().await;
        }
        for watches in &self.rounds {
            watches.write(&transaction).await?;
        }
        if !self.evidence.is_empty() {
            let values = [
                (&self.evidence_of as _, Type::INT8_ARRAY),
                (&self.evidence as _, Type::TEXT_ARRAY),
            ];
            transaction
                .execute("INSERT INTO evidence SELECT * FROM unnest($1, $2)", &values)
                .await?;
        }
        let ended: Vec<&str> = self
            .ended
            .iter()
            .filter_map(|it| it.group.as_deref())
            .collect();
        groups::end_some(&transaction, &ended).await?;
        durations::keep(&transaction, &self.ended).await?;
        self.events.write_and_commit(transaction).await
    }
}
