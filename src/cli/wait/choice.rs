//! The watches that a wait is about: by references, by filters, or the last submission.

use std::time::Duration;

use crate::api::groups::{GroupState, GroupView};
use crate::api::view::{PageView, WatchView};
use crate::cli::client::Client;
use crate::cli::complaint::note;
use crate::cli::exit::Exit;
use crate::cli::filter::{PAGE_MAX, Term, path_of_page};
use crate::cli::group::path_of_group;
use crate::cli::last;
use crate::cli::outage::{Patience, ask};
use crate::cli::output::complain;

/// The references in one call.
const REFS_MAX: usize = 100;
/// The time between two looks at a group that is open.
const GROUP_PAUSE: Duration = Duration::from_secs(1);
/// The most watches that one wait is about.
const WATCHES_MAX: usize = 10_000;

/// The watches of a wait.
pub(super) struct Chosen {
    /// In the order of their submission.
    pub(super) watches: Vec<WatchView>,
    /// The position in the log of events at which they were so.
    pub(super) as_of: String,
}

/// Returns the ids of this user's last submission to the daemon of `client`.
pub(super) fn last(client: &Client) -> Result<Vec<String>, Exit> {
    let usage = |message: &str| {
        complain(message);
        Exit::Usage
    };
    let file = last::file().ok_or_else(|| usage("--last needs HOME or XDG_STATE_HOME"))?;
    let ids = last::recall(&file, client.shown());
    if ids.is_empty() {
        let (url, file) = (client.shown(), file.display());
        return Err(usage(&format!(
            "this user has submitted nothing to {url} (in {file}); name the watches instead"
        )));
    }
    Ok(ids)
}

/// Asks for the watches that these references and filters name. All of them must exist.
pub(super) async fn choose(
    client: &Client,
    refs: &[String],
    filters: &[Term],
    patience: Patience,
) -> Result<Chosen, Exit> {
    let mut asking = Asking {
        client,
        patience,
        watches: Vec::new(),
        as_of: None,
    };
    if refs.is_empty() {
        asking.ask_all(&[], filters).await?;
    }
    for chunk in refs.chunks(REFS_MAX) {
        asking.ask_all(chunk, filters).await?;
    }
    let Asking {
        mut watches, as_of, ..
    } = asking;
    watches.sort_by(|a, b| a.id.cmp(&b.id));
    watches.dedup_by(|a, b| a.id == b.id);
    if watches.is_empty() {
        complain("no watch matches; `jobwatch list` shows all");
        return Err(Exit::Usage);
    }
    let as_of = as_of.unwrap_or_default();
    Ok(Chosen { watches, as_of })
}

/// Waits until a group is closed, also over restarts of the daemon.
pub(super) async fn until_complete(client: &Client, group: &str) -> Result<(), Exit> {
    let mut patience = Patience::Start;
    loop {
        let view: GroupView = ask(client, &path_of_group(group), patience).await?;
        if view.state != GroupState::Open {
            return Ok(());
        }
        if patience == Patience::Start {
            note(&format!(
                "the group `{group}` is open: waiting for its last watch, or for `jobwatch group close {group}`"
            ));
        }
        patience = Patience::Wait;
        tokio::time::sleep(GROUP_PAUSE).await;
    }
}

/// The questions for the watches of one wait.
struct Asking<'a> {
    client: &'a Client,
    patience: Patience,
    watches: Vec<WatchView>,
    /// The position of the first answer: a change after it may be in none of the others.
    as_of: Option<String>,
}

impl Asking<'_> {
    async fn ask_all(&mut self, refs: &[String], filters: &[Term]) -> Result<(), Exit> {
        let mut cursor = None;
        loop {
            let path = path(refs, filters, cursor.as_deref());
            let page: PageView = ask(self.client, &path, self.patience).await?;
            self.watches.extend(page.watches);
            self.as_of.get_or_insert(page.as_of);
            if self.watches.len() > WATCHES_MAX {
                complain(&format!(
                    "more than {WATCHES_MAX} watches match; narrow the filter, for example by --state watching or --since"
                ));
                return Err(Exit::Usage);
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }
}

fn path(refs: &[String], filters: &[Term], cursor: Option<&str>) -> String {
    let mut terms = filters.to_vec();
    terms.extend(refs.iter().map(|text| ("id", text.clone())));
    path_of_page("/v1/watches", &terms, PAGE_MAX, cursor)
}
