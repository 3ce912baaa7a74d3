//! Copies a whole database from one store to another, also of another kind.
//!
//! Rows keep their numbers, so watches keep their order and positions in the log of events stay
//! valid. They are copied in batches, in one transaction of the target: after a failure it is as
//! empty as before.

use async_trait::async_trait;

use crate::store::tables::{CopiedRow, TABLES, Table};
use crate::store::{SqlError, StoreError};

/// The most rows of one batch.
pub const BATCH_ROWS: usize = 500;

/// Where the log of events begins and ends, also if the events there were deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnds {
    /// The position of the last event that was deleted.
    pub start: i64,
    /// The position of the last event that was ever stored.
    pub last: i64,
}

/// A database that no daemon uses, to be read.
#[async_trait]
pub trait Source: Send {
    /// Returns rows of a table, in the order of their keys: the first ones, or those after a row. At
    /// most [`BATCH_ROWS`]; none after the last one.
    async fn rows(
        &mut self,
        table: &Table,
        after: Option<&CopiedRow>,
    ) -> Result<Vec<CopiedRow>, SqlError>;

    async fn count(&mut self, table: &Table) -> Result<u64, SqlError>;

    async fn log_ends(&mut self) -> Result<LogEnds, SqlError>;
}

/// An empty database that no daemon uses, to be filled in one transaction.
#[async_trait]
pub trait Target: Send {
    /// Adds rows, in the order of the tables.
    async fn insert(&mut self, table: &Table, rows: Vec<CopiedRow>) -> Result<(), SqlError>;

    async fn count(&mut self, table: &Table) -> Result<u64, SqlError>;

    /// Derives what the store keeps beside the rows, commits, and waits until all is on the disk.
    async fn finish(self: Box<Self>, ends: LogEnds) -> Result<(), SqlError>;
}

/// Copies everything. Returns each table with the number of its rows.
///
/// # Errors
/// A read or a write failed, or a count differs at the end. Nothing was copied, unless only the
/// answer to the commit was lost.
pub async fn copy(
    mut from: Box<dyn Source>,
    to: Box<dyn Target>,
) -> Result<Vec<(&'static str, u64)>, StoreError> {
    copy_all(from.as_mut(), to)
        .await
        .map_err(|source| StoreError::Failed {
            doing: "copy the database",
            source,
        })
}

async fn copy_all(
    from: &mut dyn Source,
    mut to: Box<dyn Target>,
) -> Result<Vec<(&'static str, u64)>, SqlError> {
    let mut copied = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        let count = copy_table(from, to.as_mut(), table)
            .await
            .map_err(|error| format!("the table {}: {error}", table.name))?;
        copied.push((table.name, count));
    }
    to.finish(from.log_ends().await?).await?;
    Ok(copied)
}

async fn copy_table(
    from: &mut dyn Source,
    to: &mut dyn Target,
    table: &Table,
) -> Result<u64, SqlError> {
    let mut last: Option<CopiedRow> = None;
    loop {
        let rows = from.rows(table, last.as_ref()).await?;
        let Some(end) = rows.last() else { break };
        last = Some(end.clone());
        to.insert(table, rows).await?;
    }
    let (there, here) = (from.count(table).await?, to.count(table).await?);
    if there != here {
        return Err(format!("{here} of its {there} rows were copied").into());
    }
    Ok(here)
}
