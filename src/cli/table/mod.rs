//! Tables and lists of facts, for every command.
//!
//! On a terminal a table fits its width: cells are cut with `…`, and columns that matter less
//! give way. In a file or a pipe it has every column, and no cell is cut.

mod column;
mod text;

use crate::cli::paint::Paint;
use crate::cli::table::column::{Fit, GAP, Need, Place, places};
use crate::cli::table::text::plain_but_colours;
use crate::cli::terminal;

pub(super) use crate::cli::table::column::Column;
pub(super) use crate::cli::table::text::{clip, clip_middle, plain, width, wrap};

/// The width to which the values of a list of facts are wrapped at least.
const VALUE_LEAST: usize = 12;

/// The place of the output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// The width of the terminal; nothing for a file or a pipe.
    pub(super) columns: Option<usize>,
    pub(super) paint: Paint,
}

impl Room {
    pub(super) fn of_stdout() -> Self {
        Self {
            columns: terminal::size().map(|size| size.columns),
            paint: Paint::for_stdout(),
        }
    }
}

/// Rows of cells. By default a list of facts: it has no titles, the first column names the
/// facts, and long values continue on the next line.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    /// The columns under their titles; empty for a list of facts.
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// Makes a table of columns that all stay, also on a narrow terminal: long cells continue on
    /// the next line.
    pub(super) fn with_header(titles: &[&'static str]) -> Self {
        Self::new(titles.iter().map(|title| Column::new(title).wrapping()))
    }

    /// Adds a row. Its cells may have colours; other control characters are replaced.
    pub(super) fn row(&mut self, mut cells: Vec<String>) {
        for cell in &mut cells {
            *cell = plain_but_colours(cell);
        }
        self.rows.push(cells);
    }

    pub(super) fn render(&self) -> String {
        self.lines(Room::of_stdout()).join("\n")
    }

    /// Returns the line of titles, if there are some, and the lines of each row.
    pub(super) fn lines(&self, room: Room) -> Vec<String> {
        let columns = match self.columns.as_slice() {
            [] => self.facts(),
            columns => columns.to_vec(),
        };
        let needs: Vec<Need> = (0..columns.len())
            .map(|at| self.need(&columns[at], at))
            .collect();
        let cells: Vec<(&Column, Place)> = places(&columns, &needs, room.columns)
            .into_iter()
            .map(|place| (&columns[place.index], place))
            .collect();
        let is_titled = !self.columns.is_empty();
        let mut lines = Vec::new();
        if is_titled {
            lines.extend(layout(&cells, |at| room.paint.dim(columns[at].title)));
        }
        let has_dashes = is_titled && room.columns.is_none();
        for row in &self.rows {
            lines.extend(layout(&cells, |at| cell(row, at, has_dashes)));
        }
        if let Some(columns) = room.columns {
            for line in &mut lines {
                *line = clip(line, columns);
            }
        }
        lines
    }

    /// Returns the columns of a list of facts.
    fn facts(&self) -> Vec<Column> {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let value = Column::new("").wrapping().at_least(VALUE_LEAST);
        let mut columns = vec![value; count];
        if let Some(name) = columns.first_mut() {
            *name = Column::new("").whole();
        }
        columns
    }

    fn need(&self, column: &Column, at: usize) -> Need {
        let cells = self.rows.iter().filter_map(|row| row.get(at));
        let mut need = Need {
            width: width(column.title),
            is_used: false,
        };
        for cell in cells {
            need.width = need.width.max(width(cell));
            need.is_used |= !cell.is_empty() && cell != "-";
        }
        need
    }
}

/// Returns a cell, with a dash for an empty one if columns are to be counted.
fn cell(row: &[String], at: usize, has_dashes: bool) -> String {
    match row.get(at) {
        Some(cell) if !cell.is_empty() => cell.clone(),
        _ if has_dashes => "-".to_owned(),
        _ => String::new(),
    }
}

/// Lays out one row; it has several lines if a cell continues.
fn layout(columns: &[(&Column, Place)], cell: impl Fn(usize) -> String) -> Vec<String> {
    let parts: Vec<Vec<String>> = columns
        .iter()
        .map(|(column, place)| fitted(&cell(place.index), column, place.width))
        .collect();
    let height = parts.iter().map(Vec::len).max().unwrap_or_default();
    (0..height)
        .map(|number| {
            let mut line = String::new();
            for ((column, place), parts) in columns.iter().zip(&parts) {
                let part = parts.get(number).map_or("", String::as_str);
                line.push_str(&aligned(part, column, place.width));
                line.extend(std::iter::repeat_n(' ', GAP));
            }
            line.trim_end().to_owned()
        })
        .collect()
}

fn fitted(cell: &str, column: &Column, columns: usize) -> Vec<String> {
    match column.fit {
        Fit::Cut => vec![clip(cell, columns)],
        Fit::CutMiddle => vec![clip_middle(cell, columns)],
        Fit::Wrap => wrap(cell, columns),
    }
}

fn aligned(part: &str, column: &Column, columns: usize) -> String {
    let blanks = " ".repeat(columns.saturating_sub(width(part)));
    if column.is_right {
        format!("{blanks}{part}")
    } else {
        format!("{part}{blanks}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(columns: usize) -> Room {
        Room {
            columns: Some(columns),
            paint: Paint::none(),
        }
    }

    const PIPE: Room = Room {
        columns: None,
        paint: Paint::none(),
    };

    fn jobs() -> Table {
        let mut table = Table::new([
            Column::new("JOB").keeping_ends(),
            Column::new("STATE").whole(),
            Column::new("POLLS").right().whole().gives_way(2),
            Column::new("PROBLEM").if_used(),
            Column::new("REASON").gives_way(1),
        ]);
        let rows = [
            ["任务-0001-备份", "failed", "7", "", "磁盘已满：没有空间"],
            ["job-👩\u{200d}🚀-e\u{301}", "watching", "123", "", ""],
        ];
        for row in rows {
            table.row(row.map(str::to_owned).to_vec());
        }
        table
    }

    #[test]
    fn colours_do_not_change_the_width_of_columns() {
        let mut table = Table::with_header(&["A", "B"]);
        table.row(vec!["\u{1b}[32mok\u{1b}[0m".into(), "x".into()]);
        table.row(vec!["longer".into(), "y".into()]);
        let lines = table.lines(PIPE);
        assert_eq!(
            lines,
            ["A       B", "\u{1b}[32mok\u{1b}[0m      x", "longer  y"]
        );
    }

    #[test]
    fn wide_characters_are_aligned() {
        assert_eq!(
            jobs().lines(room(80)),
            [
                "JOB             STATE     POLLS  REASON",
                "任务-0001-备份  failed        7  磁盘已满：没有空间",
                "job-👩\u{200d}🚀-e\u{301}        watching    123",
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_cuts_cells_and_leaves_out_columns() {
        assert_eq!(
            jobs().lines(room(36)),
            [
                "JOB        STATE     POLLS  REASON",
                "任务…备份  failed        7  磁盘已…",
                "job-👩\u{200d}🚀-e\u{301}   watching    123",
            ]
        );
        let least = [
            "JOB         STATE",
            "任务-…备份  failed",
            "job-👩\u{200d}🚀-e\u{301}    watching",
        ];
        assert_eq!(jobs().lines(room(20)), least);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for columns in 1..100 {
            for line in jobs().lines(room(columns)) {
                assert!(width(&line) <= columns, "{columns}: {line}");
            }
        }
    }

    #[test]
    fn a_pipe_gets_every_column_whole_with_dashes() {
        let lines = jobs().lines(PIPE);
        assert_eq!(lines[0], "JOB             STATE     POLLS  PROBLEM  REASON");
        assert_eq!(
            lines[2],
            "job-👩\u{200d}🚀-e\u{301}        watching    123  -        -"
        );
    }

    #[test]
    fn facts_wrap_their_values_under_each_other() {
        let mut facts = Table::default();
        facts.row(vec![
            "reason".into(),
            "there is no space left on the disk".into(),
        ]);
        facts.row(vec!["code".into(), "ENOSPC".into()]);
        let narrow = [
            "reason  there is no",
            "        space left",
            "        on the disk",
            "code    ENOSPC",
        ];
        assert_eq!(facts.lines(room(20)), narrow);
        assert_eq!(
            facts.lines(PIPE)[0],
            "reason  there is no space left on the disk"
        );
    }
}
