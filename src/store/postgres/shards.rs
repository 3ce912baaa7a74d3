//! The owners of shards in PostgreSQL: rows with an owner, an epoch and the end of a lease. Only the
//! time of the server decides whether a lease has ended.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rand::RngExt;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::{Builder, Uuid};

use crate::clock::machine_seeded_rng;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::connections::{Connections, Transaction};
use crate::store::postgres::deliveries::micros;
use crate::store::shards::{Holding, LEASE, Replica, SHARDS, ShardStore, Shards, Throttling};
use crate::store::{SqlError, StoreError, row, time};
use crate::watch::WatchId;

/// The time before the end of a lease at which a replica stops to rely on it.
const MARGIN: Duration = Duration::from_secs(2);

/// This replica, and the epochs of the shards that it owns.
pub(super) struct Membership {
    pub(super) id: Uuid,
    name: String,
    /// By shard; 0 for a shard of others.
    epochs: Vec<AtomicI64>,
}

impl Membership {
    pub(super) fn new(name: String) -> Self {
        Self {
            id: Builder::from_random_bytes(machine_seeded_rng().random()).into_uuid(),
            name,
            epochs: (0..SHARDS).map(|_| AtomicI64::new(0)).collect(),
        }
    }

    /// Returns the epoch of a shard that this replica owns; `None` for one of others.
    fn epoch(&self, shard: u8) -> Option<i64> {
        let epoch = self.epochs[usize::from(shard)].load(Ordering::Acquire);
        (epoch > 0).then_some(epoch)
    }

    fn set(&self, shard: u8, epoch: i64) {
        self.epochs[usize::from(shard)].store(epoch, Ordering::Release);
    }
}

/// Locks the rows of shards until the end of the transaction, so that no other replica takes them
/// meanwhile.
/// Returns those that this replica still owns.
pub(super) async fn fence(
    transaction: &Transaction,
    membership: &Membership,
    shards: Shards,
) -> Result<Shards, SqlError> {
    let wanted: Vec<i16> = shards.iter().map(i16::from).collect();
    let rows = transaction
        .query(
            "SELECT id, epoch FROM shards WHERE id = ANY ($1) AND owner = $2 ORDER BY id FOR SHARE",
            &[(&wanted, Type::INT2_ARRAY), (&membership.id, Type::UUID)],
        )
        .await?;
    let mut still = Shards::default();
    for row in rows {
        let (shard, epoch) = owned(&row)?;
        if membership.epoch(shard) == Some(epoch) {
            still.insert(shard);
        }
    }
    Ok(still)
}

/// Reads a shard and its epoch.
fn owned(row: &Row) -> Result<(u8, i64), SqlError> {
    Ok((u8::try_from(row.try_get::<_, i16>(0)?)?, row.try_get(1)?))
}

async fn hold(connections: &Connections, membership: &Membership) -> Result<Holding, SqlError> {
    let transaction = connections.begin().await?;
    let lease = micros(LEASE);
    transaction
        .execute(
            "INSERT INTO replicas (id, name, version, started_at, seen_at)
             VALUES ($1, $2, $3, store_time(), store_time())
             ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at",
            &[
                (&membership.id, Type::UUID),
                (&membership.name, Type::TEXT),
                (&env!("CARGO_PKG_VERSION"), Type::TEXT),
            ],
        )
        .await?;
    let renewed = transaction
        .query(
            "UPDATE shards SET lease_until = store_time() + $2 WHERE owner = $1 RETURNING id, epoch",
            &[(&membership.id, Type::UUID), (&lease, Type::INT8)],
        )
        .await?;
    let most = fair_share(&transaction, lease).await?;
    let wanted = most.saturating_sub(renewed.len());
    let taken = if wanted == 0 {
        Vec::new()
    } else {
        take(&transaction, membership.id, lease, wanted).await?
    };
    transaction.commit().await?;
    let mut holding = Holding {
        kept: Shards::default(),
        new: Shards::default(),
        surplus: renewed.len().saturating_sub(most),
        lease: Some(LEASE.saturating_sub(MARGIN)),
    };
    let mut epochs = [0; SHARDS as usize];
    for row in renewed.iter().chain(&taken) {
        let (shard, epoch) = owned(row)?;
        epochs[usize::from(shard)] = epoch;
        // An answer that was lost may have been about a shard that was taken.
        if membership.epoch(shard) == Some(epoch) {
            holding.kept.insert(shard);
        } else {
            holding.new.insert(shard);
        }
    }
    for (shard, epoch) in (0..=u8::MAX).zip(epochs) {
        membership.set(shard, epoch);
    }
    Ok(holding)
}

/// Returns the fair share of each living replica.
async fn fair_share(transaction: &Transaction, lease: i64) -> Result<usize, SqlError> {
    let rows = transaction
        .query(
            "SELECT count(*) FROM replicas WHERE seen_at > store_time() - $1",
            &[(&lease, Type::INT8)],
        )
        .await?;
    let living: i64 = rows.first().ok_or("the server gave no row")?.try_get(0)?;
    Ok(usize::from(SHARDS).div_ceil(usize::try_from(living)?.max(1)))
}

/// Takes shards that have no owner.
async fn take(
    transaction: &Transaction,
    id: Uuid,
    lease: i64,
    wanted: usize,
) -> Result<Vec<Row>, SqlError> {
    let wanted = i64::try_from(wanted)?;
    // In a random order, so that replicas that start together do not want the same ones.
    transaction
        .query(
            "UPDATE shards SET owner = $1, epoch = epoch + 1, lease_until = store_time() + $2
             WHERE id IN (SELECT id FROM shards WHERE owner IS NULL OR lease_until < store_time()
                ORDER BY random() LIMIT $3 FOR UPDATE SKIP LOCKED)
             RETURNING id, epoch",
            &[
                (&id, Type::UUID),
                (&lease, Type::INT8),
                (&wanted, Type::INT8),
            ],
        )
        .await
}

/// Ends the leases of this replica on these shards.
const HAND_BACK: &str =
    "UPDATE shards SET owner = NULL, lease_until = 0 WHERE owner = $1 AND id = ANY ($2)";

#[async_trait]
impl ShardStore for PostgresStore {
    async fn hold(&self) -> Result<Holding, StoreError> {
        let holding = hold(&self.connections, &self.membership);
        self.run("renew the leases on shards", holding).await
    }

    async fn hand_back(&self, shards: Shards) -> Result<(), StoreError> {
        let ids: Vec<i16> = shards.iter().map(i16::from).collect();
        for shard in shards.iter() {
            self.membership.set(shard, 0);
        }
        self.run("hand back shards", async {
            let transaction = self.connections.begin().await?;
            let values = [
                (&self.membership.id as _, Type::UUID),
                (&ids as _, Type::INT2_ARRAY),
            ];
            transaction.execute(HAND_BACK, &values).await?;
            transaction.commit().await
        })
        .await
    }

    async fn leave(&self) -> Result<(), StoreError> {
        self.hand_back(Shards::ALL).await?;
        self.run("leave the replicas", async {
            let transaction = self.connections.begin().await?;
            let me = [(&self.membership.id as _, Type::UUID)];
            let sql = "DELETE FROM replicas WHERE id = $1";
            transaction.execute(sql, &me).await?;
            transaction.commit().await
        })
        .await
    }

    async fn replicas(&self) -> Result<Vec<Replica>, StoreError> {
        let clock = self.clock.now();
        self.run("read the replicas", async {
            let rows = self
                .connections
                .read(
                    "SELECT id, name, version, started_at, seen_at, store_time(),
                        ARRAY(SELECT s.id FROM shards s
                            WHERE s.owner = r.id AND s.lease_until > store_time())
                     FROM replicas r WHERE seen_at > store_time() - $1
                     ORDER BY name COLLATE \"C\", started_at, id",
                    &[(&micros(LEASE), Type::INT8)],
                )
                .await?;
            rows.iter()
                .map(|row| replica_of(row, self.membership.id, clock))
                .collect()
        })
        .await
    }

    async fn request_poll(&self, id: WatchId) -> Result<bool, StoreError> {
        self.run("ask the owner of a watch for a poll", async {
            let transaction = self.connections.begin().await?;
            transaction
                .execute(
                    "INSERT INTO poll_requests (watch_id, shard, at)
                     SELECT id, shard, store_time() FROM watches WHERE id = $1
                     ON CONFLICT DO NOTHING",
                    &[(&id.0, Type::UUID)],
                )
                .await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    async fn exchange_throttlings(
        &self,
        own: Vec<Throttling>,
    ) -> Result<Vec<Throttling>, StoreError> {
        let id = self.membership.id;
        self.run("exchange throttlings", async {
            if !own.is_empty() {
                publish(&self.connections, id, &own).await?;
            }
            let rows = self
                .connections
                .read(
                    "SELECT endpoint, credential, until - store_time(), at FROM throttlings
                     WHERE replica <> $1 AND until > store_time()",
                    &[(&id, Type::UUID)],
                )
                .await?;
            rows.iter().map(throttling_of).collect()
        })
        .await
    }

    async fn take_poll_requests(&self, shards: Shards) -> Result<Vec<WatchId>, StoreError> {
        let shards: Vec<i16> = shards.iter().map(i16::from).collect();
        self.run("take requests for polls", async {
            let rows = self
                .connections
                .read(
                    "DELETE FROM poll_requests WHERE shard = ANY ($1) RETURNING watch_id",
                    &[(&shards, Type::INT2_ARRAY)],
                )
                .await?;
            let ids = rows.iter().map(|row| Ok(WatchId(row.try_get(0)?)));
            ids.collect()
        })
        .await
    }
}

async fn publish(connections: &Connections, id: Uuid, own: &[Throttling]) -> Result<(), SqlError> {
    let endpoints: Vec<&str> = own.iter().map(|it| it.endpoint.as_str()).collect();
    let credentials: Vec<&str> = own.iter().map(|it| it.credential.as_str()).collect();
    let pauses: Vec<i64> = own.iter().map(|it| micros(it.pause)).collect();
    let transaction = connections.begin().await?;
    transaction
        .execute(
            "INSERT INTO throttlings (endpoint, credential, replica, at, until)
             SELECT endpoint, credential, $1, store_time(), store_time() + pause
             FROM unnest($2, $3, $4) AS own (endpoint, credential, pause)
             ON CONFLICT (endpoint, credential, replica) DO UPDATE
                SET at = excluded.at, until = excluded.until",
            &[
                (&id, Type::UUID),
                (&endpoints, Type::TEXT_ARRAY),
                (&credentials, Type::TEXT_ARRAY),
                (&pauses, Type::INT8_ARRAY),
            ],
        )
        .await?;
    // Those of replicas that have left, too.
    let old = "DELETE FROM throttlings WHERE until < store_time()";
    transaction.execute(old, &[]).await?;
    transaction.commit().await
}

fn throttling_of(row: &Row) -> Result<Throttling, SqlError> {
    let pause: i64 = row.try_get(2)?;
    Ok(Throttling {
        endpoint: row.try_get(0)?,
        credential: row.try_get(1)?,
        pause: Duration::from_micros(u64::try_from(pause).unwrap_or(0)),
        number: row.try_get(3)?,
    })
}

fn replica_of(row: &Row, this: Uuid, clock: Timestamp) -> Result<Replica, SqlError> {
    let now = row::timestamp("now", row.try_get(5)?)?;
    let at = |column, index| -> Result<Timestamp, SqlError> {
        let at = row::timestamp(column, row.try_get(index)?)?;
        Ok(time::shown(at, now, clock))
    };
    let id: Uuid = row.try_get(0)?;
    let shards: Vec<i16> = row.try_get(6)?;
    let shards = shards.into_iter().map(u8::try_from);
    Ok(Replica {
        id,
        name: row.try_get(1)?,
        version: row.try_get(2)?,
        started_at: at("started_at", 3)?,
        seen_at: at("seen_at", 4)?,
        shards: shards.collect::<Result<_, _>>()?,
        is_self: id == this,
    })
}
