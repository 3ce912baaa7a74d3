//! The facts beside the state: the run, the pace of the next poll, and the next job.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock::until;
use crate::definition::answer::Answer;
use crate::definition::reading::Reading;
use crate::definition::reading::job::read_time;
use crate::definition::selector::View;
use crate::watch::observation::{JobState, Sighting, bounded};

/// The difference between the clocks from which a time is moved.
///
/// `now` is the time before the request, and the service writes `Date`, in whole seconds, some time
/// after it. A slow answer therefore looks like a clock that is ahead. The bound is longer than the
/// default of `request_timeout`, 30 s, so latency alone moves nothing. A smaller difference of the
/// clocks stays within the minute that `since` lies before a submission.
const CLOCKS_DIFFER: Duration = Duration::from_secs(45);

impl Reading<'_> {
    /// Adds the facts beside the state to a sighting. Those of the run start at the `item`; those
    /// of the next job that find nothing there, at the `whole` answer.
    pub(super) fn add_beside(&self, sighting: &mut Sighting, item: View<'_>, whole: View<'_>) {
        let definition = self.definition;
        sighting.run = definition.run.all_joined(item).map(bounded);
        let zone = &definition.answer.zone;
        let warnings = &mut sighting.warnings;
        let at = read_time(&definition.since, item, "since", zone, warnings);
        sighting.run_at = at.map(|at| by_our_clock(at, self.answer, self.now));
        sighting.follow = definition.next.follow(item, whole);
        if sighting.job.state == JobState::Succeeded {
            sighting.next = definition.next.job(item, whole);
        }
    }

    /// Returns the time to the next poll that the answer names.
    pub(super) fn pace(&self, item: View<'_>, whole: View<'_>) -> Option<Duration> {
        let places = &self.definition.pace;
        let at = |view| places.iter().find_map(|place| place.read(view, self.now));
        at(item).or_else(|| at(whole))
    }
}

/// Moves a time of the service to our clock, by the header `Date` of its answer. The header
/// `Age` says for how long a cache has kept that answer.
pub(in crate::definition) fn by_our_clock(
    at: Timestamp,
    answer: &Answer<'_>,
    now: Timestamp,
) -> Timestamp {
    let date = answer.header("date");
    let date = date.and_then(|date| httpdate::parse_http_date(&date).ok());
    let Some(date) = date.and_then(|date| Timestamp::try_from(date).ok()) else {
        return at;
    };
    let age = answer.header("age").and_then(|age| age.parse::<u32>().ok());
    let age = SignedDuration::from_secs(i64::from(age.unwrap_or_default()));
    let theirs = date.checked_add(age).unwrap_or(date);
    if until(theirs, now).max(until(now, theirs)) < CLOCKS_DIFFER {
        return at;
    }
    at.checked_add(now.duration_since(theirs)).unwrap_or(at)
}
