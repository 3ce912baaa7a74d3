//! `jobwatch show`: shows one watch with its transitions and deliveries.

mod deliveries;
mod evidence;
mod facts;
mod tables;

use clap::Args;
use http::Method;

use crate::api::delivery_view::{DeliveryPageView, DeliveryView};
use crate::api::view::WatchView;
use crate::cli::Exit;
use crate::cli::age::Times;
use crate::cli::client::{Client, DaemonArgs};
use crate::cli::filter::{exact, path_of_page};
use crate::cli::output::say_json;
use crate::cli::pager::page;
use crate::watch::evidence::Evidence;

/// The most deliveries that are read for one watch.
const DELIVERIES_MAX: u32 = 200;

const HELP: &str = "\
REF is the id of a watch, the first 6 characters of it or more, SERVICE/JOB_ID, or a job id.

  jobwatch show dcs/ff80808282c1a5b2
  jobwatch show 019ac1f2-3b4c --evidence      the answer that proved the outcome";

/// Shows one watch with its transitions, problems and deliveries.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Show {
    /// The watch
    #[arg(value_name = "REF", value_parser = exact)]
    reference: String,
    /// Show the answer that proved the outcome
    #[arg(long)]
    evidence: bool,
    /// Show instants (UTC) instead of ages
    #[arg(long, conflicts_with = "json")]
    utc: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

impl Show {
    pub(super) async fn execute(self) -> Exit {
        match self.show().await {
            Ok(()) => Exit::Done,
            Err(exit) => exit,
        }
    }

    async fn show(&self) -> Result<(), Exit> {
        let path = path_of(&self.reference);
        let client = self.daemon.client()?;
        let times = Times::from_now(self.utc);
        if self.evidence {
            let path = format!("{path}/evidence");
            let answer = client.ask::<Evidence>(Method::GET, &path, None).await?;
            if self.json {
                say_json(&answer.body);
            } else {
                page(&evidence::in_words(&answer.body, times));
            }
            return Ok(());
        }
        let answer = client.ask::<WatchView>(Method::GET, &path, None).await?;
        if self.json {
            say_json(&answer.body);
            return Ok(());
        }
        let deliveries = deliveries_of(&client, &answer.body.id).await?;
        page(&in_words(&answer.body, &deliveries, times));
        Ok(())
    }
}

async fn deliveries_of(client: &Client, id: &str) -> Result<Vec<DeliveryView>, Exit> {
    let terms = [("watch", id.to_owned())];
    let path = path_of_page("/v1/deliveries", &terms, DELIVERIES_MAX, None);
    let answer = client.ask::<DeliveryPageView>(Method::GET, &path, None);
    Ok(answer.await?.body.deliveries)
}

/// Returns the path of one watch. The reference is escaped, so that none leads to another path.
pub(super) fn path_of(reference: &str) -> String {
    let escaped: String = form_urlencoded::byte_serialize(reference.as_bytes()).collect();
    // A form writes a blank as `+`, a path does not.
    format!("/v1/watches/{}", escaped.replace('+', "%20"))
}

fn in_words(watch: &WatchView, deliveries: &[DeliveryView], times: Times) -> String {
    let mut parts = vec![facts::of(watch, times).render()];
    if let Some(stage) = &watch.stage {
        parts.push(tables::stages(watch, stage, times).render());
    }
    if !watch.children.is_empty() {
        parts.push(tables::children(watch).render());
    }
    if let Some(transitions) = &watch.transitions {
        parts.push(tables::transitions(transitions, times).render());
    }
    if !deliveries.is_empty() {
        parts.push(deliveries::table(deliveries, times).render());
    }
    parts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_one_segment_of_the_path() {
        assert_eq!(path_of("dcs/a b?c"), "/v1/watches/dcs%2Fa%20b%3Fc");
        assert_eq!(path_of("a+b"), "/v1/watches/a%2Bb");
    }
}
