//! Brings the schema up to date step by step; `user_version` is the version of the last step.

use rusqlite::{Connection, TransactionBehavior};

use crate::store::sqlite::damage::in_words;

/// One step: the SQL that it runs, and the version that the database has afterwards.
struct Step {
    version: u32,
    sql: &'static str,
}

/// Every step, in the order of the versions, which are the numbers of the files; a number
/// may be missing. A released step never changes, and no step is inserted before it.
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
    Step {
        version: 4,
        sql: include_str!("../migrations/sqlite/0004_target.sql"),
    },
    Step {
        version: 5,
        sql: include_str!("../migrations/sqlite/0005_runs.sql"),
    },
    Step {
        version: 6,
        sql: include_str!("../migrations/sqlite/0006_groups.sql"),
    },
    Step {
        version: 7,
        sql: include_str!("../migrations/sqlite/0007_bulk.sql"),
    },
    Step {
        version: 8,
        sql: include_str!("../migrations/sqlite/0008_transitions.sql"),
    },
    Step {
        version: 9,
        sql: include_str!("../migrations/sqlite/0009_retention.sql"),
    },
    Step {
        version: 10,
        sql: include_str!("../migrations/sqlite/0010_lists.sql"),
    },
    Step {
        version: 11,
        sql: include_str!("../migrations/sqlite/0011_blindness.sql"),
    },
];

/// Returns the version of a database after every step.
pub(super) fn newest() -> u32 {
    STEPS.last().map_or(0, |step| step.version)
}

/// Returns the schema version of a database; 0 if it is empty.
pub(super) fn version_of(connection: &Connection) -> Result<u32, rusqlite::Error> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// True if a database belongs to jobwatch or is empty. The version alone does not show that,
/// because other programs number their schemas too.
pub(super) fn is_ours(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.query_row(
        "SELECT (SELECT count(*) FROM sqlite_schema WHERE type = 'table'
                    AND name IN ('watches', 'events', 'deliveries')) = 3
             OR ((SELECT user_version FROM pragma_user_version) = 0
                    AND NOT EXISTS (SELECT 1 FROM sqlite_schema))",
        [],
        |row| row.get(0),
    )
}

/// Checks that this program may work with a database; writes nothing.
///
/// # Errors
/// The database belongs to another program, or was written by a newer version.
pub(super) fn check(connection: &Connection) -> Result<(), String> {
    if !is_ours(connection).map_err(|error| in_words(&error))? {
        return Err("the database belongs to another program; store.url must name a database of jobwatch, or a file that does not exist yet".to_owned());
    }
    let version = version_of(connection).map_err(|error| in_words(&error))?;
    if version > newest() {
        return Err(format!(
            "its schema is version {version}, and this jobwatch knows versions up to {}; run the newer jobwatch that wrote it",
            newest()
        ));
    }
    Ok(())
}

/// Runs the steps that are newer than the version of the database.
///
/// # Errors
/// Names the step that failed and says why.
pub(super) fn run(connection: &mut Connection) -> Result<(), String> {
    let version = version_of(connection).map_err(|error| in_words(&error))?;
    for step in STEPS.iter().filter(|step| step.version > version) {
        if version > 0 {
            tracing::info!(
                from = version,
                to = step.version,
                "upgrading the database; with a million watches this may take a minute"
            );
        }
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
        for _ in 0..2 {
            check(&connection).unwrap();
            run(&mut connection).unwrap();
        }
        connection.pragma_update(None, "user_version", 99).unwrap();
        let error = check(&connection).unwrap_err();
        assert!(error.contains("version 99"), "{error}");
    }

    #[test]
    fn a_database_of_another_program_is_refused_at_any_version() {
        for version in [0, 2, 99] {
            let connection = Connection::open_in_memory().unwrap();
            connection
                .execute_batch("CREATE TABLE watches (url TEXT)")
                .unwrap();
            connection
                .pragma_update(None, "user_version", version)
                .unwrap();
            let error = check(&connection).unwrap_err();
            assert!(error.contains("another program"), "{error}");
        }
        let numbered = Connection::open_in_memory().unwrap();
        numbered.pragma_update(None, "user_version", 1).unwrap();
        check(&numbered).unwrap_err();
    }

    #[test]
    fn migrations_are_in_the_order_of_their_versions() {
        assert!(STEPS.is_sorted_by(|one, next| one.version < next.version));
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection).unwrap();
        assert_eq!(version_of(&connection).unwrap(), newest());
    }
}
