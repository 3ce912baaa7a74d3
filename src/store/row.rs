//! Conversions between watches and table rows that every SQL store shares.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::store::StoreError;
use crate::watch::{Params, Watch};

/// A stored value that cannot be read: this program did not write it.
#[derive(Debug, thiserror::Error)]
#[error("the stored {column} cannot be read")]
pub struct RowError {
    pub column: &'static str,
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Returns the key that makes two submissions the same watch: SHA-256 over service, params
/// and job id, each preceded by its length. The first byte is the shard.
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
