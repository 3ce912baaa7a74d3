//! The durations of jobs in `SQLite`.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, params};

use crate::store::durations::{DURATIONS_KEPT, Took};
use crate::store::sqlite::{SqlError, SqliteStore};
use crate::store::{DurationStore, JobDurations, StoreError, row};
use crate::watch::Watch;

/// One end in so many deletes the durations beyond [`DURATIONS_KEPT`]: to find them costs more than
/// all the rest.
const TRIM_ONE_IN: u8 = 32;

/// Keeps the duration of a watch that has just ended, if it shows one. Now and then it deletes
/// older ones of the same type.
pub(super) fn keep(db: &Connection, watch: &Watch) -> Result<(), SqlError> {
    let Some(took) = Took::of(watch) else {
        return Ok(());
    };
    db.prepare_cached(
        "INSERT INTO durations (service, job_type, finished_at, took_ms) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        watch.service,
        took.job_type,
        row::micros(took.finished_at),
        i64::try_from(took.took.as_millis()).unwrap_or(i64::MAX),
    ])?;
    // The last byte of an id is random, so each type of job has its turn.
    let last = watch.id.0.as_bytes()[15];
    if !last.is_multiple_of(TRIM_ONE_IN) {
        return Ok(());
    }
    db.prepare_cached(
        "DELETE FROM durations WHERE rowid IN (
             SELECT rowid FROM durations WHERE service = ?1 AND job_type = ?2
             ORDER BY finished_at DESC, rowid DESC LIMIT -1 OFFSET ?3)",
    )?
    .execute(params![
        watch.service,
        took.job_type,
        i64::try_from(DURATIONS_KEPT)?
    ])?;
    Ok(())
}

pub(super) fn all(db: &Connection, service: Option<&str>) -> Result<Vec<JobDurations>, SqlError> {
    // Backwards, so that the latest of each type come first without sorting.
    let mut statement = db.prepare_cached(
        "SELECT service, job_type, took_ms FROM durations WHERE service = ?1 OR ?1 IS NULL
         ORDER BY service DESC, job_type DESC, finished_at DESC, rowid DESC",
    )?;
    let mut rows = statement.query([service])?;
    let mut all = Vec::new();
    let mut key = (String::new(), String::new());
    let mut took = Vec::new();
    while let Some(row) = rows.next()? {
        let next = (row.get(0)?, row.get(1)?);
        if next != key {
            all.extend(JobDurations::of(&key.0, &key.1, std::mem::take(&mut took)));
            key = next;
        }
        if took.len() < DURATIONS_KEPT {
            took.push(duration(row.get(2)?)?);
        }
    }
    all.extend(JobDurations::of(&key.0, &key.1, took));
    all.reverse();
    Ok(all)
}

pub(super) fn usual(
    db: &Connection,
    service: &str,
    job_type: &str,
) -> Result<Option<JobDurations>, SqlError> {
    let mut statement = db.prepare_cached(
        "SELECT took_ms FROM durations WHERE service = ?1 AND job_type = ?2
         ORDER BY finished_at DESC, rowid DESC LIMIT ?3",
    )?;
    let limit = i64::try_from(DURATIONS_KEPT)?;
    let mut rows = statement.query(params![service, job_type, limit])?;
    let mut took = Vec::new();
    while let Some(row) = rows.next()? {
        took.push(duration(row.get(0)?)?);
    }
    Ok(JobDurations::of(service, job_type, took))
}

fn duration(millis: i64) -> Result<Duration, SqlError> {
    Ok(Duration::from_millis(u64::try_from(millis)?))
}

#[async_trait]
impl DurationStore for SqliteStore {
    async fn durations(&self, service: Option<&str>) -> Result<Vec<JobDurations>, StoreError> {
        let service = service.map(str::to_owned);
        self.readers
            .run("read durations", move |db| all(db, service.as_deref()))
            .await
    }

    async fn usual_duration(
        &self,
        service: &str,
        job_type: &str,
    ) -> Result<Option<JobDurations>, StoreError> {
        let (service, job_type) = (service.to_owned(), job_type.to_owned());
        self.readers
            .run("read durations", move |db| usual(db, &service, &job_type))
            .await
    }
}
