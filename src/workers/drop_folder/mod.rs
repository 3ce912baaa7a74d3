//! The drop folder: takes submissions that other programs write as files, and leaves the results
//! there, for programs that share only a volume with jobwatch.
//!
//! `NAME.json` is submitted and moved to `accepted/`, with the watch beside it as `NAME.watch`, or
//! to `rejected/`, with the reason as `NAME.error`. The final event appears as
//! `finished/NAME.json`. A file moves only after its watch is committed, and `NAME.watch` goes
//! only after the event is on the disk; so a crash repeats a step and loses nothing.
//!
//! An obstacle of one name (a folder in the place of a file, say) holds up that name alone: it is
//! logged once and tried again at each look. Only trouble of the folder itself ends a look.

mod folder;
mod part;
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
use crate::store::{Cursor, LoggedEvent, SharedStore, StoreError};
use crate::watch::event::EventKind;
use crate::watch::{State, WatchId};
use crate::workers::drop_folder::folder::{Folder, LINKS_MAX};
use crate::workers::drop_folder::part::FileError;
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
    left_out: Mutex<LeftOut>,
}

/// The files that stay where they are, since they are no submission or cannot be moved.
#[derive(Default)]
struct LeftOut {
    /// The files that were logged.
    known: BTreeSet<String>,
    /// Those that could not be moved. The following looks take the other files first, so that
    /// these do not fill each look; then all are tried again.
    tried: BTreeSet<String>,
}

/// The watches of the folder that have not ended, and the place in the log of events up to which
/// their ends are known.
struct Open {
    names: BTreeMap<WatchId, BTreeSet<String>>,
    /// The accepted names whose link is to be read at the next look: new ones, and those that
    /// met an obstacle, with the reason that was logged.
    due: BTreeMap<String, String>,
    cursor: Cursor,
}

/// Work was not completed; the next look continues.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("{0}")]
    Folder(#[from] io::Error),
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    /// One file met an obstacle; the look goes on with the others.
    #[error("{0}")]
    File(FileError),
}

impl From<FileError> for LookError {
    fn from(error: FileError) -> Self {
        if error.is_of_folder() {
            Self::Folder(error.into())
        } else {
            Self::File(error)
        }
    }
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
        if open.is_none() {
            *open = Some(self.load(&folder).await?);
        }
        let Some(state) = open else { return Ok(0) };
        // Each part runs also if an earlier one failed: events do not wait for submissions.
        let taken = self.take(&folder, state).await;
        let followed = self.follow(&folder, state).await;
        let finished = self.finish(&folder, state).await;
        if matches!(
            finished,
            Err(LookError::Store(
                StoreError::UnknownCursor(_) | StoreError::PrunedCursor(_)
            ))
        ) {
            // The log was cut; the watches are read again.
            *open = None;
        }
        Ok(taken? + followed? + finished?)
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

    /// Logs the files that were not logged before.
    fn note_left_out(&self, files: Vec<(String, String)>, is_round_over: bool) {
        let mut left_out = self.left_out.lock();
        if is_round_over {
            // A file that is gone, or can be read now, is reported again if it comes back.
            let mut still = std::mem::take(&mut left_out.tried);
            still.extend(files.iter().map(|(file, _)| file.clone()));
            left_out.known.retain(|file| still.contains(file));
        }
        for (file, reason) in files {
            if left_out.known.insert(file.clone()) {
                let folder = self.path.display();
                tracing::warn!(%folder, file, reason, "left out a file of the drop folder");
            }
        }
    }

    /// Finds the links of the last run.
    async fn load(&self, folder: &Folder) -> Result<Open, LookError> {
        // Before the watches are read, so that no end falls between.
        let cursor = self.store.cursor().await?;
        let names = blocking(folder, Folder::accepted).await?;
        Ok(Open {
            names: BTreeMap::new(),
            due: names
                .into_iter()
                .map(|name| (name, String::new()))
                .collect(),
            cursor,
        })
    }

    /// Takes new files. Returns the number of those that moved.
    async fn take(&self, folder: &Folder, open: &mut Open) -> Result<usize, LookError> {
        let tried = self.left_out.lock().tried.clone();
        let look = blocking(folder, move |folder| folder.take(TAKEN_MAX, &tried)).await?;
        let has_all = look.files.len() < TAKEN_MAX;
        let mut left_out = look.left_out;
        let mut done = Ok(0);
        for taken in look.files {
            let file = format!("{}.json", taken.name);
            match self.submit(folder, taken, open).await {
                Ok(()) => done = done.map(|count| count + 1),
                Err(LookError::File(error)) => {
                    self.left_out.lock().tried.insert(file.clone());
                    left_out.push((file, error.to_string()));
                }
                Err(error) => {
                    done = Err(error);
                    break;
                }
            }
        }
        let is_full = self.left_out.lock().tried.len() >= LINKS_MAX;
        self.note_left_out(left_out, has_all || is_full);
        done
    }

    /// Submits one file and moves it.
    async fn submit(
        &self,
        folder: &Folder,
        taken: Taken,
        open: &mut Open,
    ) -> Result<(), LookError> {
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
                // Also if the file does not move: its link may be on the disk by then.
                open.due.entry(name.clone()).or_default();
                blocking(folder, move |folder| folder.accept(&taken, &link)).await?;
                tracing::info!(watch_id = %id, file = name, "accepted from the drop folder");
            }
            Err(rejection) => {
                let reason = rejection.in_words();
                let document = rejection.document();
                blocking(folder, move |folder| folder.reject(&taken, &document)).await?;
                tracing::error!(file = name, reason, "rejected a file of the drop folder");
            }
        }
        Ok(())
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

    /// Reads the links that are due, and follows their watches. Returns the number of those
    /// that have ended, whose events are written.
    async fn follow(&self, folder: &Folder, open: &mut Open) -> Result<usize, LookError> {
        let due: Vec<String> = open.due.keys().cloned().collect();
        let mut count = 0;
        for names in due.chunks(WATCHES_MAX) {
            let names = names.to_vec();
            let links = blocking(folder, move |folder| folder.links(names)).await?;
            let ids = links
                .iter()
                .filter_map(|(_, link)| link.as_ref().ok()?.as_ref());
            let ids = ids.map(|link| link.id).collect();
            let watches = self.store.watches_by_id(ids).await?;
            let states: BTreeMap<WatchId, State> = watches
                .iter()
                .map(|watch| (watch.id, watch.state))
                .collect();
            for (name, link) in links {
                let id = match link {
                    Ok(Some(link)) => link.id,
                    Ok(None) => {
                        open.due.remove(&name);
                        continue;
                    }
                    Err(error) => {
                        self.settle(open, &name, Err(error.into()))?;
                        continue;
                    }
                };
                let done = match states.get(&id) {
                    Some(State::Watching) => {
                        open.due.remove(&name);
                        open.names.entry(id).or_default().insert(name);
                        continue;
                    }
                    Some(State::Final(_)) => self.finish_one(folder, &name, id).await,
                    None => self.lose(folder, &name, id).await,
                };
                count += self.settle(open, &name, done)?;
            }
        }
        Ok(count)
    }

    /// Writes the final events that the log has gained.
    async fn finish(&self, folder: &Folder, open: &mut Open) -> Result<usize, LookError> {
        let mut count = 0;
        loop {
            let page = self.store.events_after(&open.cursor, EVENTS_MAX).await?;
            for event in page.events {
                count += self.finish_all(folder, &event, open).await?;
                open.cursor = event.cursor;
            }
            open.cursor = page.next;
            if !page.more {
                return Ok(count);
            }
        }
    }

    /// Writes the event for each name of its watch, if it is an end.
    async fn finish_all(
        &self,
        folder: &Folder,
        event: &LoggedEvent,
        open: &mut Open,
    ) -> Result<usize, LookError> {
        let Some(id) = event.watch_id.filter(|_| is_end(&event.type_name)) else {
            return Ok(0);
        };
        let mut count = 0;
        for name in open.names.get(&id).cloned().unwrap_or_default() {
            let done = self.write_event(folder, &name, event.body.clone()).await;
            count += self.settle(open, &name, done)?;
        }
        open.names.remove(&id);
        Ok(count)
    }

    /// Ends the work on an accepted name. One that met an obstacle is due again; the reason is
    /// logged once. Returns 1 if the work is done.
    fn settle(
        &self,
        open: &mut Open,
        name: &str,
        done: Result<(), LookError>,
    ) -> Result<usize, LookError> {
        match done {
            Ok(()) => {
                open.due.remove(name);
                Ok(1)
            }
            Err(LookError::File(error)) => {
                let reason = error.to_string();
                let logged = open.due.entry(name.to_owned()).or_default();
                if *logged != reason {
                    let folder = self.path.display();
                    tracing::error!(%folder, name, reason, "cannot use a file of the drop folder; trying again each second");
                    *logged = reason;
                }
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    async fn finish_one(&self, folder: &Folder, name: &str, id: WatchId) -> Result<(), LookError> {
        let events = self.store.events_of(id, EVENTS_OF_WATCH).await?;
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
        blocking(folder, move |folder| folder.finish(&name, &body)).await
    }

    /// Gives up a link whose watch or event the store does not have any more.
    async fn lose(&self, folder: &Folder, name: &str, id: WatchId) -> Result<(), LookError> {
        let rejection = Rejection::watch_is_gone(id);
        let (reason, document) = (rejection.in_words(), rejection.document());
        let lost = name.to_owned();
        blocking(folder, move |folder| folder.lose(&lost, &document)).await?;
        tracing::error!(file = name, reason, "rejected a file of the drop folder");
        Ok(())
    }
}

fn is_end(type_name: &str) -> bool {
    let kind = EventKind::from_type_name(type_name);
    matches!(kind, Some(EventKind::Finished(_)))
}

/// Runs `work` where it may block.
async fn blocking<T, E>(
    folder: &Folder,
    work: impl FnOnce(&Folder) -> Result<T, E> + Send + 'static,
) -> Result<T, LookError>
where
    T: Send + 'static,
    E: Send + 'static,
    LookError: From<E>,
{
    let folder = folder.clone();
    let done = tokio::task::spawn_blocking(move || work(&folder)).await;
    Ok(done.map_err(io::Error::other)??)
}
