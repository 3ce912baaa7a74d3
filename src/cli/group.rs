//! `jobwatch group`: shows or closes a group of watches.

use clap::{Args, Subcommand};
use http::Method;

use crate::api::groups::{GroupState, GroupView};
use crate::cli::Exit;
use crate::cli::client::DaemonArgs;
use crate::cli::output::{say, say_json};
use crate::watch::request::is_group_name;

/// Shows or closes a group of watches.
#[derive(Args)]
pub(super) struct Group {
    #[command(subcommand)]
    command: GroupCommand,
}

#[derive(Subcommand)]
enum GroupCommand {
    /// Show a group: its size, its watches, and those that have not ended
    Show(Named),
    /// Close a group: it takes no more watches, and finishes when all of them have ended
    Close(Named),
}

#[derive(Args)]
struct Named {
    /// The name of the group
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

impl Group {
    pub(super) async fn execute(self) -> Exit {
        let (method, named, action) = match self.command {
            GroupCommand::Show(named) => (Method::GET, named, ""),
            GroupCommand::Close(named) => (Method::POST, named, "/close"),
        };
        match named.call(method, action).await {
            Ok(()) => Exit::Done,
            Err(exit) => exit,
        }
    }
}

impl Named {
    async fn call(&self, method: Method, action: &str) -> Result<(), Exit> {
        // A name has no characters that a path must escape.
        let path = format!("/v1/groups/{}{action}", self.name);
        let client = self.daemon.client()?;
        let group = client.ask::<GroupView>(method, &path, None).await?.body;
        if self.json {
            say_json(&group);
        } else {
            say(&in_words(&group));
        }
        Ok(())
    }
}

/// Reads the name of a group.
fn name(text: &str) -> Result<String, String> {
    if is_group_name(text) {
        Ok(text.to_owned())
    } else {
        Err("a name has 1 to 64 letters, digits, `.`, `_` or `-`".to_owned())
    }
}

fn in_words(group: &GroupView) -> String {
    let GroupView {
        name,
        members,
        watching,
        ..
    } = group;
    let watches = if *members == 1 { "watch" } else { "watches" };
    let of = group
        .size
        .map_or_else(String::new, |size| format!(" of {size}"));
    match group.state {
        GroupState::Open => {
            format!("{name} is open: {members}{of} {watches}, {watching} not ended")
        }
        GroupState::Closed => {
            format!("{name} is closed: {members} {watches}, {watching} not ended")
        }
        GroupState::Finished => format!("{name} has finished: {members} {watches}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_one_line() {
        let group = |state, size| GroupView {
            name: "nightly".to_owned(),
            state,
            size,
            members: 2,
            watching: 1,
            closed_at: None,
            finished_at: None,
        };
        let open = in_words(&group(GroupState::Open, Some(3)));
        assert_eq!(open, "nightly is open: 2 of 3 watches, 1 not ended");
        let closed = in_words(&group(GroupState::Closed, None));
        assert_eq!(closed, "nightly is closed: 2 watches, 1 not ended");
        assert!(name("a/b").is_err() && name("a.b-1").is_ok());
    }
}
