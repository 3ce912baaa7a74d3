//! `jobwatch list`: lists watches, newest first.

use clap::Args;
use http::Method;

use crate::api::view::{PageView, WatchView};
use crate::cli::Exit;
use crate::cli::age::Times;
use crate::cli::change::reason;
use crate::cli::client::{Client, DaemonArgs};
use crate::cli::filter::{PAGE_MAX, PageArgs, Term, WatchFilter, path_of_page};
use crate::cli::output::{note, or_dash, say, say_json};
use crate::cli::pager::page;
use crate::cli::paint::Paint;
use crate::cli::table::{Column, Room, Table, plain};

/// The path of the list of watches.
const PATH: &str = "/v1/watches";
/// The most watches that `--all` reads: as many as a terminal or a script can use.
const ALL_MAX: usize = 100_000;
/// The part of an id that says when the watch was submitted, to the millisecond: a shorter
/// prefix often names several watches.
const PREFIX: usize = 13;

const HELP: &str = "\
REF, in other commands, is an id, the first part of one as listed here, SERVICE/JOB_ID, or a
job id.

  jobwatch list --state watching              the jobs that still run
  jobwatch list --state failed,lost --since 1d
  jobwatch list --label deploy=42 -q          only the ids, for other commands";

/// Lists the watches, newest first.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct List {
    #[command(flatten)]
    filter: WatchFilter,
    #[command(flatten)]
    page: PageArgs,
    /// Print only the ids
    #[arg(long, short, conflicts_with_all = ["json", "wide", "utc"])]
    quiet: bool,
    #[command(flatten)]
    look: Look,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// The options about the look of the table.
#[derive(Args)]
struct Look {
    /// Show every column, and nothing cut
    #[arg(long, conflicts_with = "json")]
    wide: bool,
    /// Show instants (UTC) instead of ages
    #[arg(long, conflicts_with = "json")]
    utc: bool,
}

impl List {
    pub(super) async fn execute(self) -> Exit {
        match self.list().await {
            Ok(()) => Exit::Done,
            Err(exit) => exit,
        }
    }

    async fn list(&self) -> Result<(), Exit> {
        let client = self.daemon.client()?;
        let terms = self.filter.terms();
        let found = if self.page.all {
            all(&client, &terms, self.page.cursor.clone()).await?
        } else {
            let cursor = self.page.cursor.as_deref();
            up_to(&client, &terms, self.page.limit, cursor).await?
        };
        self.print(&found);
        Ok(())
    }

    fn print(&self, found: &PageView) {
        if self.json {
            say_json(found);
            return;
        }
        if found.watches.is_empty() {
            let is_filtered = !self.filter.terms().is_empty();
            note(if is_filtered {
                "no watch matches"
            } else {
                "no watches"
            });
            return;
        }
        if self.quiet {
            let ids: Vec<&str> = found
                .watches
                .iter()
                .map(|watch| watch.id.as_str())
                .collect();
            say(&ids.join("\n"));
        } else {
            let mut room = Room::of_stdout();
            room.columns = room.columns.filter(|_| !self.look.wide);
            let table = table(&found.watches, Times::from_now(self.look.utc), room);
            page(&table.lines(room).join("\n"));
        }
        if let Some(next) = &found.next {
            note(&format!("there are more: --cursor {next}, or --all"));
        }
    }
}

async fn one_page(
    client: &Client,
    terms: &[Term],
    limit: u32,
    cursor: Option<&str>,
) -> Result<PageView, Exit> {
    let path = path_of_page(PATH, terms, limit, cursor);
    Ok(client.ask(Method::GET, &path, None).await?.body)
}

/// Reads a page of this many watches. One answer may have fewer, and more may match.
async fn up_to(
    client: &Client,
    terms: &[Term],
    limit: u32,
    cursor: Option<&str>,
) -> Result<PageView, Exit> {
    let mut found = one_page(client, terms, limit, cursor).await?;
    loop {
        let count = u32::try_from(found.watches.len()).unwrap_or(limit);
        let left = limit.saturating_sub(count);
        let Some(next) = found.next.take_if(|_| left > 0) else {
            return Ok(found);
        };
        let page = one_page(client, terms, left, Some(&next)).await?;
        found.watches.extend(page.watches);
        found.next = page.next;
    }
}

/// Reads page after page, up to [`ALL_MAX`] watches.
pub(super) async fn all(
    client: &Client,
    terms: &[Term],
    cursor: Option<String>,
) -> Result<PageView, Exit> {
    let mut found = one_page(client, terms, PAGE_MAX, cursor.as_deref()).await?;
    while let Some(next) = found.next.take() {
        if found.watches.len() >= ALL_MAX {
            found.next = Some(next);
            break;
        }
        let page = one_page(client, terms, PAGE_MAX, Some(&next)).await?;
        found.watches.extend(page.watches);
        found.next = page.next;
    }
    Ok(found)
}

/// Composes the table. On a terminal ids are as short as they can be.
fn table(watches: &[WatchView], times: Times, room: Room) -> Table {
    let age = if times.is_utc() { "SUBMITTED" } else { "AGE" };
    let mut table = Table::new([
        Column::new("ID").whole().gives_way(2),
        Column::new("SERVICE").at_least(6).gives_way(5),
        Column::new("JOB").at_least(10).keeping_ends(),
        Column::new("STATE").whole(),
        Column::new("STATUS").at_least(6).at_most(20).gives_way(6),
        Column::new(age).whole().gives_way(3),
        Column::new("PROBLEM").at_least(12).if_used().gives_way(1),
        Column::new("REASON").at_least(14).if_used().gives_way(4),
    ]);
    let ids: Vec<&str> = watches.iter().map(|watch| watch.id.as_str()).collect();
    let prefix = room.columns.map_or(usize::MAX, |_| prefix_length(&ids));
    for watch in watches {
        table.row(vec![
            watch.id.chars().take(prefix).collect(),
            plain(&watch.service),
            plain(&watch.job_id),
            room.paint.state(&watch.state),
            or_dash(watch.status.as_deref()),
            times.age(watch.submitted_at),
            problem(watch, room.paint),
            or_dash(reason(watch).as_deref()),
        ]);
    }
    table
}

/// Returns the problem of the last polls, if they did not show the job.
fn problem(watch: &WatchView, paint: Paint) -> String {
    let failing = watch.last_problem.as_ref();
    let Some(problem) = failing.filter(|_| watch.problems_in_a_row > 0) else {
        return "-".to_owned();
    };
    let kind = problem.kind.as_str();
    match watch.problems_in_a_row {
        1 => paint.warn(kind),
        count => paint.warn(&format!("{kind} ×{count}")),
    }
}

/// Returns the length at which the first parts of all ids differ.
fn prefix_length(ids: &[&str]) -> usize {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let shared = |pair: &[&str]| {
        let (one, other) = (pair[0].bytes(), pair[1].bytes());
        one.zip(other).take_while(|(a, b)| a == b).count()
    };
    let longest = sorted.windows(2).map(shared).max().unwrap_or_default();
    let length = PREFIX.max(longest + 1);
    let ends_with_dash = |id: &&str| id.as_bytes().get(length - 1) == Some(&b'-');
    length + usize::from(sorted.iter().any(ends_with_dash))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::table::width;

    const FIRST: &str = "019ac1f2-3b4c-7a1b-9c2d-0123456789ab";

    fn watch(changes: Value) -> WatchView {
        let mut watch = json!({
            "id": FIRST, "service": "dcs", "job_id": "ff80808282c1a5b20182c1e3f4a50025",
            "state": "watching", "status": "RUNNING", "submitted_at": "2026-11-26T10:00:00Z",
            "deadline": "2026-11-26T16:00:00Z", "polls": 3, "problems": 0, "children": [],
            "labels": {}, "params": {},
        });
        let changes: BTreeMap<String, Value> = serde_json::from_value(changes).unwrap();
        for (name, value) in changes {
            watch[name] = value;
        }
        serde_json::from_value(watch).unwrap()
    }

    fn watches() -> Vec<WatchView> {
        vec![
            watch(json!({
                "problems_in_a_row": 4,
                "last_problem": {"kind": "unreachable", "http_status": null, "code": null,
                    "message": "no route", "at": "2026-11-26T10:00:00Z"},
            })),
            watch(json!({
                "id": "019ac1f2-3b4d-7a1b-9c2d-0123456789ab", "service": "sdrs", "job_id": "任务-0001-备份",
                "state": "failed", "status": "FAIL", "code": "SDRS.0406", "reason": "磁盘已满\u{1b}[2J",
            })),
        ]
    }

    fn lines(columns: Option<usize>) -> Vec<String> {
        let now: Timestamp = "2026-11-26T12:10:00Z".parse().unwrap();
        let room = Room {
            columns,
            paint: Paint::none(),
        };
        table(&watches(), Times::new(now, false), room).lines(room)
    }

    #[test]
    fn a_wide_terminal_shows_every_column() {
        assert_eq!(
            lines(Some(200)),
            [
                "ID             SERVICE  JOB                               STATE     STATUS   AGE     PROBLEM         REASON",
                "019ac1f2-3b4c  dcs      ff80808282c1a5b20182c1e3f4a50025  watching  RUNNING  2h 10m  unreachable ×4  -",
                "019ac1f2-3b4d  sdrs     任务-0001-备份                    failed    FAIL     2h 10m  -               SDRS.0406: 磁盘已满\u{fffd}[2J",
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_keeps_job_state_and_problem() {
        for columns in [40, 60, 80, 200] {
            for line in lines(Some(columns)) {
                assert!(width(&line) <= columns, "{columns}: {line}");
            }
        }
        assert_eq!(
            lines(Some(40)),
            [
                "JOB             STATE     PROBLEM",
                "ff80808…a50025  watching  unreachable ×4",
                "任务-0001-备份  failed    -",
            ]
        );
    }

    #[test]
    fn a_pipe_has_whole_ids() {
        assert!(lines(None)[1].starts_with(FIRST));
    }

    #[test]
    fn short_ids_differ_and_end_with_a_digit() {
        assert_eq!(prefix_length(&[FIRST]), 13);
        assert_eq!(prefix_length(&[FIRST, FIRST]), 13);
        let same_instant = "019ac1f2-3b4c-7a1b-9c2e-0123456789ab";
        assert_eq!(prefix_length(&[FIRST, same_instant]), 23);
        let near = "019ac1f2-3b4c-7a1c-9c2e-0123456789ab";
        assert_eq!(prefix_length(&[FIRST, near]), 18);
    }
}
