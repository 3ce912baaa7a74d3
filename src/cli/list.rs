//! `jobwatch list`: lists watches, newest first.

use clap::Args;
use http::Method;

use crate::api::view::{PageView, WatchView};
use crate::cli::Exit;
use crate::cli::client::{DaemonArgs, query_of};
use crate::cli::output::{Paint, Table, or_dash, plain, say, say_json, time};

#[derive(Args)]
pub(super) struct List {
    /// Only watches in this state: watching, or an outcome such as failed
    #[arg(long)]
    state: Option<String>,
    /// Only watches on this service
    #[arg(long)]
    service: Option<String>,
    /// Only watches with this label
    #[arg(long, value_name = "NAME=VALUE")]
    label: Option<String>,
    /// The number of watches to list, at most 1000
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

impl List {
    pub(super) async fn execute(self) -> Exit {
        match self.list().await {
            Ok(()) => Exit::Done,
            Err(exit) => exit,
        }
    }

    async fn list(&self) -> Result<(), Exit> {
        let path = format!("/v1/watches?{}", self.query());
        let client = self.daemon.client()?;
        let page = client.ask::<PageView>(Method::GET, &path, None).await?.body;
        if self.json {
            say_json(&page);
            return Ok(());
        }
        if page.watches.is_empty() {
            say("no watches");
            return Ok(());
        }
        say(&table(&page.watches));
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
                ("service", self.service.as_deref()),
                ("label", self.label.as_deref()),
                ("cursor", self.cursor.as_deref()),
            ],
        )
    }
}

fn table(watches: &[WatchView]) -> String {
    let paint = Paint::for_stdout();
    let mut table = Table::with_header(&[
        "ID",
        "SERVICE",
        "JOB",
        "STATE",
        "STATUS",
        "POLLS",
        "SUBMITTED",
    ]);
    for watch in watches {
        table.row(vec![
            watch.id.clone(),
            watch.service.clone(),
            plain(&watch.job_id),
            paint.state(&watch.state),
            or_dash(watch.status.as_deref()),
            watch.polls.to_string(),
            time(watch.submitted_at),
        ]);
    }
    table.render()
}
