//! Conversions between watches and table rows that every SQL store shares.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::StoreError;

/// A stored value that cannot be read: this program did not write it.
#[derive(Debug, thiserror::Error)]
#[error("the stored {column} cannot be read")]
pub struct RowError {
    pub column: &'static str,
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Returns a time as it is stored: microseconds since 1970, UTC.
pub fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// Reads a time that [`micros`] wrote into `column`.
pub fn timestamp(column: &'static str, micros: i64) -> Result<Timestamp, RowError> {
    Timestamp::from_microsecond(micros).map_err(|source| RowError {
        column,
        source: source.into(),
    })
}

/// Returns the number in a cursor, for stores whose cursors are numbers.
///
/// # Errors
/// [`StoreError::UnknownCursor`] if the text is not a number, or a negative one.
pub fn number(cursor: &str) -> Result<i64, StoreError> {
    let number = cursor.parse().ok().filter(|number| *number >= 0);
    number.ok_or_else(|| StoreError::UnknownCursor(cursor.to_owned()))
}

/// Writes a value as the text of a JSON column.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("string keys and no failing serializer")
}

/// Reads a value that [`json`] wrote into `column`.
pub fn from_json<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, RowError> {
    serde_json::from_str(text).map_err(|source| RowError {
        column,
        source: source.into(),
    })
}
