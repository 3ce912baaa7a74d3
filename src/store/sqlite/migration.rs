//! The schema, brought forward step by step; `user_version` counts the steps taken.

use rusqlite::Connection;
use rusqlite::TransactionBehavior;

/// Each step once, in order; a released step never changes.
const STEPS: [&str; 2] = [
    include_str!("../migrations/sqlite/0001_first.sql"),
    include_str!("../migrations/sqlite/0002_callback.sql"),
];

/// Takes the steps that this database has not taken.
///
/// # Errors
/// Says why it cannot: written by a newer version, or SQL that fails.
pub(super) fn run(connection: &mut Connection) -> Result<(), String> {
    let version: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| error.to_string())?;
    let taken = version as usize;
    if taken > STEPS.len() {
        return Err(format!(
            "its schema is version {taken} and this jobwatch knows {} at most; run the newer jobwatch that wrote it",
            STEPS.len()
        ));
    }
    for (version, step) in (1..).zip(STEPS).skip(taken) {
        take(connection, version, step)
            .map_err(|error| format!("migration {version} failed: {error}"))?;
    }
    Ok(())
}

fn take(connection: &mut Connection, version: u32, step: &str) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(step)?;
    transaction.pragma_update(None, "user_version", version)?;
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
}
