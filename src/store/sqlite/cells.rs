//! The cells of a row of `SQLite`.

use rusqlite::Row;
use rusqlite::types::{FromSql, ValueRef};
use uuid::Uuid;

use crate::store::SqlError;
use crate::store::cells::Cells;

/// The cells of a row from one of them on.
pub(super) struct RowCells<'row> {
    row: &'row Row<'row>,
    next: usize,
}

impl<'row> RowCells<'row> {
    /// Begins with the first cell.
    pub(super) fn of(row: &'row Row<'row>) -> Self {
        Self { row, next: 0 }
    }

    fn cell(&mut self) -> Result<ValueRef<'row>, rusqlite::Error> {
        let cell = self.row.get_ref(self.next)?;
        self.next += 1;
        Ok(cell)
    }
}

impl<'row> Cells<'row> for RowCells<'row> {
    fn text_or_null(&mut self) -> Result<Option<&'row str>, SqlError> {
        Ok(self.cell()?.as_str_or_null()?)
    }

    fn number_or_null(&mut self) -> Result<Option<i64>, SqlError> {
        Ok(self.cell()?.as_i64_or_null()?)
    }

    fn flag(&mut self) -> Result<bool, SqlError> {
        Ok(bool::column_result(self.cell()?)?)
    }

    fn uuid_or_null(&mut self) -> Result<Option<Uuid>, SqlError> {
        Ok(Option::<Uuid>::column_result(self.cell()?)?)
    }
}
