//! The blind periods of services, in which no job of them could be seen; their two events; and the
//! deadlines that stand still meanwhile.
//!
//! A service is *blind* while it cannot be asked about any job. The id of each event is a
//! `UUIDv5` of the beginning, so that it is the same after a crash.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::clock::{later, until};
use crate::watch::event::{Envelope, Event, EventKind, Instance, Millis};
use crate::watch::observation::ProblemNote;

/// The event that reports a blind period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// None of its own yet: jobwatch was offline, and one of the services has answered since.
    NotYet,
    /// An event of its own.
    Alone,
    /// The event that says that jobwatch is offline, about several services at once.
    Offline,
}

impl Reported {
    const WORDS: [(Self, &'static str); 3] = [
        (Self::NotYet, "not_yet"),
        (Self::Alone, "alone"),
        (Self::Offline, "together"),
    ];

    /// Returns the word that SQL uses.
    pub fn as_str(self) -> &'static str {
        let mut words = Self::WORDS.iter();
        words
            .find(|(value, _)| *value == self)
            .map_or("", |(_, word)| word)
    }

    /// Returns the value of a word; `None` for an unknown one.
    pub fn from_word(word: &str) -> Option<Self> {
        let mut words = Self::WORDS.iter();
        words
            .find(|(_, known)| *known == word)
            .map(|(value, _)| *value)
    }
}

/// One period in which a service was blind. It begins with the first problem, not with the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlindPeriod {
    /// The name of the service.
    pub service: String,
    pub since: Timestamp,
    /// The time of the first answer to a question about a job; `None` before it.
    pub until: Option<Timestamp>,
    /// The last problem that was met.
    pub cause: ProblemNote,
    pub reported: Reported,
}

/// Returns a deadline, later by the blind periods of its service. A period that has not ended
/// counts up to `now`. Time before the submission does not count, nor do periods that began after
/// the deadline. `periods` are those of one service, oldest first.
pub fn extended<'a>(
    deadline: Timestamp,
    submitted_at: Timestamp,
    periods: impl IntoIterator<Item = &'a BlindPeriod>,
    now: Timestamp,
) -> Timestamp {
    periods.into_iter().fold(deadline, |deadline, period| {
        let begins = period.since.max(submitted_at);
        if begins < deadline {
            later(deadline, until(begins, period.until.unwrap_or(now)))
        } else {
            deadline
        }
    })
}

/// The contents of the two events about a blind period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlindReport {
    /// The kind: `Blind` or `Sighted`.
    pub kind: EventKind,
    /// The service; `None` if jobwatch is offline.
    pub service: Option<String>,
    /// Every service that the event is about, sorted.
    pub services: Vec<String>,
    pub since: Timestamp,
    /// The last problem that was met.
    pub cause: ProblemNote,
    /// The number of their watches that go on.
    pub watches: usize,
}

/// The `data` of both events. The members that every event has come first, so that a template for
/// events of jobs finds them.
#[derive(Serialize)]
struct Data<'a> {
    watch_id: (),
    /// The service; `null` if jobwatch is offline.
    service: Option<&'a str>,
    definition: (),
    job_id: (),
    job_type: (),
    outcome: (),
    status: (),
    /// The error code of the last problem.
    code: Option<&'a str>,
    /// The event in words, with the last problem.
    reason: String,
    began_at: (),
    ended_at: (),
    submitted_at: (),
    noticed_at: Millis,
    polls: (),
    problems: (),
    last_problem: &'a ProblemNote,
    resources: (),
    children: [(); 0],
    labels: BTreeMap<String, String>,
    params: BTreeMap<String, String>,
    /// The services that the event is about.
    services: &'a [String],
    /// The number of their watches that go on.
    watches: usize,
    /// The time of the first problem.
    blind_since: Millis,
    /// How long no job could be seen, up to this event.
    blind_seconds: u64,
}

impl BlindReport {
    /// Composes the event, which is noticed at `now`.
    pub fn event(&self, instance: &Instance, now: Timestamp) -> Event {
        let own = format!("/jobwatch/{}", instance.0);
        let (source, subject) = match &self.service {
            Some(service) => (format!("{own}/{service}"), service.as_str()),
            None => (own, instance.0.as_str()),
        };
        let type_name = self.kind.type_name();
        let fact = format!("{type_name}{source}@{}", self.since.as_microsecond());
        let id = Uuid::new_v5(&Uuid::nil(), fact.as_bytes());
        let envelope = Envelope {
            specversion: "1.0",
            id,
            source,
            subject,
            type_name,
            time: Millis(now),
            datacontenttype: "application/json",
            data: Data {
                watch_id: (),
                service: self.service.as_deref(),
                definition: (),
                job_id: (),
                job_type: (),
                outcome: (),
                status: (),
                code: self.cause.code.as_deref(),
                reason: self.in_words(now),
                began_at: (),
                ended_at: (),
                submitted_at: (),
                noticed_at: Millis(now),
                polls: (),
                problems: (),
                last_problem: &self.cause,
                resources: (),
                children: [],
                labels: BTreeMap::new(),
                params: BTreeMap::new(),
                services: &self.services,
                watches: self.watches,
                blind_since: Millis(self.since),
                blind_seconds: until(self.since, now).as_secs(),
            },
        };
        Event {
            id,
            kind: self.kind,
            at: now,
            body: envelope.body(),
        }
    }

    /// Returns "no job could be seen since …: unauthorized, HTTP 401: wrong token".
    fn in_words(&self, now: Timestamp) -> String {
        let ProblemNote {
            kind,
            http_status,
            message,
            ..
        } = &self.cause;
        let status = http_status.map_or_else(String::new, |status| format!(", HTTP {status}"));
        if self.kind == EventKind::Sighted {
            let secs = until(self.since, now).as_secs();
            return format!(
                "jobs can be asked for again after {secs} s; the last problem was {kind}{status}: {message}"
            );
        }
        let since = self.since;
        format!("no job could be seen since {since:.0}: {kind}{status}: {message}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::watch::observation::ProblemKind;

    fn at(secs: u64) -> Timestamp {
        later(Timestamp::UNIX_EPOCH, Duration::from_secs(secs))
    }

    fn cause() -> ProblemNote {
        ProblemNote {
            kind: ProblemKind::Unauthorized,
            http_status: Some(401),
            code: Some("APIGW.0301".to_owned()),
            message: "wrong token".to_owned(),
            at: at(9),
        }
    }

    fn period(since: u64, until: Option<u64>) -> BlindPeriod {
        BlindPeriod {
            service: "dcs".to_owned(),
            since: at(since),
            until: until.map(at),
            cause: cause(),
            reported: Reported::Alone,
        }
    }

    #[test]
    fn a_deadline_moves_by_the_blind_periods_after_the_submission() {
        let periods = [
            period(0, Some(10)),
            period(40, Some(70)),
            period(120, Some(125)),
            period(500, Some(600)),
        ];
        let of = |submitted: u64| extended(at(100), at(submitted), &periods, at(1000));
        assert_eq!(of(0), at(145), "10 and 30 and 5; the last began too late");
        assert_eq!(of(5), at(140));
        assert_eq!(of(60), at(110), "10 s, and the third began after it");
    }

    #[test]
    fn a_deadline_is_not_reached_while_the_service_is_blind() {
        let periods = [period(50, None)];
        for now in [60, 1000, 100_000] {
            let left = until(at(now), extended(at(100), at(0), &periods, at(now)));
            assert_eq!(left, Duration::from_secs(50));
        }
    }

    fn report(kind: EventKind, service: Option<&str>) -> BlindReport {
        BlindReport {
            kind,
            service: service.map(str::to_owned),
            services: vec!["dcs".to_owned(), "sdrs".to_owned()],
            since: at(1),
            cause: cause(),
            watches: 3,
        }
    }

    fn body(event: &Event) -> Value {
        serde_json::from_str(&event.body).unwrap()
    }

    #[test]
    fn the_event_names_service_cause_and_beginning() {
        let instance = Instance("prod".to_owned());
        let event = report(EventKind::Blind, Some("dcs")).event(&instance, at(301));
        let blind = body(&event);
        assert_eq!(blind["type"], "dev.jobwatch.watcher.blind");
        assert_eq!(blind["source"], "/jobwatch/prod/dcs");
        assert_eq!(blind["subject"], "dcs");
        let data = &blind["data"];
        assert_eq!(
            (&data["service"], &data["watches"]),
            (&json!("dcs"), &json!(3))
        );
        assert_eq!(data["blind_since"], "1970-01-01T00:00:01.000Z");
        assert_eq!(data["blind_seconds"], 300);
        assert_eq!(data["last_problem"]["kind"], "unauthorized");
        assert_eq!(
            data["reason"],
            "no job could be seen since 1970-01-01T00:00:01Z: unauthorized, HTTP 401: wrong token"
        );
    }

    #[test]
    fn an_event_of_an_offline_jobwatch_names_no_service() {
        let instance = Instance("prod".to_owned());
        let event = report(EventKind::Sighted, None).event(&instance, at(61));
        let sighted = body(&event);
        assert_eq!(sighted["type"], "dev.jobwatch.watcher.sighted");
        assert_eq!(sighted["source"], "/jobwatch/prod");
        assert_eq!(sighted["subject"], "prod");
        assert_eq!(sighted["data"]["service"], Value::Null);
        assert_eq!(sighted["data"]["services"], json!(["dcs", "sdrs"]));
        let reason = sighted["data"]["reason"].as_str().unwrap();
        assert!(
            reason.starts_with("jobs can be asked for again after 60 s"),
            "{reason}"
        );
    }

    #[test]
    fn the_id_is_that_of_the_beginning_and_of_the_kind() {
        let instance = Instance("prod".to_owned());
        let id = |kind, service, now| report(kind, service).event(&instance, at(now)).id;
        let blind = id(EventKind::Blind, Some("dcs"), 301);
        assert_eq!(id(EventKind::Blind, Some("dcs"), 302), blind);
        assert_ne!(id(EventKind::Sighted, Some("dcs"), 301), blind);
        assert_ne!(id(EventKind::Blind, None, 301), blind);
    }
}
