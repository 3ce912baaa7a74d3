//! `jobwatch deliveries`: lists deliveries and dead letters, or shows the attempts of one.

use clap::Args;
use clap::builder::PossibleValuesParser;
use http::Method;

use crate::api::delivery_view::{AttemptView, DeliveryPageView, DeliveryView};
use crate::cli::Exit;
use crate::cli::age::Times;
use crate::cli::client::{Client, DaemonArgs};
use crate::cli::filter::{JobFilter, PAGE_MAX, PageArgs, Term, exact, path_of_page};
use crate::cli::output::{note, or_dash, say, say_json};
use crate::cli::pager::page;
use crate::cli::paint::Paint;
use crate::cli::table::{Column, Table, plain};

const HELP: &str = "\
A delivery is one event for one sink. It is pending until the sink accepts it (delivered), or
until ten attempts over about 16 hours have failed (dead: a dead letter). Dead letters are kept;
`jobwatch redrive` sends them again.

  jobwatch deliveries --state dead             list the dead letters
  jobwatch deliveries --state dead --sink ops  only those of the sink `ops`
  jobwatch deliveries 4711                     show why each attempt failed
  jobwatch redrive 4711                        send it again, under the same event id";

/// The path of the list of deliveries.
const PATH: &str = "/v1/deliveries";
/// The most deliveries that `--all` reads.
const ALL_MAX: usize = 100_000;
const STATES: [&str; 3] = ["pending", "delivered", "dead"];

/// The options that select deliveries.
#[derive(Args, Debug, Clone, Default)]
pub(super) struct DeliveryFilter {
    /// Only deliveries to this sink
    #[arg(long, value_parser = exact)]
    pub(super) sink: Option<String>,
    /// Only deliveries about this watch
    #[arg(long, value_name = "REF", value_parser = exact)]
    pub(super) watch: Option<String>,
    #[command(flatten)]
    pub(super) jobs: JobFilter,
}

/// Lists deliveries, newest first, or shows one with its attempts.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Deliveries {
    /// The id of a delivery, to show its attempts
    #[arg(
        value_name = "DELIVERY_ID",
        value_parser = exact,
        conflicts_with_all = ["states", "sink", "watch", "service", "job", "labels", "since", "until",
            "cursor", "all", "limit", "quiet"]
    )]
    delivery_id: Option<String>,
    /// Only deliveries in these states: pending, delivered or dead, with commas between them
    #[arg(
        long = "state",
        value_name = "STATE",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(STATES),
        hide_possible_values = true
    )]
    states: Vec<String>,
    #[command(flatten)]
    filter: DeliveryFilter,
    #[command(flatten)]
    page: PageArgs,
    /// Print only the ids
    #[arg(long, short, conflicts_with_all = ["json", "utc"])]
    quiet: bool,
    /// Show instants (UTC) instead of ages
    #[arg(long, conflicts_with = "json")]
    utc: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

impl DeliveryFilter {
    pub(super) fn terms(&self) -> Vec<Term> {
        let mut terms = self.jobs.terms();
        terms.extend(self.sink.clone().map(|sink| ("sink", sink)));
        terms.extend(self.watch.clone().map(|watch| ("watch", watch)));
        terms
    }
}

impl Deliveries {
    pub(super) async fn execute(self) -> Exit {
        let done = match &self.delivery_id {
            Some(id) => self.show(id).await,
            None => self.list().await,
        };
        match done {
            Ok(()) => Exit::Done,
            Err(exit) => exit,
        }
    }

    async fn show(&self, id: &str) -> Result<(), Exit> {
        let client = self.daemon.client()?;
        let path = path_of(id);
        let answer = client.ask::<DeliveryView>(Method::GET, &path, None);
        let delivery = answer.await?.body;
        if self.json {
            say_json(&delivery);
        } else {
            page(&in_words(&delivery, Times::from_now(self.utc)));
        }
        Ok(())
    }

    async fn list(&self) -> Result<(), Exit> {
        let client = self.daemon.client()?;
        let mut terms = self.filter.terms();
        if !self.states.is_empty() {
            terms.push(("state", self.states.join(",")));
        }
        let found = if self.page.all {
            all(&client, &terms, self.page.cursor.clone()).await?
        } else {
            let cursor = self.page.cursor.as_deref();
            one_page(&client, &terms, self.page.limit, cursor).await?
        };
        if self.json {
            say_json(&found);
            return Ok(());
        }
        if found.deliveries.is_empty() {
            note(if terms.is_empty() {
                "no deliveries"
            } else {
                "no delivery matches"
            });
            return Ok(());
        }
        if self.quiet {
            let ids = found.deliveries.iter().map(|it| it.id.as_str());
            say(&ids.collect::<Vec<_>>().join("\n"));
        } else {
            page(&table(&found.deliveries, Times::from_now(self.utc)).render());
        }
        if let Some(next) = found.next {
            note(&format!("there are more: --cursor {next}, or --all"));
        }
        Ok(())
    }
}

async fn one_page(
    client: &Client,
    terms: &[Term],
    limit: u32,
    cursor: Option<&str>,
) -> Result<DeliveryPageView, Exit> {
    let path = path_of_page(PATH, terms, limit, cursor);
    Ok(client.ask(Method::GET, &path, None).await?.body)
}

/// Reads page after page, up to [`ALL_MAX`] deliveries.
pub(super) async fn all(
    client: &Client,
    terms: &[Term],
    cursor: Option<String>,
) -> Result<DeliveryPageView, Exit> {
    let mut found = one_page(client, terms, PAGE_MAX, cursor.as_deref()).await?;
    while let Some(next) = found.next.take() {
        if found.deliveries.len() >= ALL_MAX {
            found.next = Some(next);
            break;
        }
        let page = one_page(client, terms, PAGE_MAX, Some(&next)).await?;
        found.deliveries.extend(page.deliveries);
        found.next = page.next;
    }
    Ok(found)
}

/// Returns the path of one delivery. The id is escaped, so that none leads to another path.
pub(super) fn path_of(id: &str) -> String {
    let id: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
    format!("/v1/deliveries/{id}")
}

/// Colours a state: green if delivered, red if dead.
pub(super) fn painted(paint: Paint, state: &str) -> String {
    let like = match state {
        "delivered" => "succeeded",
        "dead" => "failed",
        _ => "watching",
    };
    paint.as_state(like, state)
}

fn table(deliveries: &[DeliveryView], times: Times) -> Table {
    let paint = Paint::for_stdout();
    let mut table = Table::new([
        Column::new("ID").whole(),
        Column::new("SINK").at_least(6),
        Column::new("EVENT").at_least(10).gives_way(4),
        Column::new("STATE").whole(),
        Column::new("ATTEMPTS").right().whole().gives_way(2),
        Column::new("STATUS").right().whole().gives_way(3),
        Column::new("DUE").whole().gives_way(1),
        Column::new("ERROR").at_least(12).if_used().gives_way(5),
    ]);
    for delivery in deliveries {
        table.row(vec![
            delivery.id.clone(),
            plain(&delivery.sink),
            short_type(&delivery.type_name).to_owned(),
            painted(paint, &delivery.state),
            delivery.attempts.to_string(),
            number(delivery.last_status),
            delivery
                .due_at
                .map_or_else(|| "-".to_owned(), |at| times.show(at)),
            or_dash(delivery.last_error.as_deref()),
        ]);
    }
    table
}

pub(super) fn short_type(type_name: &str) -> &str {
    type_name.trim_start_matches("dev.jobwatch.")
}

fn number(value: Option<u16>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn in_words(delivery: &DeliveryView, times: Times) -> String {
    let paint = Paint::for_stdout();
    let mut facts = Table::default();
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            facts.row(vec![paint.dim(name), value]);
        }
    };
    row("id", Some(delivery.id.clone()));
    row("sink", Some(plain(&delivery.sink)));
    row("state", Some(painted(paint, &delivery.state)));
    row("event", Some(delivery.event_id.clone()));
    row("type", Some(short_type(&delivery.type_name).to_owned()));
    row("watch", delivery.watch_id.clone());
    row("attempts", Some(delivery.attempts.to_string()));
    row("due", delivery.due_at.map(|at| times.show(at)));
    let is_owed = delivery.due_at.is_some();
    row(
        "gone",
        delivery.gone_since.filter(|_| is_owed).map(|since| {
            format!(
                "the receiver answered 410 {}; this delivery waits for a restart of the daemon",
                times.show(since)
            )
        }),
    );
    row("settled", delivery.settled_at.map(|at| times.show(at)));
    let attempts = delivery.history.as_deref().unwrap_or_default();
    if attempts.is_empty() {
        return facts.render();
    }
    format!("{}\n\n{}", facts.render(), history(attempts, times))
}

fn history(attempts: &[AttemptView], times: Times) -> String {
    let mut table = Table::new([
        Column::new("ATTEMPT").right().whole(),
        Column::new("AT").whole(),
        Column::new("TOOK").right().whole().gives_way(1),
        Column::new("STATUS").right().whole(),
        Column::new("ERROR").at_least(14).wrapping().if_used(),
        Column::new("ANSWER")
            .at_least(14)
            .wrapping()
            .if_used()
            .gives_way(2),
    ]);
    for attempt in attempts {
        table.row(vec![
            attempt.number.to_string(),
            times.show(attempt.at),
            format!("{} ms", attempt.took_ms),
            number(attempt.http_status),
            or_dash(attempt.error.as_deref()),
            or_dash(attempt.answer.as_deref()),
        ]);
    }
    table.render()
}
