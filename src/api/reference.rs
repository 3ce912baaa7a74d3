//! References to watches in paths and queries: from a text to the one watch that it names.

use crate::actions::Polling;
use crate::api::Api;
use crate::api::error::{ApiError, Match};
use crate::watch::reference::Reference;
use crate::watch::{Watch, WatchId};

/// The most watches that an ambiguous reference lists.
const MATCHES_MAX: usize = 20;

impl Api {
    /// Returns the one watch that a reference names.
    pub(crate) async fn resolve(&self, text: &str) -> Result<Watch, ApiError> {
        let reference = parse(text)?;
        let found = match reference {
            Reference::Id(id) => self.store.watch(id).await?.into_iter().collect(),
            other => self.store.find(&other, MATCHES_MAX + 1).await?,
        };
        one_of(text, found)
    }

    /// Returns the id of the watch that a reference names. A whole id of a watch that goes on is not
    /// looked up in the store.
    pub(crate) async fn resolve_id(&self, text: &str) -> Result<WatchId, ApiError> {
        let reference = parse(text)?;
        // The readings of a whole id come first.
        if let Some(Reference::Id(id)) = reference.readings().first()
            && self.poller.progress(*id).is_some()
        {
            return Ok(*id);
        }
        Ok(self.resolve(text).await?.id)
    }
}

fn parse(text: &str) -> Result<Reference, ApiError> {
    Reference::parse(text).map_err(|message| ApiError::bad_reference(text, message))
}

fn one_of(text: &str, found: Vec<Watch>) -> Result<Watch, ApiError> {
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (None, _) => Err(ApiError::no_such_watch(text)),
        (Some(only), None) => Ok(only),
        (Some(first), Some(second)) => {
            let all = [first, second].into_iter().chain(found);
            let matches: Vec<Match> = all.map(Match::from).collect();
            Err(ApiError::ambiguous(text, matches, MATCHES_MAX))
        }
    }
}
