//! Watches as rows: conversions that every SQL store shares.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::store::StoreError;
use crate::watch::{Params, Watch};

/// A stored value that this program did not write.
#[derive(Debug, thiserror::Error)]
#[error("the stored {column} cannot be read")]
pub struct RowError {
    /// The column.
    pub column: &'static str,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// The key that makes two submissions the same watch: SHA-256 over service, params and
/// job id, each preceded by its length. The first byte is the shard.
pub fn key(watch: &Watch) -> [u8; 32] {
    key_of(&watch.service, &watch.params, &watch.job_id)
}

fn key_of(service: &str, params: &Params, job_id: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    let mut part = |text: &str| {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    };
    part(service);
    for (name, value) in params {
        part(name);
        part(value);
    }
    part(job_id);
    hasher.finalize().into()
}

/// A time as stored: microseconds since 1970, UTC.
pub fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// A stored time.
pub fn timestamp(column: &'static str, micros: i64) -> Result<Timestamp, RowError> {
    Timestamp::from_microsecond(micros).map_err(|source| RowError {
        column,
        source: source.into(),
    })
}

/// The number in a cursor, for stores whose cursors are numbers.
///
/// # Errors
/// [`StoreError::UnknownCursor`]: it holds none.
pub fn number(cursor: &str) -> Result<i64, StoreError> {
    let unknown = |_| StoreError::UnknownCursor(cursor.to_owned());
    cursor.parse().map_err(unknown)
}

/// A value as a JSON column.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("string keys and no failing serializer")
}

/// A JSON column.
pub fn from_json<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, RowError> {
    serde_json::from_str(text).map_err(|source| RowError {
        column,
        source: source.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_each_part_and_on_where_it_ends() {
        let none = Params::new();
        let project = Params::from([("project_id".to_owned(), "p".to_owned())]);
        let keys = [
            key_of("dcs", &none, "ab"),
            key_of("dcsa", &none, "b"),
            key_of("dcs", &none, "abc"),
            key_of("dcs", &project, "ab"),
        ];
        for (n, key) in keys.iter().enumerate() {
            assert!(!keys[n + 1..].contains(key));
        }
    }
}
