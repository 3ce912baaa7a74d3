//! The cells of a row, read one after the other: `SQLite` would look for each name among all names.

use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::{FromSql, ValueRef};
use serde::de::DeserializeOwned;

use crate::store::row;
use crate::store::sqlite::SqlError;

/// The cells of a row from one of them on.
pub(super) struct Cells<'row> {
    row: &'row Row<'row>,
    next: usize,
}

impl<'row> Cells<'row> {
    /// Begins with the cell of this number, from 0.
    pub(super) fn from(row: &'row Row<'row>, next: usize) -> Self {
        Self { row, next }
    }

    fn cell(&mut self) -> Result<ValueRef<'row>, rusqlite::Error> {
        let cell = self.row.get_ref(self.next)?;
        self.next += 1;
        Ok(cell)
    }

    pub(super) fn next<T: FromSql>(&mut self) -> Result<T, SqlError> {
        Ok(T::column_result(self.cell()?)?)
    }

    pub(super) fn text(&mut self) -> Result<&'row str, SqlError> {
        Ok(self.cell()?.as_str()?)
    }

    /// Reads the time in a cell that may be null.
    pub(super) fn time(&mut self, column: &'static str) -> Result<Option<Timestamp>, SqlError> {
        let micros: Option<i64> = self.next()?;
        let time = micros.map(|micros| row::timestamp(column, micros));
        Ok(time.transpose()?)
    }

    /// Reads the JSON in a cell that may be null.
    pub(super) fn json<T: DeserializeOwned>(
        &mut self,
        column: &'static str,
    ) -> Result<Option<T>, SqlError> {
        let text = self.cell()?.as_str_or_null()?;
        let value = text.map(|text| row::from_json(column, text));
        Ok(value.transpose()?)
    }
}
