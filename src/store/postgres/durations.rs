//! The durations of jobs in PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::types::Type;

use crate::store::durations::{DURATIONS_KEPT, Took};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::connections::Transaction;
use crate::store::{DurationStore, JobDurations, SqlError, StoreError, row};
use crate::watch::Watch;

/// One end in so many deletes the durations beyond [`DURATIONS_KEPT`] of its type.
const TRIM_ONE_IN: u8 = 32;

/// Keeps the durations of watches that have just ended, of those that show one. Now and then it
/// deletes older ones of the same type.
pub(super) async fn keep(transaction: &Transaction, ended: &[Watch]) -> Result<(), SqlError> {
    let shown = ended
        .iter()
        .filter_map(|watch| Some((watch, Took::of(watch)?)));
    let shown: Vec<(&Watch, Took<'_>)> = shown.collect();
    if shown.is_empty() {
        return Ok(());
    }
    let services: Vec<&str> = shown
        .iter()
        .map(|(watch, _)| watch.service.as_str())
        .collect();
    let types: Vec<String> = shown
        .iter()
        .map(|(_, it)| it.job_type.replace('\0', ""))
        .collect();
    let ends: Vec<i64> = shown
        .iter()
        .map(|(_, it)| row::micros(it.finished_at))
        .collect();
    let millis = |it: &Took<'_>| i64::try_from(it.took.as_millis()).unwrap_or(i64::MAX);
    let took: Vec<i64> = shown.iter().map(|(_, it)| millis(it)).collect();
    transaction
        .execute(
            "INSERT INTO durations (service, job_type, finished_at, took_ms)
             SELECT * FROM unnest($1, $2, $3, $4)",
            &[
                (&services, Type::TEXT_ARRAY),
                (&types, Type::TEXT_ARRAY),
                (&ends, Type::INT8_ARRAY),
                (&took, Type::INT8_ARRAY),
            ],
        )
        .await?;
    for ((watch, _), job_type) in shown.iter().zip(&types) {
        // The last byte of an id is random, so each type of job has its turn.
        if watch.id.0.as_bytes()[15].is_multiple_of(TRIM_ONE_IN) {
            trim(transaction, &watch.service, job_type).await?;
        }
    }
    Ok(())
}

async fn trim(transaction: &Transaction, service: &str, job_type: &str) -> Result<(), SqlError> {
    let kept = i64::try_from(DURATIONS_KEPT)?;
    transaction
        .execute(
            "DELETE FROM durations WHERE number IN (
                 SELECT number FROM durations WHERE service = $1 AND job_type = $2
                 ORDER BY finished_at DESC, number DESC OFFSET $3)",
            &[
                (&service, Type::TEXT),
                (&job_type, Type::TEXT),
                (&kept, Type::INT8),
            ],
        )
        .await?;
    Ok(())
}

#[async_trait]
impl DurationStore for PostgresStore {
    async fn durations(&self, service: Option<&str>) -> Result<Vec<JobDurations>, StoreError> {
        let sql = "SELECT service, job_type, array_agg(took_ms) FROM (
                SELECT *, row_number() OVER (PARTITION BY service, job_type
                    ORDER BY finished_at DESC, number DESC) AS place
                FROM durations WHERE $1::text IS NULL OR service = $1) latest
             WHERE place <= $2 GROUP BY service, job_type";
        self.run("read durations", async {
            let kept = i64::try_from(DURATIONS_KEPT)?;
            let values = [(&service as _, Type::TEXT), (&kept as _, Type::INT8)];
            let rows = self.connections.read(sql, &values).await?;
            let mut all = Vec::new();
            for row in rows {
                let took = durations_of(row.try_get(2)?)?;
                all.extend(JobDurations::of(row.try_get(0)?, row.try_get(1)?, took));
            }
            // Not by the rules of a language, which the database may follow.
            all.sort_by(|one, other| {
                (&one.service, &one.job_type).cmp(&(&other.service, &other.job_type))
            });
            Ok(all)
        })
        .await
    }

    async fn usual_duration(
        &self,
        service: &str,
        job_type: &str,
    ) -> Result<Option<JobDurations>, StoreError> {
        let sql = "SELECT coalesce(array_agg(took_ms), '{}') FROM (
                SELECT took_ms FROM durations WHERE service = $1 AND job_type = $2
                ORDER BY finished_at DESC, number DESC LIMIT $3) latest";
        self.run("read durations", async {
            let kept = i64::try_from(DURATIONS_KEPT)?;
            let values = [
                (&service as _, Type::TEXT),
                (&job_type as _, Type::TEXT),
                (&kept as _, Type::INT8),
            ];
            let rows = self.connections.read(sql, &values).await?;
            let row = rows.first().ok_or("the server gave no row")?;
            let took = durations_of(row.try_get(0)?)?;
            Ok(JobDurations::of(service, job_type, took))
        })
        .await
    }
}

fn durations_of(millis: Vec<i64>) -> Result<Vec<Duration>, SqlError> {
    let durations = millis
        .into_iter()
        .map(|it| Ok(Duration::from_millis(u64::try_from(it)?)));
    durations.collect()
}
