//! The plan of a query on an empty database, for tests that each filter reads an index.

use rusqlite::{Connection, params_from_iter};

use crate::store::sqlite::migration;

/// Returns the steps by which `SQLite` runs `sql`.
pub(super) fn plan_of(sql: &str) -> Vec<String> {
    let mut db = Connection::open_in_memory().unwrap();
    migration::run(&mut db).unwrap();
    let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let places = vec![1; statement.parameter_count()];
    let steps = statement.query_map(params_from_iter(places), |row| row.get("detail"));
    steps.unwrap().map(Result::unwrap).collect()
}
