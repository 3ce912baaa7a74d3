//! `jobwatch redrive`: makes dead letters pending again.

use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};

use crate::api::delivery_view::{DeliveryView, RedriveView};
use crate::cli::Exit;
use crate::cli::client::{Client, DaemonArgs};
use crate::cli::deliveries::path_of;
use crate::cli::output::{complain, plain, say, say_json};

const HELP: &str = "\
A redriven delivery gets ten new attempts, the first at once; its history keeps the old ones.
The event keeps its id, so a receiver can recognise an event that it already has.

  jobwatch redrive 4711 4712        two dead letters
  jobwatch redrive --sink ops       all dead letters of the sink `ops`
  jobwatch redrive --since 2h       the dead letters of all sinks from the last two hours
  jobwatch redrive 4711 --force     a delivery that is pending or was delivered";

/// Names all three forms: clap alone would ask only for the ids if all are missing.
const USAGE: &str = "\
jobwatch redrive [OPTIONS] <DELIVERY_ID>...
       jobwatch redrive [OPTIONS] --sink <SINK> [--since <TIME>]
       jobwatch redrive [OPTIONS] --since <TIME>";

/// Makes dead letters pending again.
#[derive(Args)]
#[command(after_help = HELP, override_usage = USAGE)]
pub(super) struct Redrive {
    /// The ids of the deliveries
    #[arg(
        value_name = "DELIVERY_ID",
        required_unless_present_any = ["sink", "since"],
        conflicts_with_all = ["sink", "since"]
    )]
    delivery_ids: Vec<String>,
    /// All dead letters of this sink
    #[arg(long)]
    sink: Option<String>,
    /// The dead letters since a time (RFC 3339) or of the last hours or minutes (2h)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Send the delivery even if it is pending or was delivered
    #[arg(long, conflicts_with_all = ["sink", "since"])]
    force: bool,
    /// Print JSON, one line for each delivery
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

impl Redrive {
    pub(super) async fn execute(self) -> Exit {
        let client = match self.daemon.client() {
            Ok(client) => client,
            Err(exit) => return exit,
        };
        if self.delivery_ids.is_empty() {
            return self.all(&client).await;
        }
        let mut exit = Exit::Done;
        for id in &self.delivery_ids {
            if let Err(refused) = self.one(&client, id).await {
                exit = refused;
            }
        }
        exit
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
        let sink = plain(&delivery.sink);
        say(&format!("{} is pending again for {sink}", delivery.id));
        if delivery.gone_since.is_some() {
            complain(&format!(
                "{sink}: the receiver is gone (410); restart the daemon to send to it again"
            ));
        }
        Ok(())
    }

    async fn all(&self, client: &Client) -> Exit {
        let mut body = Map::new();
        for (name, value) in [("sink", &self.sink), ("since", &self.since)] {
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
