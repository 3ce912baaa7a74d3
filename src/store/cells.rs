//! The cells of a row of any SQL store, read one after the other: `SQLite` would look for each name
//! among all names.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::store::{SqlError, row};

/// Reads the cells of a row in their order. A store provides the first four; `None` is null.
pub(crate) trait Cells<'row> {
    fn text_or_null(&mut self) -> Result<Option<&'row str>, SqlError>;

    fn number_or_null(&mut self) -> Result<Option<i64>, SqlError>;

    fn flag(&mut self) -> Result<bool, SqlError>;

    fn uuid_or_null(&mut self) -> Result<Option<Uuid>, SqlError>;

    fn text(&mut self) -> Result<&'row str, SqlError> {
        self.text_or_null()?.ok_or_else(|| "a text is null".into())
    }

    fn string_or_null(&mut self) -> Result<Option<String>, SqlError> {
        Ok(self.text_or_null()?.map(str::to_owned))
    }

    /// Reads a number of the type that the field has.
    fn number<T>(&mut self) -> Result<T, SqlError>
    where
        T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>,
    {
        let number = self.number_or_null()?.ok_or("a number is null")?;
        Ok(T::try_from(number)?)
    }

    fn uuid(&mut self) -> Result<Uuid, SqlError> {
        self.uuid_or_null()?.ok_or_else(|| "an id is null".into())
    }

    fn time(&mut self, column: &'static str) -> Result<Timestamp, SqlError> {
        Ok(row::timestamp(column, self.number()?)?)
    }

    fn time_or_null(&mut self, column: &'static str) -> Result<Option<Timestamp>, SqlError> {
        let micros = self.number_or_null()?;
        let time = micros.map(|micros| row::timestamp(column, micros));
        Ok(time.transpose()?)
    }

    /// Reads the JSON in a cell; `None` is null.
    fn json<T: DeserializeOwned>(&mut self, column: &'static str) -> Result<Option<T>, SqlError> {
        let text = self.text_or_null()?;
        let value = text.map(|text| row::from_json(column, text));
        Ok(value.transpose()?)
    }
}
