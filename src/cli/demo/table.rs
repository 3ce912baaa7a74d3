//! The live table, as lines: a pure function of the progress and the terminal's size.

use std::time::Duration;

use crate::api::view::WatchView;
use crate::cli::demo::progress::{Progress, Row, Told};
use crate::cli::output::{Paint, plain, width};

/// How many columns of the terminal the news must have, or other columns give way.
const NEWS_MIN: usize = 20;
/// What is between two columns.
const GAP: usize = 2;

/// A terminal's size, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Characters in a line.
    pub(super) columns: usize,
    /// Lines.
    pub(super) lines: usize,
}

/// A column of the table.
struct Column {
    title: &'static str,
    /// Wide enough for everything it shows: a column that grows makes the table jump.
    width: usize,
    /// Which column gives way first on a narrow terminal; 0 never does.
    gives_way: u8,
    cell: fn(&Row, Paint) -> String,
}

const COLUMNS: [Column; 7] = [
    column("SERVICE", 9, 1, |row, _| {
        row.act.job.service.name().to_owned()
    }),
    column("JOB", 22, 0, |row, _| row.act.name.to_owned()),
    column("STATE", 9, 0, |row, paint| paint.state(row.state())),
    column("STATUS", 7, 4, status),
    column("POLLS", 5, 2, |row, _| number(row, |watch| watch.polls)),
    column("PROBLEMS", 8, 3, |row, _| {
        number(row, |watch| watch.problems)
    }),
    column("TOLD", 4, 5, told),
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

/// The lines of the table, no longer and no more than `size` has room for.
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
    let mut lines = vec![line(titles, &paint.dim("LAST NEWS"))];
    for row in &progress.rows {
        let cells = columns
            .iter()
            .map(|each| ((each.cell)(row, paint), each.width));
        lines.push(line(cells, &plain(&row.news)));
    }
    lines.push(String::new());
    lines.push(paint.dim(&footer(progress, elapsed)));
    // The cursor stands in the line below, and cannot be moved up past the first one.
    let room = size.lines.saturating_sub(1).max(1);
    let surplus = lines.len().saturating_sub(room);
    lines.drain(1..=surplus.min(lines.len() - 1)).for_each(drop);
    lines.iter().map(|line| clip(line, size.columns)).collect()
}

/// The columns that leave enough room for the news.
fn fitting(columns: usize) -> Vec<&'static Column> {
    let taken = |fit: &Vec<&Column>| fit.iter().map(|each| each.width + GAP).sum::<usize>();
    let mut fit: Vec<&Column> = COLUMNS.iter().collect();
    while taken(&fit) + NEWS_MIN > columns {
        let first = fit.iter().map(|each| each.gives_way).max();
        let Some(first) = first.filter(|first| *first > 0) else {
            break;
        };
        fit.retain(|each| each.gives_way != first);
    }
    fit
}

fn line(cells: impl Iterator<Item = (String, usize)>, news: &str) -> String {
    let mut line = String::new();
    for (cell, wanted) in cells {
        // What a service wrote may be longer than its column.
        let cell = clip(&cell, wanted);
        let padding = wanted.saturating_sub(width(&cell)) + GAP;
        line.push_str(&cell);
        line.extend(std::iter::repeat_n(' ', padding));
    }
    line.push_str(news);
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

fn told(row: &Row, paint: Paint) -> String {
    match row.told {
        Told::No => String::new(),
        Told::TurnedAway => paint.bold("503"),
        Told::Yes => "yes".to_owned(),
    }
}

/// The whole demo in one line.
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

/// Cuts `text` to `columns` characters on a terminal; colours still end.
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
        // Codes behind the cut are kept: one of them ends a colour that was begun.
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
    use crate::cli::demo::scenario::acts;

    fn shown(columns: usize, lines: usize) -> Vec<String> {
        let mut progress = begun();
        progress.look(vec![watch("w0", "succeeded")], inbox(&["w0"]));
        let size = Size { columns, lines };
        super::lines(&progress, Duration::from_secs(3), size, Paint::none())
    }

    #[test]
    fn a_wide_terminal_shows_every_column() {
        let lines = shown(110, 40);
        assert_eq!(
            lines,
            [
                "SERVICE    JOB                     STATE      STATUS   POLLS  PROBLEMS  TOLD  LAST NEWS",
                "dcs        quick success           succeeded           0      0         yes   watching → succeeded",
                "dcs        slow success            watching            0      0               submitted",
                "",
                "3.0 s: 1 of 2 ended, 0 polls, 0 problems, 1 events received",
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_shows_what_matters_and_no_line_wraps() {
        for columns in [1, 10, 40, 60, 79, 80, 110] {
            for line in shown(columns, 40) {
                assert!(width(&line) <= columns, "{columns}: {line}");
            }
        }
        assert_eq!(
            shown(60, 40)[0],
            "JOB                     STATE      LAST NEWS"
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
    fn the_names_of_all_acts_fit_their_columns() {
        for act in acts() {
            assert!(act.job.service.name().len() <= COLUMNS[0].width);
            assert!(act.name.len() <= COLUMNS[1].width, "{}", act.name);
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
