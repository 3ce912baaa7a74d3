//! The blind periods of services, in `SQLite`.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::store::blindness::{BLIND_PERIODS_KEPT, BlindnessStore};
use crate::store::sqlite::events::Log;
use crate::store::sqlite::{SqlError, SqliteStore};
use crate::store::{StoreError, row};
use crate::watch::blindness::{BlindPeriod, Reported};
use crate::watch::delivery::Owed;
use crate::watch::event::Event;

#[async_trait]
impl BlindnessStore for SqliteStore {
    async fn blind_periods(&self) -> Result<Vec<BlindPeriod>, StoreError> {
        self.readers.run("read blind periods", all).await
    }

    async fn save_blind_periods(
        &self,
        periods: Vec<BlindPeriod>,
        event: Option<(Event, Vec<Owed>)>,
    ) -> Result<(), StoreError> {
        let time = self.time.clone();
        self.writer
            .run("save blind periods", move |db| {
                save(db, &periods, event.as_ref(), time.now())
            })
            .await
    }
}

fn all(db: &Connection) -> Result<Vec<BlindPeriod>, SqlError> {
    let mut statement = db.prepare_cached(
        "SELECT service, since, until, cause, reported FROM blind_times ORDER BY service, since",
    )?;
    let mut rows = statement.query([])?;
    let mut periods = Vec::new();
    while let Some(row) = rows.next()? {
        periods.push(period_of(row)?);
    }
    Ok(periods)
}

fn save(
    db: &Connection,
    periods: &[BlindPeriod],
    event: Option<&(Event, Vec<Owed>)>,
    now: Timestamp,
) -> Result<(), SqlError> {
    let mut save = db.prepare_cached(
        "INSERT INTO blind_times (service, since, until, cause, reported)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (service, since) DO UPDATE SET
            until = excluded.until, cause = excluded.cause, reported = excluded.reported",
    )?;
    let mut forget = db.prepare_cached(
        "DELETE FROM blind_times WHERE service = ?1 AND until IS NOT NULL AND since <= (
             SELECT since FROM blind_times WHERE service = ?1
             ORDER BY since DESC LIMIT 1 OFFSET ?2)",
    )?;
    for period in periods {
        save.execute(params![
            period.service,
            row::micros(period.since),
            period.until.map(row::micros),
            row::json(&period.cause),
            period.reported.as_str(),
        ])?;
        forget.execute(params![period.service, i64::try_from(BLIND_PERIODS_KEPT)?])?;
    }
    let Some((event, owed)) = event else {
        return Ok(());
    };
    let is_stored = db
        .prepare_cached("SELECT 1 FROM events WHERE id = ?1 AND watch_id IS NULL")?
        .exists([event.id])?;
    if !is_stored {
        Log::on(db)?.add(None, event, owed, now)?;
    }
    Ok(())
}

fn period_of(row: &Row<'_>) -> Result<BlindPeriod, SqlError> {
    let until: Option<i64> = row.get("until")?;
    let reported: String = row.get("reported")?;
    let until = until.map(|micros| row::timestamp("until", micros));
    Ok(BlindPeriod {
        service: row.get("service")?,
        since: row::timestamp("since", row.get("since")?)?,
        until: until.transpose()?,
        cause: row::from_json("cause", &row.get::<_, String>("cause")?)?,
        reported: Reported::from_word(&reported)
            .ok_or_else(|| format!("`{reported}` in the column `reported` is unknown"))?,
    })
}
