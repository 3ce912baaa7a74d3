//! The live table, as lines: a pure function of the progress and the terminal's size.

use std::time::Duration;

use crate::api::view::WatchView;
use crate::cli::demo::progress::{Progress, Receipt, Row};
use crate::cli::paint::Paint;
use crate::cli::table::{Column, Room, Table, clip, plain};
use crate::cli::terminal::Size;

/// The titles and widths: every value fits, because a column that grows makes the table jump.
const COLUMNS: [Column; 8] = [
    Column::new("SERVICE").fixed(9).gives_way(1),
    Column::new("JOB").fixed(22),
    Column::new("STATE").fixed(9),
    Column::new("STATUS").fixed(7).gives_way(4),
    Column::new("POLLS").fixed(5).gives_way(2),
    Column::new("PROBLEMS").fixed(8).gives_way(3),
    Column::new("EVENT").fixed(5).gives_way(5),
    Column::new("LAST CHANGE").reserving(20),
];

/// Returns the lines of the table, cut to `size`.
pub(super) fn lines(
    progress: &Progress,
    elapsed: Duration,
    size: Size,
    paint: Paint,
) -> Vec<String> {
    let mut table = Table::new(COLUMNS);
    for row in &progress.rows {
        table.row(cells(row, paint));
    }
    let room = Room {
        columns: Some(size.columns),
        paint,
    };
    let mut lines = table.lines(room);
    lines.push(String::new());
    lines.push(paint.dim(&footer(progress, elapsed)));
    // The cursor stands in the line below, and cannot be moved up past the first one.
    let room = size.lines.saturating_sub(1).max(1);
    let surplus = lines.len().saturating_sub(room);
    lines.drain(1..=surplus.min(lines.len() - 1)).for_each(drop);
    lines.iter().map(|line| clip(line, size.columns)).collect()
}

fn cells(row: &Row, paint: Paint) -> Vec<String> {
    vec![
        row.case.job.service.name().to_owned(),
        row.case.name.to_owned(),
        paint.state(row.state()),
        status(row),
        number(row, |watch| watch.polls),
        number(row, |watch| watch.problems),
        receipt(row, paint),
        plain(&row.latest),
    ]
}

fn status(row: &Row) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::progress::tests::{begun, inbox, watch};
    use crate::cli::demo::scenario::cases;
    use crate::cli::table::width;

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
            assert!(case.job.service.name().len() <= 9);
            assert!(case.name.len() <= 22, "{}", case.name);
        }
    }
}
