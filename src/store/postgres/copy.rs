//! A database on a server as the source or the target of a copy.
//!
//! Locks on its tables keep daemons out: one that starts meanwhile cannot write and gives up.

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::store::copy::{BATCH_ROWS, LogEnds, Source, Target};
use crate::store::postgres::connections::{Connections, Transaction, Value};
use crate::store::postgres::deliveries::micros;
use crate::store::postgres::events::LAST_GIVEN;
use crate::store::postgres::migration;
use crate::store::postgres::rows::clean;
use crate::store::postgres::server::Server;
use crate::store::shards::LEASE;
use crate::store::tables::{Cell, Column, CopiedRow, Kind, TABLES, Table, list};
use crate::store::{SqlError, StoreError};

/// The columns that get their next number from a sequence.
pub(super) const NUMBERED: [(&str, &str); 4] = [
    ("watches", "number"),
    ("events", "seq"),
    ("deliveries", "id"),
    ("durations", "number"),
];

struct PostgresSource {
    transaction: Transaction,
    _connections: Connections,
}

struct PostgresTarget {
    transaction: Transaction,
    _connections: Connections,
}

/// Opens a database to read it.
///
/// # Errors
/// A replica runs, the schema is not that of this program, or the server refuses.
pub async fn source(server: &Server) -> Result<Box<dyn Source>, StoreError> {
    let opened = async {
        let connections = Connections::new(server.pool()?);
        migration::require_newest(&connections).await?;
        refuse_replicas(&replicas(&connections).await?)?;
        let mode = "ISOLATION LEVEL REPEATABLE READ";
        let transaction = connections.begin_long(mode).await?;
        transaction.run(&lock("SHARE")).await?;
        refuse_replicas(&replicas_in(&transaction).await?)?;
        Ok(PostgresSource {
            transaction,
            _connections: connections,
        })
    };
    Ok(Box::new(opened.await.map_err(failed_on(server))?))
}

/// Opens a database to fill it; makes its tables if it has none.
///
/// # Errors
/// It has rows, a replica runs, or the server refuses.
pub async fn target(server: &Server) -> Result<Box<dyn Target>, StoreError> {
    let opened = async {
        let connections = Connections::new(server.pool()?);
        if migration::check(&connections).await? == 0 {
            migration::run(&connections).await?;
        }
        migration::require_newest(&connections).await?;
        refuse_replicas(&replicas(&connections).await?)?;
        let transaction = connections.begin_long("").await?;
        transaction.run(&lock("EXCLUSIVE")).await?;
        refuse_replicas(&replicas_in(&transaction).await?)?;
        require_empty(&transaction).await?;
        Ok(PostgresTarget {
            transaction,
            _connections: connections,
        })
    };
    Ok(Box::new(opened.await.map_err(failed_on(server))?))
}

fn failed_on(server: &Server) -> impl Fn(SqlError) -> StoreError {
    let url = server.shown();
    move |error| StoreError::Open {
        url: url.clone(),
        reason: error.to_string(),
    }
}

fn lock(mode: &str) -> String {
    let copied = TABLES.iter().map(|table| table.name);
    let names: Vec<&str> = copied.chain(["replicas", "shards"]).collect();
    format!("LOCK TABLE {} IN {mode} MODE", names.join(", "))
}

/// Selects the names of the living replicas; `$1` is the length of a lease.
const REPLICAS: &str =
    "SELECT name FROM replicas WHERE seen_at > store_time() - $1 ORDER BY name COLLATE \"C\"";

async fn replicas(connections: &Connections) -> Result<Vec<String>, SqlError> {
    let values = [(&micros(LEASE) as _, Type::INT8)];
    let rows = connections.read(REPLICAS, &values).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Returns the names of the living replicas, as a transaction sees them.
pub(super) async fn replicas_in(transaction: &Transaction) -> Result<Vec<String>, SqlError> {
    let values = [(&micros(LEASE) as _, Type::INT8)];
    let rows = transaction.query(REPLICAS, &values).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

fn refuse_replicas(names: &[String]) -> Result<(), SqlError> {
    if names.is_empty() {
        return Ok(());
    }
    Err(format!(
        "these replicas of the daemon use it: {}; stop them first (one that crashed counts for {} s)",
        names.join(", "),
        LEASE.as_secs()
    )
    .into())
}

async fn require_empty(transaction: &Transaction) -> Result<(), SqlError> {
    for table in TABLES {
        let sql = format!("SELECT 1 FROM {} LIMIT 1", table.name);
        if !transaction.query(&sql, &[]).await?.is_empty() {
            return Err(format!(
                "it is not empty: it has rows in the table {}; name an empty database",
                table.name
            )
            .into());
        }
    }
    Ok(())
}

async fn count(transaction: &Transaction, table: &Table) -> Result<u64, SqlError> {
    let sql = format!("SELECT count(*) FROM {}", table.name);
    let rows = transaction.query(&sql, &[]).await?;
    let count: i64 = rows.first().ok_or("the server gave no row")?.try_get(0)?;
    Ok(u64::try_from(count)?)
}

fn names(columns: &[Column]) -> String {
    list(columns, |column| column.name)
}

/// Returns the places of so many values in a statement.
fn places(count: usize) -> String {
    let places: Vec<String> = (1..=count).map(|n| format!("${n}")).collect();
    places.join(", ")
}

/// A value of a statement with its type.
type Bound = (Box<dyn ToSql + Sync + Send>, Type);

fn values(bound: &[Bound]) -> Vec<Value<'_>> {
    let values = bound.iter().map(|(value, kind)| -> Value<'_> {
        let value: &(dyn ToSql + Sync) = value.as_ref();
        (value, kind.clone())
    });
    values.collect()
}

/// A value that does not fit the type of its column.
fn misfit(column: &Column) -> SqlError {
    format!("a value does not fit the column {}", column.name).into()
}

fn number(cell: &Cell, column: &Column) -> Result<Option<i64>, SqlError> {
    match cell {
        Cell::Null => Ok(None),
        Cell::Number(number) => Ok(Some(*number)),
        Cell::Text(_) | Cell::Bytes(_) => Err(misfit(column)),
    }
}

fn text(cell: Cell, column: &Column) -> Result<Option<String>, SqlError> {
    match cell {
        Cell::Null => Ok(None),
        Cell::Text(text) if text.contains('\0') => Ok(Some(clean(&text))),
        Cell::Text(text) => Ok(Some(text)),
        Cell::Number(_) | Cell::Bytes(_) => Err(misfit(column)),
    }
}

fn bytes(cell: Cell, column: &Column) -> Result<Option<Vec<u8>>, SqlError> {
    match cell {
        Cell::Null => Ok(None),
        Cell::Bytes(bytes) => Ok(Some(bytes)),
        Cell::Number(_) | Cell::Text(_) => Err(misfit(column)),
    }
}

fn each<T>(
    cells: Vec<Cell>,
    read: impl Fn(Cell) -> Result<Option<T>, SqlError>,
) -> Result<Vec<Option<T>>, SqlError> {
    cells.into_iter().map(read).collect()
}

/// Makes the values of one column an array of its type.
fn array(cells: Vec<Cell>, column: &Column) -> Result<Bound, SqlError> {
    let narrow = |cell: Cell| number(&cell, column);
    Ok(match column.kind {
        Kind::Big => (Box::new(each(cells, narrow)?), Type::INT8_ARRAY),
        Kind::Int => {
            let int = |cell| Ok(narrow(cell)?.map(i32::try_from).transpose()?);
            (Box::new(each(cells, int)?), Type::INT4_ARRAY)
        }
        Kind::Small => {
            let small = |cell| Ok(narrow(cell)?.map(i16::try_from).transpose()?);
            (Box::new(each(cells, small)?), Type::INT2_ARRAY)
        }
        Kind::Flag => {
            let flag = |cell| Ok(narrow(cell)?.map(|number| number != 0));
            (Box::new(each(cells, flag)?), Type::BOOL_ARRAY)
        }
        Kind::Text => {
            let texts = each(cells, |cell| text(cell, column))?;
            (Box::new(texts), Type::TEXT_ARRAY)
        }
        Kind::Uuid => {
            let id = |cell| {
                let id = bytes(cell, column)?;
                Ok(id.map(|id| Uuid::from_slice(&id)).transpose()?)
            };
            (Box::new(each(cells, id)?), Type::UUID_ARRAY)
        }
        Kind::Bytes => {
            let all = each(cells, |cell| bytes(cell, column))?;
            (Box::new(all), Type::BYTEA_ARRAY)
        }
    })
}

/// Makes a value of a key one of a statement.
fn single(cell: Cell, column: &Column) -> Result<Bound, SqlError> {
    Ok(match column.kind {
        Kind::Text => (Box::new(text(cell, column)?), Type::TEXT),
        Kind::Int => {
            let int = number(&cell, column)?.map(i32::try_from).transpose()?;
            (Box::new(int), Type::INT4)
        }
        _ => (Box::new(number(&cell, column)?), Type::INT8),
    })
}

fn cell_of(row: &Row, index: usize, kind: Kind) -> Result<Cell, SqlError> {
    let cell = match kind {
        Kind::Big => row.try_get::<_, Option<i64>>(index)?.map(Cell::Number),
        Kind::Int => row
            .try_get::<_, Option<i32>>(index)?
            .map(|number| Cell::Number(number.into())),
        Kind::Small => row
            .try_get::<_, Option<i16>>(index)?
            .map(|number| Cell::Number(number.into())),
        Kind::Flag => row
            .try_get::<_, Option<bool>>(index)?
            .map(|flag| Cell::Number(flag.into())),
        Kind::Text => row.try_get::<_, Option<String>>(index)?.map(Cell::Text),
        Kind::Uuid => row
            .try_get::<_, Option<Uuid>>(index)?
            .map(|id| Cell::Bytes(id.as_bytes().to_vec())),
        Kind::Bytes => row.try_get::<_, Option<Vec<u8>>>(index)?.map(Cell::Bytes),
    };
    Ok(cell.unwrap_or(Cell::Null))
}

#[async_trait]
impl Source for PostgresSource {
    async fn rows(
        &mut self,
        table: &Table,
        after: Option<&CopiedRow>,
    ) -> Result<Vec<CopiedRow>, SqlError> {
        let (columns, key) = (names(table.columns), names(table.key()));
        let beyond = match after {
            Some(_) => format!("WHERE ({key}) > ({})", places(table.keys)),
            None => String::new(),
        };
        let sql = format!(
            "SELECT {columns} FROM {} {beyond} ORDER BY {key} LIMIT {BATCH_ROWS}",
            table.name
        );
        let cells = after.into_iter().flat_map(|row| row.iter().cloned());
        let bound = cells.zip(table.key());
        let bound: Vec<Bound> = bound
            .map(|(cell, column)| single(cell, column))
            .collect::<Result<_, _>>()?;
        let rows = self.transaction.query(&sql, &values(&bound)).await?;
        let kinds = || table.columns.iter().map(|column| column.kind);
        let row_of = |row: &Row| -> Result<CopiedRow, SqlError> {
            let cells = kinds().enumerate();
            cells.map(|(n, kind)| cell_of(row, n, kind)).collect()
        };
        rows.iter().map(row_of).collect()
    }

    async fn count(&mut self, table: &Table) -> Result<u64, SqlError> {
        count(&self.transaction, table).await
    }

    async fn log_ends(&mut self) -> Result<LogEnds, SqlError> {
        let sql = format!("SELECT (SELECT seq FROM log_start), {LAST_GIVEN}");
        let rows = self.transaction.query(&sql, &[]).await?;
        let row = rows.first().ok_or("the server gave no row")?;
        Ok(LogEnds {
            start: row.try_get(0)?,
            last: row.try_get(1)?,
        })
    }
}

#[async_trait]
impl Target for PostgresTarget {
    async fn insert(&mut self, table: &Table, rows: Vec<CopiedRow>) -> Result<(), SqlError> {
        let mut columns: Vec<Vec<Cell>> = table.columns.iter().map(|_| Vec::new()).collect();
        for row in rows {
            for (cells, cell) in columns.iter_mut().zip(row) {
                cells.push(cell);
            }
        }
        let columns = columns.into_iter().zip(table.columns);
        let bound: Vec<Bound> = columns
            .map(|(cells, column)| array(cells, column))
            .collect::<Result<_, _>>()?;
        // Only here, each event has the shard of its watch.
        let (shard, its_shard) = if table.name == "events" {
            let of_watch = ", (SELECT w.shard FROM watches w WHERE w.id = c.watch_id)";
            (", shard", of_watch)
        } else {
            ("", "")
        };
        let names = table.names();
        let sql = format!(
            "INSERT INTO {} ({names}{shard}) OVERRIDING SYSTEM VALUE
             SELECT c.*{its_shard} FROM unnest({}) AS c ({names})",
            table.name,
            places(table.columns.len())
        );
        self.transaction.execute(&sql, &values(&bound)).await?;
        Ok(())
    }

    async fn count(&mut self, table: &Table) -> Result<u64, SqlError> {
        count(&self.transaction, table).await
    }

    async fn finish(self: Box<Self>, ends: LogEnds) -> Result<(), SqlError> {
        let transaction = self.transaction;
        let start = [(&ends.start as _, Type::INT8)];
        let sql = "UPDATE log_start SET seq = $1";
        transaction.execute(sql, &start).await?;
        for (table, column) in NUMBERED {
            let last = if table == "events" { ends.last } else { 0 };
            // A sequence that has given nothing yet has no last value.
            let sql = format!(
                "SELECT setval(pg_get_serial_sequence('{table}', '{column}'), last)
                 FROM (SELECT greatest(max({column}), $1) AS last FROM {table}) given WHERE last > 0"
            );
            transaction.query(&sql, &[(&last, Type::INT8)]).await?;
        }
        // Until the server does it by itself, it would know nothing about the new rows.
        let tables: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
        transaction
            .run(&format!("ANALYZE {}", tables.join(", ")))
            .await?;
        transaction.commit().await
    }
}
