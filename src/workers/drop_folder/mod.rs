//! The drop folder: takes submissions that other programs write as files, and leaves the results
//! there, for programs that share only a volume with jobwatch.
//!
//! `NAME.json` is submitted and moved to `accepted/`, with the watch beside it as `NAME.watch`, or
//! to `rejected/`, with the reason as `NAME.error`. The final event appears as
//! `finished/NAME.json`. A file moves only after its watch is committed, and `NAME.watch` goes
//! only after the event is on the disk; so a crash repeats a step and loses nothing.

mod folder;
mod submission;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::actions::Actions;
use crate::actions::submit::SubmitError;
use crate::store::{Cursor, SharedStore, StoreError};
use crate::watch::event::EventKind;
use crate::watch::{State, WatchId};
use crate::workers::drop_folder::folder::Folder;
use crate::workers::drop_folder::submission::{Link, Rejection, Taken, request_in};

pub use crate::workers::drop_folder::folder::write_new;

/// The interval between two looks into the folder.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The most files that one look takes; the others wait for the next look.
const TAKEN_MAX: usize = 1000;
/// The most events that are read from the log at once.
const EVENTS_MAX: usize = 1000;
/// The most watches that are read from the store at once.
const WATCHES_MAX: usize = 500;
/// The most events of one watch among which its end is looked for.
const EVENTS_OF_WATCH: usize = 1000;

/// Takes the submissions of one drop folder.
pub struct DropFolder {
    path: PathBuf,
    actions: Arc<Actions>,
    store: SharedStore,
    open: tokio::sync::Mutex<Option<Open>>,
    /// The trouble that was logged last; it is logged again only after it has changed.
    trouble: Mutex<Option<String>>,
    /// The files that were left out; each one was logged.
    left_out: Mutex<BTreeSet<String>>,
}

/// The watches of the folder that have not ended, and the place in the log of events up to which
/// their ends are known.
struct Open {
    names: BTreeMap<WatchId, BTreeSet<String>>,
    cursor: Cursor,
}

/// A look was not completed; the next one continues.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("{0}")]
    Folder(#[from] io::Error),
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
}

impl DropFolder {
    pub fn new(path: PathBuf, actions: Arc<Actions>, store: SharedStore) -> Self {
        Self {
            path,
            actions,
            store,
            open: tokio::sync::Mutex::default(),
            trouble: Mutex::default(),
            left_out: Mutex::default(),
        }
    }

    /// Looks into the folder until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let looking = async {
            loop {
                self.run_once().await;
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    /// Takes the new submissions and writes the events of the ended watches. Returns the number
    /// of files that were moved or written. Trouble is logged, and the next call tries again.
    pub async fn run_once(&self) -> usize {
        let mut open = self.open.lock().await;
        let done = self.look(&mut open).await;
        if matches!(done, Err(LookError::Store(StoreError::UnknownCursor(_)))) {
            // The log was cut; the watches are read again.
            *open = None;
        }
        let trouble = done.as_ref().err().map(ToString::to_string);
        let mut logged = self.trouble.lock();
        if *logged != trouble {
            let folder = self.path.display();
            if let Some(reason) = &trouble {
                tracing::error!(%folder, reason, "the drop folder cannot be used; trying again each second");
            } else {
                tracing::info!(%folder, "the drop folder can be used again");
            }
            *logged = trouble;
        }
        done.unwrap_or_default()
    }

    async fn look(&self, open: &mut Option<Open>) -> Result<usize, LookError> {
        let folder = self.on_disk(|folder| Ok(folder.clone())).await?;
        let mut count = 0;
        if open.is_none() {
            let (state, ended) = self.load(&folder).await?;
            *open = Some(state);
            count += ended;
        }
        let Some(state) = open else { return Ok(count) };
        let left_out = self.left_out.lock().clone();
        let taken = blocking(&folder, move |folder| folder.take(TAKEN_MAX, &left_out)).await?;
        self.note_left_out(taken.left_out);
        for taken in taken.files {
            count += self.submit(&folder, taken, state).await?;
        }
        Ok(count + self.finish(&folder, state).await?)
    }

    /// Opens the folder and runs `work` in it, where it may block.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let path = self.path.clone();
        let done = tokio::task::spawn_blocking(move || work(&Folder::open(&path)?)).await;
        done.map_err(io::Error::other)?
    }

    fn note_left_out(&self, files: Vec<(String, String)>) {
        let mut known = self.left_out.lock();
        // A file that is gone, or can be read now, is reported again if it comes back.
        known.retain(|name| files.iter().any(|(left, _)| left == name));
        for (file, reason) in files {
            if !reason.is_empty() && known.insert(file.clone()) {
                let folder = self.path.display();
                tracing::warn!(%folder, file, reason, "left out a file of the drop folder");
            }
        }
    }

    /// Reads the links of the last run, and writes the events of watches that have ended since.
    async fn load(&self, folder: &Folder) -> Result<(Open, usize), LookError> {
        // Before the watches are read, so that no end falls between.
        let cursor = self.store.cursor().await?;
        let links = blocking(folder, Folder::links).await?;
        let mut count = 0;
        let mut names: BTreeMap<WatchId, BTreeSet<String>> = BTreeMap::new();
        for some in links.chunks(WATCHES_MAX) {
            let ids = some.iter().map(|(_, link)| link.id).collect();
            let watches = self.store.watches_by_id(ids).await?;
            for (name, link) in some {
                let watch = watches.iter().find(|watch| watch.id == link.id);
                match watch.map(|watch| watch.state) {
                    Some(State::Watching) => {
                        names.entry(link.id).or_default().insert(name.clone());
                    }
                    Some(State::Final(_)) => {
                        self.finish_one(folder, name, link.id).await?;
                        count += 1;
                    }
                    None => {
                        self.lose(folder, name, link.id).await?;
                        count += 1;
                    }
                }
            }
        }
        Ok((Open { names, cursor }, count))
    }

    /// Submits one file and moves it. Returns 1 if it moved.
    async fn submit(
        &self,
        folder: &Folder,
        taken: Taken,
        open: &mut Open,
    ) -> Result<usize, LookError> {
        let name = taken.name.clone();
        let wanted = name.clone();
        let before = blocking(folder, move |folder| folder.link(&wanted)).await?;
        let link = match before {
            // A crash came between the link and the move.
            Some(link) if link.request == taken.hash() => Ok(link),
            Some(link) => Err(Rejection::name_in_use(&name, link.id)),
            None => self.accept(&taken).await?,
        };
        match link {
            Ok(link) => {
                let id = link.id;
                blocking(folder, move |folder| folder.accept(&taken, &link)).await?;
                tracing::info!(watch_id = %id, file = name, "accepted from the drop folder");
                let ended = self.store.watch(id).await?;
                if ended.is_some_and(|watch| watch.state.outcome().is_some()) {
                    self.finish_one(folder, &name, id).await?;
                } else {
                    open.names.entry(id).or_default().insert(name);
                }
            }
            Err(rejection) => {
                tracing::error!(
                    file = name,
                    reason = rejection.in_words(),
                    "rejected a file of the drop folder"
                );
                blocking(folder, move |folder| {
                    folder.reject(&taken, &rejection.document())
                })
                .await?;
            }
        }
        Ok(1)
    }

    async fn accept(&self, taken: &Taken) -> Result<Result<Link, Rejection>, StoreError> {
        let request = match request_in(taken) {
            Ok(request) => request,
            Err(rejection) => return Ok(Err(rejection)),
        };
        match self.actions.submit(&request).await {
            Ok(submission) => Ok(Ok(Link::of(&submission.watch, taken.hash()))),
            Err(SubmitError::Refused(faults)) => Ok(Err(Rejection::refused(faults))),
            Err(SubmitError::Store(error)) => Err(error),
        }
    }

    /// Writes the final events that the log has gained.
    async fn finish(&self, folder: &Folder, open: &mut Open) -> Result<usize, LookError> {
        let mut count = 0;
        loop {
            let page = self.store.events_after(&open.cursor, EVENTS_MAX).await?;
            for event in page.events {
                let kind = EventKind::from_type_name(&event.type_name);
                let is_end = matches!(kind, Some(EventKind::Finished(_)));
                let id = event.watch_id.filter(|_| is_end);
                let names = id.and_then(|id| open.names.get(&id)).cloned();
                for name in names.unwrap_or_default() {
                    self.write_event(folder, &name, event.body.clone()).await?;
                    count += 1;
                }
                if let Some(id) = id {
                    open.names.remove(&id);
                }
                open.cursor = event.cursor;
            }
            open.cursor = page.next;
            if !page.more {
                return Ok(count);
            }
        }
    }

    async fn finish_one(&self, folder: &Folder, name: &str, id: WatchId) -> Result<(), LookError> {
        let events = self.store.events_of(id, EVENTS_OF_WATCH).await?;
        let is_end = |type_name: &str| {
            let kind = EventKind::from_type_name(type_name);
            matches!(kind, Some(EventKind::Finished(_)))
        };
        match events.into_iter().find(|event| is_end(&event.type_name)) {
            Some(event) => self.write_event(folder, name, event.body).await,
            None => self.lose(folder, name, id).await,
        }
    }

    async fn write_event(
        &self,
        folder: &Folder,
        name: &str,
        body: String,
    ) -> Result<(), LookError> {
        let name = name.to_owned();
        blocking(folder, move |folder| folder.finish(&name, &body)).await?;
        Ok(())
    }

    /// Gives up a link whose watch or event the store does not have any more.
    async fn lose(&self, folder: &Folder, name: &str, id: WatchId) -> Result<(), LookError> {
        let rejection = Rejection::watch_is_gone(id);
        tracing::error!(
            file = name,
            reason = rejection.in_words(),
            "rejected a file of the drop folder"
        );
        let name = name.to_owned();
        blocking(folder, move |folder| {
            folder.lose(&name, &rejection.document())
        })
        .await?;
        Ok(())
    }
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(
    folder: &Folder,
    work: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let folder = folder.clone();
    let done = tokio::task::spawn_blocking(move || work(&folder)).await;
    done.map_err(io::Error::other)?
}
