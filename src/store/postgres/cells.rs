//! The cells of a row of PostgreSQL.

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::store::SqlError;
use crate::store::cells::Cells;

/// The cells of a row from the first on.
pub(super) struct RowCells<'row> {
    row: &'row Row,
    next: usize,
}

impl<'row> RowCells<'row> {
    pub(super) fn of(row: &'row Row) -> Self {
        Self { row, next: 0 }
    }

    fn cell<T: FromSql<'row>>(&mut self) -> Result<T, SqlError> {
        let cell = self.row.try_get(self.next)?;
        self.next += 1;
        Ok(cell)
    }
}

impl<'row> Cells<'row> for RowCells<'row> {
    fn text_or_null(&mut self) -> Result<Option<&'row str>, SqlError> {
        self.cell()
    }

    fn number_or_null(&mut self) -> Result<Option<i64>, SqlError> {
        self.cell()
    }

    fn flag(&mut self) -> Result<bool, SqlError> {
        self.cell()
    }

    fn uuid_or_null(&mut self) -> Result<Option<Uuid>, SqlError> {
        self.cell()
    }
}
