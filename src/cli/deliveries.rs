//! `jobwatch deliveries`: lists deliveries and dead letters, or shows the attempts of one.

use clap::Args;
use http::Method;

use crate::api::delivery_view::{AttemptView, DeliveryPageView, DeliveryView};
use crate::cli::Exit;
use crate::cli::client::{DaemonArgs, query_of};
use crate::cli::output::{Paint, Table, or_dash, plain, say, say_json, time};

const HELP: &str = "\
A delivery is one event for one sink. It is pending until the sink accepts it (delivered), or
until ten attempts over about 16 hours have failed (dead: a dead letter). Dead letters are kept;
`jobwatch redrive` sends them again.

  jobwatch deliveries --state dead             list the dead letters
  jobwatch deliveries --state dead --sink ops  only those of the sink `ops`
  jobwatch deliveries 4711                     show why each attempt failed
  jobwatch redrive 4711                        send it again, under the same event id";

/// Lists deliveries, newest first, or shows one with its attempts.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Deliveries {
    /// The id of a delivery, to show its attempts
    #[arg(value_name = "DELIVERY_ID", conflicts_with_all = ["state", "sink", "cursor"])]
    delivery_id: Option<String>,
    /// Only deliveries in this state: pending, delivered or dead
    #[arg(long)]
    state: Option<String>,
    /// Only deliveries to this sink
    #[arg(long)]
    sink: Option<String>,
    /// The number of deliveries to list, at most 1000
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Continue a list: the value printed at the end of the previous page
    #[arg(long)]
    cursor: Option<String>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
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
            say(&in_words(&delivery));
        }
        Ok(())
    }

    async fn list(&self) -> Result<(), Exit> {
        let path = format!("/v1/deliveries?{}", self.query());
        let client = self.daemon.client()?;
        let answer = client.ask::<DeliveryPageView>(Method::GET, &path, None);
        let page = answer.await?.body;
        if self.json {
            say_json(&page);
            return Ok(());
        }
        if page.deliveries.is_empty() {
            say("no deliveries");
            return Ok(());
        }
        say(&table(&page.deliveries));
        if let Some(next) = page.next {
            say(&format!("more: --cursor {next}"));
        }
        Ok(())
    }

    fn query(&self) -> String {
        query_of(
            self.limit,
            &[
                ("state", self.state.as_deref()),
                ("sink", self.sink.as_deref()),
                ("cursor", self.cursor.as_deref()),
            ],
        )
    }
}

/// Returns the path of one delivery. The id is escaped, so that none leads to another path.
pub(super) fn path_of(id: &str) -> String {
    let id: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
    format!("/v1/deliveries/{id}")
}

/// Colours a state: green if delivered, red if dead.
fn painted(paint: Paint, state: &str) -> String {
    let like = match state {
        "delivered" => "succeeded",
        "dead" => "failed",
        _ => "watching",
    };
    paint.as_state(like, state)
}

fn table(deliveries: &[DeliveryView]) -> String {
    let paint = Paint::for_stdout();
    let mut table = Table::with_header(&[
        "ID", "SINK", "EVENT", "STATE", "ATTEMPTS", "STATUS", "DUE", "ERROR",
    ]);
    for delivery in deliveries {
        table.row(vec![
            delivery.id.clone(),
            plain(&delivery.sink),
            short(&delivery.type_name).to_owned(),
            painted(paint, &delivery.state),
            delivery.attempts.to_string(),
            number(delivery.last_status),
            delivery.due_at.map_or_else(|| "-".to_owned(), time),
            or_dash(delivery.last_error.as_deref()),
        ]);
    }
    table.render()
}

fn short(type_name: &str) -> &str {
    type_name.trim_start_matches("dev.jobwatch.")
}

fn number(value: Option<u16>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn in_words(delivery: &DeliveryView) -> String {
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
    row("type", Some(short(&delivery.type_name).to_owned()));
    row("watch", delivery.watch_id.clone());
    row("attempts", Some(delivery.attempts.to_string()));
    row("due", delivery.due_at.map(time));
    let is_owed = delivery.due_at.is_some();
    row(
        "gone",
        delivery.gone_since.filter(|_| is_owed).map(|since| {
            format!(
                "the receiver answered 410 at {}; this delivery waits for a restart of the daemon",
                time(since)
            )
        }),
    );
    row("settled", delivery.settled_at.map(time));
    let attempts = delivery.history.as_deref().unwrap_or_default();
    if attempts.is_empty() {
        return facts.render();
    }
    format!("{}\n\n{}", facts.render(), history(attempts))
}

fn history(attempts: &[AttemptView]) -> String {
    let mut table = Table::with_header(&["ATTEMPT", "AT", "TOOK", "STATUS", "ERROR", "ANSWER"]);
    for attempt in attempts {
        table.row(vec![
            attempt.number.to_string(),
            time(attempt.at),
            format!("{} ms", attempt.took_ms),
            number(attempt.http_status),
            or_dash(attempt.error.as_deref()),
            or_dash(attempt.answer.as_deref()),
        ]);
    }
    table.render()
}
