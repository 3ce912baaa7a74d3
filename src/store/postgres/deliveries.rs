//! Claims and settlements of deliveries in PostgreSQL, by the time of the server.
//!
//! A claim is a lease in the row, so any replica may deliver what another one has committed.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::clock::later;
use crate::store::delivery::{ATTEMPTS_KEPT, DeliveryState, SinkBacklog};
use crate::store::postgres::attempts::NewAttempts;
use crate::store::postgres::connections::{Connections, Transaction, Value};
use crate::store::postgres::rows::clean;
use crate::store::{AttemptRecord, Claimed, Settlement, SqlError, row};
use crate::watch::delivery::{Delivery, RETRY_DELAY_MAX, Target};

/// Prepares pending deliveries at the start of a process. A delivery that is due later than the
/// longest retry delay allows was scheduled when the clock of the server was wrong: it is due now.
pub(super) async fn begin(connections: &Connections) -> Result<(), SqlError> {
    let transaction = connections.begin().await?;
    let longest = micros(RETRY_DELAY_MAX);
    transaction
        .execute(
            "UPDATE deliveries SET due_at = store_time()
             WHERE state = 'pending' AND due_at > store_time() + $1",
            &[(&longest, Type::INT8)],
        )
        .await?;
    transaction.commit().await
}

pub(super) async fn claim(
    connections: &Connections,
    sink: &str,
    lease: Duration,
    limit: usize,
) -> Result<Vec<Claimed>, SqlError> {
    let (lease, limit) = (micros(lease), i64::try_from(limit)?);
    // One statement is a transaction by itself.
    let mut rows = connections
        .read(
            "WITH due AS MATERIALIZED (
                SELECT id FROM deliveries WHERE sink = $1 AND state = 'pending'
                    AND due_at <= store_time() AND lease_until <= store_time()
                ORDER BY due_at, id LIMIT $3 FOR UPDATE SKIP LOCKED)
             UPDATE deliveries d SET lease_until = store_time() + $2
             FROM due, events e WHERE d.id = due.id AND e.seq = d.event
             RETURNING d.id, d.attempts - d.earlier_attempts, e.id, e.type, e.body, d.target, d.due_at",
            &[(&sink, Type::TEXT), (&lease, Type::INT8), (&limit, Type::INT8)],
        )
        .await?;
    let place = |row: &Row| (row.get::<_, i64>(6), row.get::<_, i64>(0));
    rows.sort_by_key(place);
    rows.iter().map(claimed).collect()
}

fn claimed(row: &Row) -> Result<Claimed, SqlError> {
    Ok(Claimed {
        id: row.try_get(0)?,
        schedule_attempts: u32::try_from(row.try_get::<_, i32>(1)?)?,
        delivery: Delivery {
            event_id: row.try_get(2)?,
            type_name: row.try_get(3)?,
            body: row.try_get(4)?,
            target: row.try_get::<_, Option<String>>(5)?.map(Target),
        },
    })
}

/// Records attempts. Several records of one delivery count in their order.
pub(super) async fn settle(
    connections: &Connections,
    records: &[&AttemptRecord],
) -> Result<(), SqlError> {
    let transaction = connections.begin().await?;
    let mut rest = records.to_vec();
    while !rest.is_empty() {
        let mut round: Vec<&AttemptRecord> = Vec::with_capacity(rest.len());
        let mut later = Vec::new();
        for record in rest {
            if round.iter().any(|it| it.delivery == record.delivery) {
                later.push(record);
            } else {
                round.push(record);
            }
        }
        settle_each_once(&transaction, &round).await?;
        rest = later;
    }
    transaction.commit().await
}

/// The records of different deliveries, one array for each column.
#[derive(Default)]
struct Settlements {
    delivery: Vec<i64>,
    state: Vec<&'static str>,
    delay: Vec<Option<i64>>,
    status: Vec<Option<i32>>,
    error: Vec<Option<String>>,
    settled_at: Vec<Option<i64>>,
    schedule_attempt: Vec<i32>,
    is_gone: Vec<bool>,
    at: Vec<i64>,
    took: Vec<i64>,
}

impl Settlements {
    fn add(&mut self, record: &AttemptRecord) -> Result<(), SqlError> {
        let ended = later(record.at, record.took);
        let (state, delay, settled_at) = match record.settlement {
            Settlement::Delivered => (DeliveryState::Delivered, None, Some(ended)),
            Settlement::Dead => (DeliveryState::Dead, None, Some(ended)),
            Settlement::RetryAfter(delay) => (DeliveryState::Pending, Some(micros(delay)), None),
            Settlement::ReceiverGone => (DeliveryState::Pending, None, None),
        };
        self.delivery.push(record.delivery);
        self.state.push(state.as_str());
        self.delay.push(delay);
        self.status.push(record.http_status.map(i32::from));
        self.error.push(record.error.as_deref().map(clean));
        self.settled_at.push(settled_at.map(row::micros));
        self.schedule_attempt
            .push(i32::try_from(record.schedule_attempt)?);
        self.is_gone
            .push(record.settlement == Settlement::ReceiverGone);
        self.at.push(row::micros(record.at));
        self.took.push(i64::try_from(record.took.as_micros())?);
        Ok(())
    }
}

/// The rows are locked in the order of their ids, so that two replicas do not wait for each other.
const SETTLE: &str = "WITH s AS (SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            AS s (delivery, new_state, delay, status, error, settled_at, attempt, is_gone, at, took)),
        locked AS MATERIALIZED (SELECT id FROM deliveries WHERE id = ANY ($1) ORDER BY id FOR UPDATE)
    UPDATE deliveries d SET state = s.new_state,
        due_at = CASE WHEN s.delay IS NULL THEN due_at ELSE store_time() + s.delay END,
        lease_until = 0, attempts = d.attempts + 1,
        earlier_attempts = d.earlier_attempts + s.is_gone::integer,
        last_status = s.status, last_error = s.error, settled_at = s.settled_at,
        took_us = CASE WHEN s.new_state = 'delivered' AND d.attempts = 0 THEN s.took END
    FROM s, locked
    WHERE d.id = s.delivery AND locked.id = d.id AND d.state = 'pending'
        AND (s.new_state <> 'pending' OR d.attempts - d.earlier_attempts = s.attempt - 1)
        AND NOT (s.is_gone AND EXISTS (
            SELECT 1 FROM attempts a WHERE a.delivery = d.id AND a.at = s.at))
    RETURNING d.id, d.attempts";

async fn settle_each_once(
    transaction: &Transaction,
    records: &[&AttemptRecord],
) -> Result<(), SqlError> {
    let mut settlements = Settlements::default();
    for record in records {
        settlements.add(record)?;
    }
    let it = &settlements;
    let values: [Value<'_>; 10] = [
        (&it.delivery, Type::INT8_ARRAY),
        (&it.state, Type::TEXT_ARRAY),
        (&it.delay, Type::INT8_ARRAY),
        (&it.status, Type::INT4_ARRAY),
        (&it.error, Type::TEXT_ARRAY),
        (&it.settled_at, Type::INT8_ARRAY),
        (&it.schedule_attempt, Type::INT4_ARRAY),
        (&it.is_gone, Type::BOOL_ARRAY),
        (&it.at, Type::INT8_ARRAY),
        (&it.took, Type::INT8_ARRAY),
    ];
    let mut attempts = NewAttempts::default();
    for row in transaction.query(SETTLE, &values).await? {
        let (id, number): (i64, i32) = (row.try_get(0)?, row.try_get(1)?);
        let Some(record) = records.iter().find(|it| it.delivery == id) else {
            continue;
        };
        // The delivery itself tells of a success at once.
        if number > 1 || record.settlement != Settlement::Delivered {
            attempts.add(number, record);
        }
    }
    attempts
        .write(transaction, i32::try_from(ATTEMPTS_KEPT)?)
        .await
}

pub(super) async fn next_due(
    connections: &Connections,
    sink: &str,
) -> Result<Option<Duration>, SqlError> {
    let free = "SELECT greatest(due_at - store_time(), 0) FROM deliveries
         WHERE sink = $1 AND state = 'pending' AND lease_until <= store_time()
         ORDER BY due_at LIMIT 1";
    let free = number(connections, free, sink).await?;
    if free == Some(0) {
        return Ok(Some(Duration::ZERO));
    }
    // None is due and free: those that are due are leased, and they are few.
    let leased = "SELECT min(greatest(due_at, lease_until)) - store_time() FROM deliveries
         WHERE sink = $1 AND state = 'pending' AND due_at <= store_time()
            AND lease_until > store_time()";
    let leased = number(connections, leased, sink).await?;
    let next = [free, leased].into_iter().flatten().min();
    Ok(next.map(|micros| Duration::from_micros(micros.try_into().unwrap_or(0))))
}

async fn number(connections: &Connections, sql: &str, sink: &str) -> Result<Option<i64>, SqlError> {
    let rows = connections.read(sql, &[(&sink, Type::TEXT)]).await?;
    let number = rows.first().map(|row| row.try_get::<_, Option<i64>>(0));
    Ok(number.transpose()?.flatten())
}

pub(super) async fn backlog(connections: &Connections) -> Result<Vec<SinkBacklog>, SqlError> {
    let rows = connections
        .read(
            "SELECT sink, sum(pending)::bigint, sum(dead)::bigint FROM (
                 SELECT sink, count(*) AS pending, 0 AS dead
                     FROM deliveries WHERE state = 'pending' GROUP BY sink
                 UNION ALL
                 SELECT sink, 0, count(*) FROM deliveries WHERE state = 'dead' GROUP BY sink
             ) each GROUP BY sink ORDER BY sink COLLATE \"C\"",
            &[],
        )
        .await?;
    let backlog = rows.iter().map(|row| {
        Ok(SinkBacklog {
            sink: row.try_get(0)?,
            pending: u64::try_from(row.try_get::<_, i64>(1)?)?,
            dead: u64::try_from(row.try_get::<_, i64>(2)?)?,
        })
    });
    backlog.collect()
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 2)
}
