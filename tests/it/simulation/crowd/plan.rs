//! The plan of a crowd, drawn from its seed: the jobs, and the troubles of that time. Its
//! measure is the *round*: the time in which the large budget asks for each of its jobs once.

use std::ops::Range;
use std::time::Duration;

use jobwatch::clock::seeded_rng;
use jobwatch::schedule::budget::Limits;
use jobwatch::timing::{PollSettings, Timing};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::harness::timing::least;
use crate::simulation::plan::Verdict;

/// The host, the limits and the services of each budget. The first one serves most watches, the
/// second one finds its own rate, the third one never gets an answer, and the jobs of the fourth one
/// are read from a list, or asked for one by one.
pub(super) const BUDGETS: [(&str, Limits, &[&str]); 4] = [
    ("cloud", LARGE, &["east", "west"]),
    ("found", FOUND, &["found"]),
    ("stuck", STUCK, &["stuck"]),
    ("listed", STUCK, &["listed"]),
];
pub(super) const STUCK_BUDGET: usize = 2;
pub(super) const LISTED_BUDGET: usize = 3;

/// The jobs on one page of the list.
pub(super) const PAGE: usize = 100;

const LARGE: Limits = Limits {
    rate: Some(20.0),
    burst: 10,
    concurrency: 8,
};
const FOUND: Limits = Limits {
    rate: None,
    burst: 5,
    concurrency: 8,
};
const STUCK: Limits = Limits {
    rate: Some(5.0),
    burst: 5,
    concurrency: 2,
};
/// The number of watches on the budget without answers.
const STUCK_WATCHES: usize = 20;
/// The share of watches that are submitted before the first poll.
const AT_ONCE: f64 = 0.7;

/// The longest interval, and its jitter.
pub(super) const INTERVAL_MAX: Duration = Duration::from_mins(1);
pub(super) const JITTER: f64 = 0.2;

/// One job and the watch on it; times are since the begin.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) budget: usize,
    pub(super) service: &'static str,
    pub(super) submit_at: Duration,
    pub(super) deadline: Duration,
    pub(super) ends_at: Duration,
    pub(super) verdict: Verdict,
}

/// A fault of the answers of all budgets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    Refused,
    Hangs,
    /// A 503 with this many seconds in `Retry-After`.
    Unavailable(u64),
    /// A 429, with this many seconds in `Retry-After`.
    Throttled(Option<u64>),
    /// A 429 for each request beyond this many a second.
    Gate(f64),
}

/// A time in which a fault happens with this probability.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) when: Range<Duration>,
    pub(super) share: f64,
    pub(super) fault: Fault,
}

/// The end of a process; the next one begins `down` later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    pub(super) at: Duration,
    pub(super) down: Duration,
    /// False if it is dropped in the middle of its work.
    pub(super) orderly: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) round: Duration,
    pub(super) timing: Timing,
    /// In the order of their submissions; the id of a job has its index.
    pub(super) members: Vec<Member>,
    pub(super) troubles: Vec<Trouble>,
    pub(super) stops: Vec<Stop>,
}

impl Scene {
    pub(super) fn of(seed: u64, watches: usize) -> Self {
        let rng = &mut seeded_rng(seed);
        let on_large = f64::from(u32::try_from(watches).unwrap()) * 0.8;
        let round = Duration::from_secs_f64(on_large / LARGE.ceiling());
        let at = |rounds: f64| round.mul_f64(rounds);
        let mut members: Vec<_> = (0..watches).map(|n| member(rng, n, round)).collect();
        members.sort_by_key(|member| member.submit_at);
        let trouble = |from: f64, to: f64, share, fault| Trouble {
            when: at(from)..at(to),
            share,
            fault,
        };
        let stop = |rounds: f64, after: u64, down: u64, orderly| Stop {
            at: at(rounds) + Duration::from_secs(after),
            down: Duration::from_secs(down),
            orderly,
        };
        Self {
            round,
            timing: timing(),
            members,
            troubles: vec![
                trouble(0.5, 4.5, 1.0, Fault::Gate(8.0)),
                trouble(4.7, 4.8, 0.1, Fault::Throttled(Some(20))),
                trouble(4.9, 5.0, 0.05, Fault::Throttled(None)),
                trouble(5.1, 5.2, 1.0, Fault::Refused),
                trouble(5.4, 5.5, 0.5, Fault::Hangs),
                trouble(5.6, 5.7, 0.5, Fault::Unavailable(30)),
            ],
            stops: vec![
                stop(0.3, 0, 10, false),
                stop(4.6, 0, 60, true),
                stop(5.15, 0, 20, false),
                stop(6.1, 0, 5, false),
                stop(6.1, 20, 5, true),
                stop(6.1, 40, 5, false),
            ],
        }
    }

    /// True at a time without trouble, when the effects of the last one are over.
    pub(super) fn is_calm(&self, at: Duration) -> bool {
        let before = Duration::from_secs(5);
        let after = INTERVAL_MAX.mul_f64(1.0 + JITTER) + Duration::from_secs(20);
        let troubles = self.troubles.iter();
        let mut is_near = troubles
            .map(|trouble| at + before >= trouble.when.start && at <= trouble.when.end + after);
        !is_near.any(|is_near| is_near)
    }
}

fn member(rng: &mut StdRng, n: usize, round: Duration) -> Member {
    let at = |rounds: f64| round.mul_f64(rounds);
    let (budget, service) = match n {
        _ if n < STUCK_WATCHES => (STUCK_BUDGET, "stuck"),
        _ if n % 50 == 49 => (LISTED_BUDGET, "listed"),
        _ if n % 10 < 4 => (0, "east"),
        _ if n % 10 < 8 => (0, "west"),
        _ => (1, "found"),
    };
    let submit_at = if rng.random_bool(AT_ONCE) {
        Duration::ZERO
    } else {
        at(rng.random_range(0.2..6.0))
    };
    // Two of a hundred have little time, and ten a deadline while all are busy.
    let deadline = match rng.random_range(0..100) {
        _ if budget == STUCK_BUDGET => at(3.0),
        0..2 => submit_at + Duration::from_secs(rng.random_range(60..300)),
        2..12 => submit_at + at(rng.random_range(0.5..8.0)),
        _ => submit_at + at(20.0),
    };
    Member {
        budget,
        service,
        submit_at,
        deadline: whole(deadline),
        ends_at: whole(submit_at + at(rng.random_range(0.0..8.0))),
        verdict: if rng.random_bool(0.2) {
            Verdict::Failed
        } else {
            Verdict::Succeeded
        },
    }
}

/// Whole milliseconds, as all clocks here.
fn whole(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap())
}

fn timing() -> Timing {
    let secs = |secs| Some(Duration::from_secs(secs));
    let settings = PollSettings {
        first: secs(2),
        initial: secs(5),
        multiplier: Some(1.5),
        max: Some(INTERVAL_MAX),
        jitter: Some(JITTER),
        max_retry_after: Some(INTERVAL_MAX),
        after_watch: Some(Duration::ZERO),
        deadline: Some(Duration::from_hours(24)),
        request_timeout: secs(10),
        not_found_grace: secs(120),
        give_up_after: Some(Duration::from_mins(15)),
        blind_after: Some(Duration::ZERO),
        ..least()
    };
    settings.complete().unwrap()
}
