//! The end of a group: the event that reports how all of its watches ended.
//!
//! The id of the event is a `UUIDv5` of the oldest watch of the group and the name of the group, so
//! that it is the same after a crash, and another one if the name is used again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::watch::event::{Envelope, Event, EventKind, Instance, Millis};
use crate::watch::{Outcome, State, Watch, WatchId};

/// The most watches that the event of a group lists.
pub const LISTED_MAX: usize = 1000;

/// The outcomes of the watches of a group, collected one by one.
#[derive(Debug, Clone, Default)]
pub struct GroupEnd {
    members: u32,
    /// The members to list, by their outcome, newest first.
    listed: BTreeMap<usize, Vec<Member>>,
    outcomes: BTreeMap<Outcome, u32>,
    /// The oldest watch, and the time of its submission.
    oldest: Option<(Timestamp, WatchId)>,
    /// The service of the first watch, and whether the others have the same.
    service: Option<(String, bool)>,
}

/// One watch of a group, as its event lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Member {
    watch_id: Uuid,
    service: String,
    job_id: String,
    outcome: Outcome,
}

/// The `data` of the event of a group. The members that every event has come first, so that a
/// template for events of jobs finds them: the group takes the place of the job.
#[derive(Serialize)]
struct Data<'a> {
    watch_id: (),
    /// The service, if it is the same for all watches.
    service: Option<&'a str>,
    definition: (),
    job_id: (),
    job_type: (),
    /// The worst outcome of its watches.
    outcome: Option<Outcome>,
    status: (),
    code: (),
    /// The outcomes of its watches in words.
    reason: String,
    began_at: (),
    ended_at: (),
    submitted_at: Option<Millis>,
    noticed_at: Millis,
    polls: (),
    problems: (),
    last_problem: (),
    resources: (),
    children: [(); 0],
    labels: BTreeMap<String, String>,
    params: BTreeMap<String, String>,
    group: &'a str,
    /// The number of watches after which it closed by itself; `null` if it was closed by a call.
    size: Option<u32>,
    members: u32,
    /// The number of watches with each outcome that occurred.
    outcomes: &'a BTreeMap<Outcome, u32>,
    /// The worst outcome; `null` for a group without watches.
    worst: Option<Outcome>,
    /// The watches, the worst outcomes first.
    watches: Vec<&'a Member>,
    /// The number of watches that are not listed.
    more: u32,
    opened_at: Option<Millis>,
    finished_at: Millis,
}

impl GroupEnd {
    /// Adds a watch that has ended. Watches come newest first. Returns false for one that has not
    /// ended: the group is not over then.
    #[must_use]
    pub fn add(&mut self, watch: &Watch) -> bool {
        let State::Final(outcome) = watch.state else {
            return false;
        };
        self.members = self.members.saturating_add(1);
        *self.outcomes.entry(outcome).or_default() += 1;
        let age = (watch.submitted_at, watch.id);
        self.oldest = Some(self.oldest.map_or(age, |oldest| oldest.min(age)));
        match &mut self.service {
            Some((service, is_same)) => *is_same &= *service == watch.service,
            None => self.service = Some((watch.service.clone(), true)),
        }
        let listed = self.listed.entry(outcome.rank()).or_default();
        if listed.len() < LISTED_MAX {
            listed.push(Member {
                watch_id: watch.id.0,
                service: watch.service.clone(),
                job_id: watch.job_id.clone(),
                outcome,
            });
        }
        true
    }

    /// Composes the event of the group `name`, which finished at `now`.
    pub fn event(
        &self,
        name: &str,
        size: Option<u32>,
        instance: &Instance,
        now: Timestamp,
    ) -> Event {
        let kind = EventKind::GroupFinished;
        let oldest = self.oldest.map_or(Uuid::nil(), |(_, id)| id.0);
        let id = Uuid::new_v5(&oldest, format!("group/{name}").as_bytes());
        let by_rank = self.listed.values();
        let watches: Vec<&Member> = by_rank
            .flat_map(|same| same.iter().rev())
            .take(LISTED_MAX)
            .collect();
        let listed = u32::try_from(watches.len()).unwrap_or(u32::MAX);
        let service = self.service.as_ref().filter(|(_, is_same)| *is_same);
        let worst = Outcome::worst(self.outcomes.keys().copied());
        let opened_at = self.oldest.map(|(at, _)| at);
        let envelope = Envelope {
            specversion: "1.0",
            id,
            source: format!("/jobwatch/{}", instance.0),
            subject: name,
            type_name: kind.type_name(),
            time: Millis(now),
            datacontenttype: "application/json",
            data: Data {
                watch_id: (),
                service: service.map(|(service, _)| service.as_str()),
                definition: (),
                job_id: (),
                job_type: (),
                outcome: worst,
                status: (),
                code: (),
                reason: self.in_words(),
                began_at: (),
                ended_at: (),
                submitted_at: opened_at.map(Millis),
                noticed_at: Millis(now),
                polls: (),
                problems: (),
                last_problem: (),
                resources: (),
                children: [],
                labels: BTreeMap::new(),
                params: BTreeMap::new(),
                group: name,
                size,
                members: self.members,
                outcomes: &self.outcomes,
                worst,
                watches,
                more: self.members.saturating_sub(listed),
                opened_at: opened_at.map(Millis),
                finished_at: Millis(now),
            },
        };
        Event {
            id,
            kind,
            at: now,
            body: envelope.body(),
        }
    }

    /// Returns "1 failed, 2 succeeded", the worst first.
    fn in_words(&self) -> String {
        let mut outcomes: Vec<_> = self.outcomes.iter().collect();
        outcomes.sort_by_key(|(outcome, _)| outcome.rank());
        let words = outcomes
            .iter()
            .map(|(outcome, count)| format!("{count} {outcome}"));
        words.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::clock::later;

    fn watch(n: u64, state: State) -> Watch {
        let submitted_at = later(Timestamp::UNIX_EPOCH, Duration::from_secs(n));
        let id = WatchId(Uuid::from_u128(n.into()));
        let job_id = format!("job-{n}");
        Watch {
            state,
            ..Watch::new(id, ("dcs", "dcs"), &job_id, submitted_at, Timestamp::MAX)
        }
    }

    fn event_of(end: &GroupEnd, name: &str, at: u64) -> (Uuid, Value) {
        let now = later(Timestamp::UNIX_EPOCH, Duration::from_secs(at));
        let event = end.event(name, Some(3), &Instance("prod".to_owned()), now);
        (event.id, serde_json::from_str(&event.body).unwrap())
    }

    /// Newest first, as the store gives them.
    fn ended(outcomes: &[Outcome]) -> GroupEnd {
        let mut end = GroupEnd::default();
        for (n, outcome) in outcomes.iter().enumerate().rev() {
            let n = u64::try_from(n).unwrap() + 1;
            assert!(end.add(&watch(n, State::Final(*outcome))));
        }
        end
    }

    #[test]
    fn the_event_counts_outcomes_and_lists_the_worst_first() {
        let end = ended(&[Outcome::Succeeded, Outcome::TimedOut, Outcome::Succeeded]);
        let (_, event) = event_of(&end, "nightly", 9);
        assert_eq!(event["type"], "dev.jobwatch.group.finished");
        assert_eq!(event["subject"], "nightly");
        assert_eq!(event["source"], "/jobwatch/prod");
        let data = &event["data"];
        assert_eq!(data["outcomes"], json!({"succeeded": 2, "timed_out": 1}));
        assert_eq!((&data["members"], &data["size"]), (&json!(3), &json!(3)));
        assert_eq!(
            (&data["worst"], &data["more"]),
            (&json!("timed_out"), &json!(0))
        );
        assert_eq!(
            (&data["service"], &data["job_id"]),
            (&json!("dcs"), &Value::Null)
        );
        assert_eq!(
            (&data["outcome"], &data["reason"]),
            (&json!("timed_out"), &json!("1 timed_out, 2 succeeded"))
        );
        let watches = data["watches"].as_array().unwrap();
        let jobs: Vec<&Value> = watches.iter().map(|watch| &watch["job_id"]).collect();
        assert_eq!(jobs, ["job-2", "job-1", "job-3"]);
        assert_eq!(data["opened_at"], "1970-01-01T00:00:01.000Z");
        assert_eq!(data["finished_at"], "1970-01-01T00:00:09.000Z");
    }

    #[test]
    fn the_id_is_that_of_the_opening_and_not_of_the_moment() {
        let end = ended(&[Outcome::Succeeded, Outcome::Failed]);
        let (id, _) = event_of(&end, "nightly", 9);
        assert_eq!(event_of(&end, "nightly", 10).0, id);
        assert_ne!(event_of(&end, "weekly", 9).0, id);
        let mut later_group = GroupEnd::default();
        assert!(later_group.add(&watch(7, State::Final(Outcome::Succeeded))));
        assert_ne!(event_of(&later_group, "nightly", 9).0, id);
    }

    #[test]
    fn a_watch_that_goes_on_is_not_added() {
        let mut end = ended(&[Outcome::Succeeded]);
        assert!(!end.add(&watch(2, State::Watching)));
        assert_eq!(event_of(&end, "nightly", 9).1["data"]["members"], 1);
    }

    #[test]
    fn at_most_a_thousand_watches_are_listed() {
        let mut outcomes = vec![Outcome::Succeeded; 2 * LISTED_MAX];
        outcomes[0] = Outcome::Failed;
        let (_, event) = event_of(&ended(&outcomes), "large", 9);
        let data = &event["data"];
        assert_eq!(data["watches"].as_array().unwrap().len(), LISTED_MAX);
        assert_eq!(data["watches"][0]["outcome"], "failed");
        assert_eq!(
            (&data["members"], &data["more"]),
            (&json!(2000), &json!(1000))
        );
    }
}
