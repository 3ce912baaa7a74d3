//! The blind periods of services, in PostgreSQL.

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::store::blindness::{BLIND_PERIODS_KEPT, BlindnessStore};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::connections::Transaction;
use crate::store::postgres::rows::NewEvents;
use crate::store::{SqlError, StoreError, row};
use crate::watch::blindness::{BlindPeriod, Reported};
use crate::watch::delivery::Owed;
use crate::watch::event::Event;

#[async_trait]
impl BlindnessStore for PostgresStore {
    async fn blind_periods(&self) -> Result<Vec<BlindPeriod>, StoreError> {
        let sql = "SELECT service, since, until, cause, reported FROM blind_times
             ORDER BY service COLLATE \"C\", since";
        self.run("read blind periods", async {
            let rows = self.connections.read(sql, &[]).await?;
            rows.iter().map(period_of).collect()
        })
        .await
    }

    async fn save_blind_periods(
        &self,
        periods: Vec<BlindPeriod>,
        event: Option<(Event, Vec<Owed>)>,
    ) -> Result<(), StoreError> {
        self.run("save blind periods", async {
            let transaction = self.connections.begin().await?;
            for period in &periods {
                save(&transaction, period).await?;
            }
            let Some((event, owed)) = &event else {
                return transaction.commit().await;
            };
            let known = transaction
                .query(
                    "SELECT 1 FROM events WHERE id = $1 AND watch_id IS NULL",
                    &[(&event.id, Type::UUID)],
                )
                .await?;
            if !known.is_empty() {
                return transaction.commit().await;
            }
            let mut events = NewEvents::default();
            events.add_without_watch(event, owed);
            events.write_and_commit(transaction).await
        })
        .await
    }
}

async fn save(transaction: &Transaction, period: &BlindPeriod) -> Result<(), SqlError> {
    let kept = i64::try_from(BLIND_PERIODS_KEPT)?;
    transaction
        .execute(
            "INSERT INTO blind_times (service, since, until, cause, reported)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (service, since) DO UPDATE SET
                until = excluded.until, cause = excluded.cause, reported = excluded.reported",
            &[
                (&period.service, Type::TEXT),
                (&row::micros(period.since), Type::INT8),
                (&period.until.map(row::micros), Type::INT8),
                (&row::json(&period.cause), Type::TEXT),
                (&period.reported.as_str(), Type::TEXT),
            ],
        )
        .await?;
    transaction
        .execute(
            "DELETE FROM blind_times WHERE service = $1 AND until IS NOT NULL AND since <= (
                 SELECT since FROM blind_times WHERE service = $1
                 ORDER BY since DESC LIMIT 1 OFFSET $2)",
            &[(&period.service, Type::TEXT), (&kept, Type::INT8)],
        )
        .await?;
    Ok(())
}

fn period_of(row: &Row) -> Result<BlindPeriod, SqlError> {
    let until: Option<i64> = row.try_get("until")?;
    let reported: &str = row.try_get("reported")?;
    let until = until.map(|micros| row::timestamp("until", micros));
    Ok(BlindPeriod {
        service: row.try_get("service")?,
        since: row::timestamp("since", row.try_get("since")?)?,
        until: until.transpose()?,
        cause: row::from_json("cause", row.try_get("cause")?)?,
        reported: Reported::from_word(reported)
            .ok_or_else(|| format!("`{reported}` in the column `reported` is unknown"))?,
    })
}
