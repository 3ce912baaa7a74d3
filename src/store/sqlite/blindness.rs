//! The times in which services were blind, in `SQLite`.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::store::blindness::{BLIND_TIMES_KEPT, BlindnessStore};
use crate::store::sqlite::events::Log;
use crate::store::sqlite::{SqlError, SqliteStore};
use crate::store::{StoreError, row};
use crate::watch::blindness::{BlindTime, Reported};
use crate::watch::delivery::Owed;
use crate::watch::event::Event;

#[async_trait]
impl BlindnessStore for SqliteStore {
    async fn blind_times(&self) -> Result<Vec<BlindTime>, StoreError> {
        self.readers.run("read blind times", all).await
    }

    async fn save_blind_times(
        &self,
        times: Vec<BlindTime>,
        event: Option<(Event, Vec<Owed>)>,
    ) -> Result<(), StoreError> {
        let time = self.time.clone();
        self.writer
            .run("save blind times", move |db| {
                save(db, &times, event.as_ref(), time.now())
            })
            .await
    }
}

fn all(db: &Connection) -> Result<Vec<BlindTime>, SqlError> {
    let mut statement = db.prepare_cached(
        "SELECT service, since, until, cause, reported FROM blind_times ORDER BY service, since",
    )?;
    let mut rows = statement.query([])?;
    let mut times = Vec::new();
    while let Some(row) = rows.next()? {
        times.push(time_of(row)?);
    }
    Ok(times)
}

fn save(
    db: &Connection,
    times: &[BlindTime],
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
    for time in times {
        save.execute(params![
            time.service,
            row::micros(time.since),
            time.until.map(row::micros),
            row::json(&time.cause),
            time.reported.as_str(),
        ])?;
        forget.execute(params![time.service, i64::try_from(BLIND_TIMES_KEPT)?])?;
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

fn time_of(row: &Row<'_>) -> Result<BlindTime, SqlError> {
    let until: Option<i64> = row.get("until")?;
    let reported: String = row.get("reported")?;
    let until = until.map(|micros| row::timestamp("until", micros));
    Ok(BlindTime {
        service: row.get("service")?,
        since: row::timestamp("since", row.get("since")?)?,
        until: until.transpose()?,
        cause: row::from_json("cause", &row.get::<_, String>("cause")?)?,
        reported: Reported::from_word(&reported)
            .ok_or_else(|| format!("`{reported}` in the column `reported` is unknown"))?,
    })
}
