//! The live table, as lines: a pure function of the progress and the terminal's size.

use std::time::Duration;

use crate::api::view::WatchView;
use crate::cli::demo::progress::{Progress, Receipt, Row};
use crate::cli::output::{Paint, plain, width};

/// The least width of the latest change, before which other columns are left out.
const LATEST_MIN: usize = 20;
/// The number of blanks between two columns.
const GAP: usize = 2;

/// A terminal's size, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// The number of characters in a line.
    pub(super) columns: usize,
    pub(super) lines: usize,
}

/// A column of the table.
struct Column {
    title: &'static str,
    /// Wide enough for every value: a column that grows makes the table jump.
    width: usize,
    /// The column with the highest number is left out first on a narrow terminal; 0 never is.
    gives_way: u8,
    cell: fn(&Row, Paint) -> String,
}

const COLUMNS: [Column; 7] = [
    column("SERVICE", 9, 1, |row, _| {
        row.case.job.service.name().to_owned()
    }),
    column("JOB", 22, 0, |row, _| row.case.name.to_owned()),
    column("STATE", 9, 0, |row, paint| paint.state(row.state())),
    column("STATUS", 7, 4, status),
    column("POLLS", 5, 2, |row, _| number(row, |watch| watch.polls)),
    column("PROBLEMS", 8, 3, |row, _| {
        number(row, |watch| watch.problems)
    }),
    column("EVENT", 5, 5, receipt),
];

const fn column(
    title: &'static str,
    width: usize,
    gives_way: u8,
    cell: fn(&Row, Paint) -> String,
) -> Column {
    Column {
        title,
        width,
        gives_way,
        cell,
    }
}

/// Returns the lines of the table, cut to `size`.
pub(super) fn lines(
    progress: &Progress,
    elapsed: Duration,
    size: Size,
    paint: Paint,
) -> Vec<String> {
    let columns = fitting(size.columns);
    let titles = columns
        .iter()
        .map(|each| (paint.dim(each.title), each.width));
    let mut lines = vec![line(titles, &paint.dim("LAST CHANGE"))];
    for row in &progress.rows {
        let cells = columns
            .iter()
            .map(|each| ((each.cell)(row, paint), each.width));
        lines.push(line(cells, &plain(&row.latest)));
    }
    lines.push(String::new());
    lines.push(paint.dim(&footer(progress, elapsed)));
    // The cursor stands in the line below, and cannot be moved up past the first one.
    let room = size.lines.saturating_sub(1).max(1);
    let surplus = lines.len().saturating_sub(room);
    lines.drain(1..=surplus.min(lines.len() - 1)).for_each(drop);
    lines.iter().map(|line| clip(line, size.columns)).collect()
}

/// Returns the columns that leave enough room for the latest change.
fn fitting(columns: usize) -> Vec<&'static Column> {
    let taken = |fit: &Vec<&Column>| fit.iter().map(|each| each.width + GAP).sum::<usize>();
    let mut fit: Vec<&Column> = COLUMNS.iter().collect();
    while taken(&fit) + LATEST_MIN > columns {
        let first = fit.iter().map(|each| each.gives_way).max();
        let Some(first) = first.filter(|first| *first > 0) else {
            break;
        };
        fit.retain(|each| each.gives_way != first);
    }
    fit
}

fn line(cells: impl Iterator<Item = (String, usize)>, latest: &str) -> String {
    let mut line = String::new();
    for (cell, wanted) in cells {
        // The text of a service may be longer than its column.
        let cell = clip(&cell, wanted);
        let padding = wanted.saturating_sub(width(&cell)) + GAP;
        line.push_str(&cell);
        line.extend(std::iter::repeat_n(' ', padding));
    }
    line.push_str(latest);
    line.trim_end().to_owned()
}

fn status(row: &Row, _: Paint) -> String {
    let status = row.watch.as_ref().and_then(|watch| watch.status.as_deref());
    plain(status.unwrap_or_default())
}

fn number(row: &Row, pick: fn(&WatchView) -> u32) -> String {
    row.watch
        .as_ref()
        .map_or_else(String::new, |watch| pick(watch).to_string())
}

fn receipt(row: &Row, paint: Paint) -> String {
    match row.receipt {
        Receipt::None => String::new(),
        Receipt::Rejected => paint.bold("503"),
        Receipt::Received => "yes".to_owned(),
    }
}

/// Returns the demo in one line.
fn footer(progress: &Progress, elapsed: Duration) -> String {
    let (polls, problems) = progress.polls();
    format!(
        "{:.1} s: {} of {} ended, {polls} polls, {problems} problems, {} events received",
        elapsed.as_secs_f64(),
        progress.ended(),
        progress.rows.len(),
        progress.inbox.events.len(),
    )
}

/// Cuts `text` to `columns` characters on a terminal, and keeps the codes that end colours.
pub(super) fn clip(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut clipped = String::new();
    let (mut taken, mut in_code) = (0, false);
    for c in text.chars() {
        if c == '\u{1b}' {
            in_code = true;
        }
        // Codes behind the cut are kept, because one of them ends the colour.
        if in_code || taken + 1 < columns {
            clipped.push(c);
        } else if taken + 1 == columns {
            clipped.push('…');
        }
        taken += usize::from(!in_code);
        if in_code && c == 'm' {
            in_code = false;
        }
    }
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::progress::tests::{begun, inbox, watch};
    use crate::cli::demo::scenario::cases;

    fn shown(columns: usize, lines: usize) -> Vec<String> {
        let mut progress = begun();
        progress.update(vec![watch("w0", "succeeded")], inbox(&["w0"]));
        let size = Size { columns, lines };
        super::lines(&progress, Duration::from_secs(3), size, Paint::none())
    }

    #[test]
    fn a_wide_terminal_shows_every_column() {
        let lines = shown(110, 40);
        assert_eq!(
            lines,
            [
                "SERVICE    JOB                     STATE      STATUS   POLLS  PROBLEMS  EVENT  LAST CHANGE",
                "dcs        quick success           succeeded           0      0         yes    watching → succeeded",
                "dcs        slow success            watching            0      0                submitted",
                "",
                "3.0 s: 1 of 2 ended, 0 polls, 0 problems, 1 events received",
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_leaves_out_columns_and_wraps_no_line() {
        for columns in [1, 10, 40, 60, 79, 80, 110] {
            for line in shown(columns, 40) {
                assert!(width(&line) <= columns, "{columns}: {line}");
            }
        }
        assert_eq!(
            shown(60, 40)[0],
            "JOB                     STATE      LAST CHANGE"
        );
    }

    #[test]
    fn a_low_terminal_shows_no_more_lines_than_it_has() {
        for lines in 0..8 {
            let shown = shown(80, lines);
            assert!(shown.len() <= lines.saturating_sub(1).max(1), "{lines}");
        }
        assert!(shown(80, 3)[1].starts_with("3.0 s"));
    }

    #[test]
    fn the_names_of_all_cases_fit_their_columns() {
        for case in cases() {
            assert!(case.job.service.name().len() <= COLUMNS[0].width);
            assert!(case.name.len() <= COLUMNS[1].width, "{}", case.name);
        }
    }

    #[test]
    fn a_cut_line_keeps_the_codes_that_end_its_colour() {
        assert_eq!(
            clip("\u{1b}[31mfailed\u{1b}[0m", 4),
            "\u{1b}[31mfai…\u{1b}[0m"
        );
        assert_eq!(clip("failed", 6), "failed");
    }
}
