//! `jobwatch group`: shows a group of watches, or closes it.

use clap::{Args, Subcommand};
use http::Method;

use crate::api::groups::{GroupState, GroupView};
use crate::cli::Exit;
use crate::cli::age::Times;
use crate::cli::client::DaemonArgs;
use crate::cli::filter::exact;
use crate::cli::output::{say, say_json};
use crate::cli::table::{Table, plain};

/// Shows or closes a group: watches that belong together, with one event for the end of all.
///
/// `jobwatch wait --group NAME` waits for them, and `jobwatch list --group NAME` lists them.
#[derive(Args)]
pub(super) struct Group {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show a group: its size, and how many of its watches go on
    Show(OneGroup),
    /// Close a group: no watch can join it any more, and its event is sent when the last watch
    /// has ended
    Close(OneGroup),
}

#[derive(Args)]
struct OneGroup {
    /// The name of the group
    #[arg(value_parser = exact)]
    name: String,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

impl Group {
    pub(super) async fn execute(self) -> Exit {
        let asked = match &self.command {
            Command::Show(group) => group.ask(Method::GET, "").await,
            Command::Close(group) => group.ask(Method::POST, "/close").await,
        };
        match asked {
            Ok(()) => Exit::Done,
            Err(exit) => exit,
        }
    }
}

impl OneGroup {
    async fn ask(&self, method: Method, action: &str) -> Result<(), Exit> {
        let path = format!("{}{action}", path_of_group(&self.name));
        let client = self.daemon.client()?;
        let group = client.ask::<GroupView>(method, &path, None).await?.body;
        if self.json {
            say_json(&group);
        } else {
            say(&in_words(&group, Times::from_now(false)));
        }
        Ok(())
    }
}

/// Returns the path of one group. The name is escaped, so that none leads to another path.
pub(super) fn path_of_group(name: &str) -> String {
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("/v1/groups/{name}")
}

fn in_words(group: &GroupView, times: Times) -> String {
    let mut table = Table::default();
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            table.row(vec![name.to_owned(), value]);
        }
    };
    let members = match group.size {
        Some(size) => format!("{} of {size}", group.members),
        None => group.members.to_string(),
    };
    row("group", Some(plain(&group.name)));
    row("state", Some(state(group.state).to_owned()));
    row("watches", Some(members));
    row("watching", Some(group.watching.to_string()));
    row("closed", group.closed_at.map(|at| times.show(at)));
    row("finished", group.finished_at.map(|at| times.show(at)));
    table.render()
}

fn state(state: GroupState) -> &'static str {
    match state {
        GroupState::Open => "open: it takes more watches",
        GroupState::Closed => "closed: it waits for the end of its watches",
        GroupState::Finished => "finished",
    }
}
