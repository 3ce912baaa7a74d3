//! Bare `SQLite`, beside which the store is measured: the rows that the daemon has stored.

use std::path::Path;
use std::time::Duration;

use jobwatch::clock::SystemClock;
use rusqlite::Connection as Sqlite;
use rusqlite::types::Value;
use rustix::time::{ClockId, clock_gettime};

/// The rows of one table, each with the values of all columns.
type Rows = Vec<Vec<Value>>;

/// Inserts the rows that these selections find in the store into a new database with the same
/// schema, those of `at_once` watches in each transaction. A selection is a table and, where not
/// all its rows are meant, the rest of the query. Returns the time and the CPU time.
pub(crate) fn insert_again(
    store: &Path,
    selections: &[(&str, &str)],
    watches: usize,
    at_once: usize,
) -> (Duration, Duration) {
    let source = Sqlite::open(store).expect("the store");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut bare = database_like(&source, &folder.path().join("bare.db"));
    let tables: Vec<(String, Rows)> = selections
        .iter()
        .map(|(table, rest)| {
            let rows = rows(&source, &format!("SELECT * FROM {table} {rest}"));
            let marks = vec!["?"; rows.first().map_or(0, Vec::len)].join(",");
            (format!("INSERT INTO {table} VALUES ({marks})"), rows)
        })
        .collect();
    let transactions = watches.div_ceil(at_once);
    let clock = SystemClock::shared();
    let cpu = cpu_of_thread();
    for n in 0..transactions {
        let transaction = bare.transaction().expect("a transaction");
        for (sql, rows) in &tables {
            let share = rows.len().div_ceil(transactions);
            let rows = rows.iter().skip(n * share).take(share);
            for row in rows {
                transaction
                    .prepare_cached(sql)
                    .and_then(|mut insert| insert.execute(rusqlite::params_from_iter(row)))
                    .expect("an insert");
            }
        }
        transaction.commit().expect("a commit");
    }
    (clock.uptime(), cpu_of_thread().saturating_sub(cpu))
}

/// Makes an empty database with the schema and the pragmas of the store.
fn database_like(source: &Sqlite, path: &Path) -> Sqlite {
    let bare = Sqlite::open(path).expect("a database");
    bare.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF;
         PRAGMA wal_autocheckpoint = 8192; PRAGMA cache_size = -16384;",
    )
    .expect("the pragmas");
    let mut schema = source
        .prepare("SELECT sql FROM sqlite_master WHERE sql NOT NULL AND name NOT LIKE 'sqlite_%'")
        .expect("a schema");
    let statements = schema.query_map([], |row| row.get::<_, String>(0));
    for statement in statements.expect("a schema") {
        bare.execute_batch(&statement.expect("SQL"))
            .expect("a schema");
    }
    bare
}

fn rows(db: &Sqlite, query: &str) -> Rows {
    let mut select = db.prepare(query).expect("a table");
    let columns = select.column_count();
    let rows = select.query_map([], |row| (0..columns).map(|n| row.get(n)).collect());
    rows.expect("rows").collect::<Result<_, _>>().expect("rows")
}

/// Returns the CPU time of this thread.
fn cpu_of_thread() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).expect("a time that has passed"),
        u32::try_from(time.tv_nsec).expect("less than a second"),
    )
}
