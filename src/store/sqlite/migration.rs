//! The schema, brought forward step by step; `user_version` is that of the last step taken.

use rusqlite::Connection;
use rusqlite::TransactionBehavior;

use crate::store::sqlite::trouble::in_words;

/// One step: the version a database has after it, and the SQL that brings it there.
struct Step {
    version: u32,
    sql: &'static str,
}

/// Every step, in the order of the versions, which are the numbers of the files; a number
/// may be missing. A released step never changes, and nothing is put before one.
const STEPS: &[Step] = &[
    Step {
        version: 1,
        sql: include_str!("../migrations/sqlite/0001_first.sql"),
    },
    Step {
        version: 2,
        sql: include_str!("../migrations/sqlite/0002_callback.sql"),
    },
    Step {
        version: 3,
        sql: include_str!("../migrations/sqlite/0003_attempts.sql"),
    },
];

/// The version of a database that has taken every step.
pub(super) fn newest() -> u32 {
    STEPS.last().map_or(0, |step| step.version)
}

/// The version of a database.
pub(super) fn version_of(connection: &Connection) -> Result<u32, rusqlite::Error> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Takes the steps that this database has not taken.
///
/// # Errors
/// Says why it cannot: written by a newer version, or SQL that fails.
pub(super) fn run(connection: &mut Connection) -> Result<(), String> {
    let version = version_of(connection).map_err(|error| in_words(&error))?;
    if version > newest() {
        return Err(format!(
            "its schema is version {version} and this jobwatch knows {} at most; run the newer jobwatch that wrote it",
            newest()
        ));
    }
    for step in STEPS.iter().filter(|step| step.version > version) {
        take(connection, step)
            .map_err(|error| format!("migration {} failed: {}", step.version, in_words(&error)))?;
    }
    Ok(())
}

fn take(connection: &mut Connection, step: &Step) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(step.sql)?;
    transaction.pragma_update(None, "user_version", step.version)?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_migrated_once_and_a_newer_one_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection).unwrap();
        run(&mut connection).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        let error = run(&mut connection).unwrap_err();
        assert!(error.contains("version 99"), "{error}");
    }

    #[test]
    fn steps_are_in_the_order_of_their_versions() {
        assert!(STEPS.is_sorted_by(|one, next| one.version < next.version));
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection).unwrap();
        assert_eq!(version_of(&connection).unwrap(), newest());
    }
}
