//! Groups of watches in PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::store::postgres::PostgresStore;
use crate::store::postgres::connections::{CameBetween, Transaction};
use crate::store::postgres::rows::NewEvents;
use crate::store::{
    Applied, GroupStore, SqlError, StoreError, StoredGroup, Submission, Submitted, row,
};
use crate::watch::delivery::Owed;
use crate::watch::event::Event;

const COLUMNS: &str = "name, size, members, open, closed_at, finished_at";
/// The condition of the index `groups_due`.
const IS_DUE: &str = "closed_at IS NOT NULL AND open = 0 AND finished_at IS NULL";

/// The groups that submissions join, locked until the end of the transaction.
pub(super) struct Joining {
    groups: BTreeMap<String, StoredGroup>,
    new: BTreeSet<String>,
    changed: BTreeSet<String>,
}

impl Joining {
    pub(super) async fn lock(
        transaction: &Transaction,
        names: impl Iterator<Item = &str>,
    ) -> Result<Self, SqlError> {
        let names: BTreeSet<&str> = names.collect();
        let mut joining = Self {
            groups: BTreeMap::new(),
            new: names.iter().map(|name| (*name).to_owned()).collect(),
            changed: BTreeSet::new(),
        };
        if names.is_empty() {
            return Ok(joining);
        }
        let names: Vec<&str> = names.into_iter().collect();
        let sql =
            format!("SELECT {COLUMNS} FROM groups WHERE name = ANY ($1) ORDER BY name FOR UPDATE");
        for row in transaction
            .query(&sql, &[(&names, Type::TEXT_ARRAY)])
            .await?
        {
            let group = group_of(&row)?;
            joining.new.remove(&group.name);
            joining.groups.insert(group.name.clone(), group);
        }
        Ok(joining)
    }

    /// Counts one more watch in its group, and closes the group if that completes it. Returns the
    /// reason if it does not take the watch.
    pub(super) fn join(&mut self, submission: &Submission) -> Option<Submitted> {
        let watch = &submission.change.watch;
        let name = watch.group.as_ref()?;
        let group = self
            .groups
            .entry(name.clone())
            .or_insert_with(|| StoredGroup {
                name: name.clone(),
                size: None,
                members: 0,
                open: 0,
                closed_at: None,
                finished_at: None,
            });
        if group.closed_at.is_some() {
            return Some(Submitted::GroupClosed);
        }
        let wanted = submission.group_size;
        if let (Some(size), Some(wanted)) = (group.size, wanted)
            && size != wanted
        {
            return Some(Submitted::GroupHasSize(size));
        }
        group.size = group.size.or(wanted);
        group.members += 1;
        group.open += 1;
        if group.size.is_some_and(|size| group.members >= size) {
            group.closed_at = Some(watch.submitted_at);
        }
        self.changed.insert(name.clone());
        None
    }

    pub(super) async fn write(&self, transaction: &Transaction) -> Result<(), SqlError> {
        let changed: Vec<&StoredGroup> = self
            .changed
            .iter()
            .filter_map(|name| self.groups.get(name))
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = changed.iter().map(|it| it.name.as_str()).collect();
        let sizes: Vec<Option<i32>> = changed
            .iter()
            .map(|it| it.size.and_then(|size| i32::try_from(size).ok()))
            .collect();
        let members = counts(changed.iter().map(|it| it.members))?;
        let open = counts(changed.iter().map(|it| it.open))?;
        let closed: Vec<Option<i64>> = changed
            .iter()
            .map(|it| it.closed_at.map(row::micros))
            .collect();
        let new: Vec<bool> = changed
            .iter()
            .map(|it| self.new.contains(&it.name))
            .collect();
        let rows = transaction
            .query(
                "WITH wanted AS (SELECT * FROM unnest($1, $2, $3, $4, $5, $6)
                        AS w (name, size, members, open, closed_at, is_new)),
                    inserted AS (INSERT INTO groups (name, size, members, open, closed_at)
                        SELECT name, size, members, open, closed_at FROM wanted WHERE is_new
                        ON CONFLICT DO NOTHING RETURNING 1),
                    updated AS (UPDATE groups g SET size = w.size, members = w.members,
                            open = w.open, closed_at = w.closed_at
                        FROM wanted w WHERE g.name = w.name AND NOT w.is_new RETURNING 1)
                 SELECT (SELECT count(*) FROM inserted) + (SELECT count(*) FROM updated)",
                &[
                    (&names, Type::TEXT_ARRAY),
                    (&sizes, Type::INT4_ARRAY),
                    (&members, Type::INT4_ARRAY),
                    (&open, Type::INT4_ARRAY),
                    (&closed, Type::INT8_ARRAY),
                    (&new, Type::BOOL_ARRAY),
                ],
            )
            .await?;
        let written: i64 = rows.first().ok_or("the server gave no row")?.try_get(0)?;
        if usize::try_from(written)? != changed.len() {
            let reason = "another replica has just begun the same group".to_owned();
            return Err(Box::new(CameBetween(reason)));
        }
        Ok(())
    }
}

fn counts(counts: impl Iterator<Item = u32>) -> Result<Vec<i32>, SqlError> {
    Ok(counts.map(i32::try_from).collect::<Result<_, _>>()?)
}

/// Counts the ends of watches, given by the names of their groups.
pub(super) async fn end_some(transaction: &Transaction, ended: &[&str]) -> Result<(), SqlError> {
    if ended.is_empty() {
        return Ok(());
    }
    transaction
        .execute(
            "UPDATE groups g SET open = g.open - e.count
             FROM (SELECT name, count(*)::integer AS count FROM unnest($1) AS ended (name)
                GROUP BY name) e WHERE g.name = e.name",
            &[(&ended, Type::TEXT_ARRAY)],
        )
        .await?;
    Ok(())
}

fn group_of(row: &Row) -> Result<StoredGroup, SqlError> {
    let time = |column: &'static str| -> Result<Option<Timestamp>, SqlError> {
        let micros: Option<i64> = row.try_get(column)?;
        let time = micros.map(|micros| row::timestamp(column, micros));
        Ok(time.transpose()?)
    };
    let size: Option<i32> = row.try_get("size")?;
    Ok(StoredGroup {
        name: row.try_get("name")?,
        size: size.map(u32::try_from).transpose()?,
        members: u32::try_from(row.try_get::<_, i32>("members")?)?,
        open: u32::try_from(row.try_get::<_, i32>("open")?)?,
        closed_at: time("closed_at")?,
        finished_at: time("finished_at")?,
    })
}

#[async_trait]
impl GroupStore for PostgresStore {
    async fn group(&self, name: &str) -> Result<Option<StoredGroup>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM groups WHERE name = $1");
        self.run("read a group", async {
            let rows = self.connections.read(&sql, &[(&name, Type::TEXT)]).await?;
            rows.first().map(group_of).transpose()
        })
        .await
    }

    async fn close_group(
        &self,
        name: &str,
        at: Timestamp,
    ) -> Result<Option<StoredGroup>, StoreError> {
        self.run("close a group", async {
            let transaction = self.connections.begin().await?;
            transaction
                .execute(
                    "UPDATE groups SET closed_at = $2 WHERE name = $1 AND closed_at IS NULL",
                    &[(&name, Type::TEXT), (&row::micros(at), Type::INT8)],
                )
                .await?;
            let sql = format!("SELECT {COLUMNS} FROM groups WHERE name = $1");
            let rows = transaction.query(&sql, &[(&name, Type::TEXT)]).await?;
            transaction.commit().await?;
            rows.first().map(group_of).transpose()
        })
        .await
    }

    async fn due_groups(&self, limit: usize) -> Result<Vec<StoredGroup>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM groups WHERE {IS_DUE} ORDER BY closed_at LIMIT $1");
        self.run("read groups", async {
            let limit = i64::try_from(limit)?;
            let rows = self.connections.read(&sql, &[(&limit, Type::INT8)]).await?;
            rows.iter().map(group_of).collect()
        })
        .await
    }

    async fn finish_group(
        &self,
        name: &str,
        at: Timestamp,
        event: Event,
        owed: Vec<Owed>,
    ) -> Result<Applied, StoreError> {
        let sql = format!("UPDATE groups SET finished_at = $2 WHERE name = $1 AND {IS_DUE}");
        let mut events = NewEvents::default();
        events.add_without_watch(&event, &owed);
        self.run("finish a group", async {
            let transaction = self.connections.begin().await?;
            let values = [
                (&name as _, Type::TEXT),
                (&row::micros(at) as _, Type::INT8),
            ];
            if transaction.execute(&sql, &values).await? == 0 {
                transaction.roll_back().await?;
                return Ok(Applied::Refused);
            }
            events.write_and_commit(transaction).await?;
            Ok(Applied::Applied)
        })
        .await
    }
}
