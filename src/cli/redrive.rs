//! `jobwatch redrive`: dead letters are owed again.

use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};

use crate::api::delivery_view::{DeliveryView, RedriveView};
use crate::cli::Exit;
use crate::cli::client::{Client, DaemonArgs};
use crate::cli::deliveries::path_of;
use crate::cli::output::{complain, plain, say, say_json};

const HELP: &str = "\
A redriven delivery begins its ten attempts anew, the first at once; what was tried before
stays in its history. The event keeps its id, so a receiver that has it already can tell.

  jobwatch redrive 4711 4712            these two
  jobwatch redrive --sink ops           every dead letter of a sink
  jobwatch redrive --since 2h           of all sinks, given up in the last two hours
  jobwatch redrive 4711 --force         although it is pending or was delivered";

/// Without it, only the ids would be said to be missing where nothing is given.
const USAGE: &str = "\
jobwatch redrive [OPTIONS] <DELIVERY_ID>...
       jobwatch redrive [OPTIONS] --sink <SINK> [--since <TIME>]
       jobwatch redrive [OPTIONS] --since <TIME>";

/// Owes dead letters again.
#[derive(Args)]
#[command(after_help = HELP, override_usage = USAGE)]
pub(super) struct Redrive {
    /// The ids of deliveries
    #[arg(
        value_name = "DELIVERY_ID",
        required_unless_present_any = ["sink", "since"],
        conflicts_with_all = ["sink", "since"]
    )]
    delivery_ids: Vec<String>,
    /// All dead letters of this sink
    #[arg(long)]
    sink: Option<String>,
    /// Only those given up since: a time (RFC 3339), or how long ago (2h)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Also deliveries that are not dead: the pending at once, the delivered once more
    #[arg(long, conflicts_with_all = ["sink", "since"])]
    force: bool,
    /// Print JSON; one line for each delivery
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
        say(&format!("{} is owed to {sink} again", delivery.id));
        if delivery.gone_since.is_some() {
            complain(&format!(
                "{sink}: its receiver is gone (410); it waits until jobwatch is restarted"
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
            tell(&view);
        }
        Exit::Done
    }
}

fn tell(view: &RedriveView) {
    for (sink, count) in &view.by_sink {
        let letters = if *count == 1 {
            "letter is"
        } else {
            "letters are"
        };
        say(&format!(
            "{}: {count} dead {letters} owed again",
            plain(sink)
        ));
    }
    if view.by_sink.is_empty() {
        say("no dead letters");
    }
    for sink in &view.gone {
        complain(&format!(
            "{}: its receiver is gone (410); they wait until jobwatch is restarted",
            plain(sink)
        ));
    }
    for sink in &view.unconfigured {
        complain(&format!(
            "{}: this sink is not configured, so its dead letters stay as they are",
            plain(sink)
        ));
    }
}
