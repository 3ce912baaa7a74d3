//! `jobwatch redrive`: makes dead letters pending again.

use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};

use crate::api::delivery_view::{DeliveryView, RedriveView};
use crate::cli::Exit;
use crate::cli::client::{Client, DaemonArgs};
use crate::cli::deliveries::{DeliveryFilter, all, path_of};
use crate::cli::filter::{Term, exact};
use crate::cli::output::{complain, note, say, say_json};
use crate::cli::table::plain;

const HELP: &str = "\
A redriven delivery gets ten new attempts, the first at once; its history keeps the old ones.
The event keeps its id, so a receiver can recognise an event that it already has.

  jobwatch redrive 4711 4712        two dead letters
  jobwatch redrive --sink ops       all dead letters of the sink `ops`
  jobwatch redrive --since 2h       the dead letters of all sinks from the last two hours
  jobwatch redrive --label app=shop the dead letters about jobs with this label
  jobwatch redrive 4711 --force     a delivery that is pending or was delivered";

/// Names both forms: clap alone would ask only for the ids if all are missing.
const USAGE: &str = "\
jobwatch redrive [OPTIONS] <DELIVERY_ID>...
       jobwatch redrive [OPTIONS] <--sink SINK | --since TIME | other filters>...";

/// Makes dead letters pending again.
#[derive(Args)]
#[command(after_help = HELP, override_usage = USAGE)]
pub(super) struct Redrive {
    /// The ids of the deliveries
    #[arg(
        value_name = "DELIVERY_ID",
        value_parser = exact,
        required_unless_present_any = FILTERS,
        conflicts_with_all = FILTERS
    )]
    delivery_ids: Vec<String>,
    #[command(flatten)]
    filter: DeliveryFilter,
    /// Send the delivery even if it is pending or was delivered
    #[arg(long, conflicts_with_all = FILTERS)]
    force: bool,
    /// Print only the ids
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
    /// Print JSON, one line for each delivery
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// The options that select dead letters.
const FILTERS: [&str; 7] = [
    "sink", "watch", "service", "job", "labels", "since", "until",
];

impl Redrive {
    pub(super) async fn execute(self) -> Exit {
        let client = match self.daemon.client() {
            Ok(client) => client,
            Err(exit) => return exit,
        };
        if !self.delivery_ids.is_empty() {
            let ids = self.delivery_ids.iter().map(String::as_str);
            return self.each(&client, ids).await;
        }
        if self.is_detailed() {
            return self.selected(&client).await;
        }
        self.at_once(&client).await
    }

    async fn one(&self, client: &Client, id: &str) -> Result<(), Exit> {
        let path = format!("{}/redrive", path_of(id));
        let body = json!({ "force": self.force }).to_string();
        let answer = client.ask::<DeliveryView>(Method::POST, &path, Some(body));
        let delivery = answer.await?.body;
        if self.json {
            say_json(&delivery);
            return Ok(());
        }
        if self.quiet {
            say(&delivery.id);
            return Ok(());
        }
        let sink = plain(&delivery.sink);
        say(&format!("{} is pending again for {sink}", delivery.id));
        if delivery.gone_since.is_some() {
            complain(&format!(
                "{sink}: the receiver is gone (410); restart the daemon to send to it again"
            ));
        }
        Ok(())
    }

    /// Redrives the dead letters that the filter selects, one by one.
    async fn selected(&self, client: &Client) -> Exit {
        let mut terms = self.filter.terms();
        terms.push(("state", "dead".to_owned()));
        let found = match all(client, &terms, None).await {
            Ok(found) => found.deliveries,
            Err(exit) => return exit,
        };
        if found.is_empty() {
            note("no dead letters match");
        }
        self.each(client, found.iter().map(|it| it.id.as_str()))
            .await
    }

    /// Redrives as many as possible; returns the exit code of the last error.
    async fn each(&self, client: &Client, ids: impl Iterator<Item = &str>) -> Exit {
        let mut exit = Exit::Done;
        for id in ids {
            if let Err(refused) = self.one(client, id).await {
                exit = refused;
            }
        }
        exit
    }

    /// Redrives all dead letters of a sink, or of a time, with one request.
    async fn at_once(&self, client: &Client) -> Exit {
        let since = self.filter.jobs.since.map(|at| at.to_string());
        let mut body = Map::new();
        for (name, value) in [("sink", &self.filter.sink), ("since", &since)] {
            if let Some(value) = value {
                body.insert(name.to_owned(), Value::from(value.as_str()));
            }
        }
        let body = Value::Object(body).to_string();
        let answer = client.ask::<RedriveView>(Method::POST, "/v1/deliveries/redrive", Some(body));
        let view = match answer.await {
            Ok(answer) => answer.body,
            Err(exit) => return exit,
        };
        if self.json {
            say_json(&view);
        } else {
            print(&view);
        }
        Exit::Done
    }

    /// True if the filter needs a list of the dead letters first.
    fn is_detailed(&self) -> bool {
        let is_plain = |(name, _): &Term| ["sink", "since"].contains(name);
        self.quiet || !self.filter.terms().iter().all(is_plain)
    }
}

fn print(view: &RedriveView) {
    for (sink, count) in &view.by_sink {
        let result = match count {
            0 => "no dead letters match".to_owned(),
            1 => "1 dead letter is pending again".to_owned(),
            _ => format!("{count} dead letters are pending again"),
        };
        say(&format!("{}: {result}", plain(sink)));
    }
    if view.by_sink.is_empty() {
        say("no dead letters match");
    }
    for sink in &view.gone {
        complain(&format!(
            "{}: the receiver is gone (410); restart the daemon to send to it again",
            plain(sink)
        ));
    }
    for sink in &view.unconfigured {
        complain(&format!(
            "{}: the sink is not configured, so its dead letters are kept and not sent",
            plain(sink)
        ));
    }
}
