//! The real poller, courier, actions and definitions in random histories, on models of their
//! surroundings: cloud, disk, receivers, clock. A crash may come at any call.
//!
//! Time is the runtime's own and stands still until all tasks wait, so an hour takes
//! milliseconds and the same seed gives the same history. `JOBWATCH_SEED` repeats one of
//! them, with a journal; `JOBWATCH_HISTORIES` sets their number. [`crowd`] is one long history of
//! many watches.

mod checks;
mod cloud;
mod crowd;
mod disk;
mod life;
mod ownership;
mod plan;
mod receiver;
mod world;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{panic, thread};

use jobwatch::clock::{machine_seeded_rng, seeded_rng};
use jobwatch::schedule::budget::Limits;
use jobwatch::timing::PollSettings;
use rand::Rng;

use self::plan::{CloudFault, Job, Plan, SERVICES, SINKS, StoreFault, Trouble, Verdict};
use self::world::World;
use crate::store::memory::Logged;
use jobwatch::store::delivery::DeliveryState;
use jobwatch::watch::event::EventKind;

/// The default number of histories.
const HISTORIES: u64 = 10_000;
/// The number of failed histories after which a thread stops.
const VIOLATIONS_MAX: usize = 5;

/// Counts of the events in some histories.
#[derive(Debug, Default)]
struct Tally(BTreeMap<String, usize>);

impl Tally {
    fn add(&mut self, what: impl Into<String>, times: usize) {
        *self.0.entry(what.into()).or_default() += times;
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for (what, times) in other.0 {
            self.add(what, times);
        }
    }
}

thread_local! {
    /// True if a task of this thread panicked, even one that is not awaited.
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs one history.
///
/// # Errors
/// The violated invariants.
fn history(seed: u64, keeps_journal: bool) -> Result<Tally, String> {
    let world = World::new(Plan::of(seed), keeps_journal);
    PANICKED.set(false);
    let lived = panic::catch_unwind(AssertUnwindSafe(|| {
        life::run(&world);
        checks::all(&world);
    }));
    if let Some(journal) = &world.state().journal {
        eprintln!("{:#?}\n{}", world.plan, journal.join("\n"));
    }
    if lived.is_err() || PANICKED.get() {
        return Err("something panicked".to_owned());
    }
    let violations = std::mem::take(&mut world.state().violations);
    if violations.is_empty() {
        Ok(tally(&world))
    } else {
        Err(violations.join("\n  "))
    }
}

fn tally(world: &World) -> Tally {
    let mut tally = Tally::default();
    let rows = world.memory.rows();
    let state = world.state();
    tally.add("histories", 1);
    tally.add("processes", state.life);
    tally.add("polls", state.visits.total);
    tally.add("events", rows.events.len());
    tally.add("failed writes", state.failed_applies);
    let late = |logged: &&Logged| logged.event.kind == EventKind::LateResult;
    tally.add("late results", rows.events.iter().filter(late).count());
    for watch in &rows.watches {
        tally.add(format!("watches {}", watch.state), 1);
    }
    for owed in &rows.deliveries {
        tally.add("attempts", usize::try_from(owed.attempts_total).unwrap());
        tally.add(
            "dead letters",
            usize::from(owed.state == DeliveryState::Dead),
        );
    }
    for ledger in &state.ledgers {
        let again = ledger.taken.values().map(|taken| taken - 1).sum();
        tally.add("events taken again", again);
    }
    tally
}

/// Runs `histories` histories with consecutive seeds, on all processors.
fn live_through(first: u64, histories: u64) -> (Tally, Vec<String>) {
    let next = AtomicU64::new(0);
    let work = || {
        let mut tally = Tally::default();
        let mut violations = Vec::new();
        while violations.len() < VIOLATIONS_MAX {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= histories {
                break;
            }
            let seed = first.wrapping_add(n);
            match history(seed, false) {
                Ok(more) => tally += more,
                Err(wrong) => violations.push(format!("JOBWATCH_SEED={seed}\n  {wrong}")),
            }
        }
        (tally, violations)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = (Tally::default(), Vec::new());
        for thread in threads {
            let (tally, violations) = thread.join().unwrap();
            all.0 += tally;
            all.1.extend(violations);
        }
        all
    })
}

#[test]
fn random_histories_keep_the_invariants() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICKED.set(true);
        usual(info);
    }));
    if let Some(seed) = number("JOBWATCH_SEED") {
        history(seed, true).unwrap_or_else(|wrong| panic!("JOBWATCH_SEED={seed}\n  {wrong}"));
        return;
    }
    let histories = number("JOBWATCH_HISTORIES").unwrap_or(HISTORIES);
    let first = machine_seeded_rng().next_u64();
    let (tally, violations) = live_through(first, histories);
    eprintln!("from seed {first}: {:#?}", tally.0);
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    // The histories test something only if all of this happens in them.
    for outcome in [
        "succeeded",
        "failed",
        "lost",
        "unknown",
        "unwatched",
        "timed_out",
    ] {
        let ended = tally.0.get(&format!("watches {outcome}"));
        assert!(histories < HISTORIES || ended.is_some(), "none {outcome}");
    }
    let happened = |what: &str| tally.0.get(what).is_some_and(|times| *times > 0);
    for what in [
        "dead letters",
        "events taken again",
        "late results",
        "failed writes",
    ] {
        assert!(histories < HISTORIES || happened(what), "no {what}");
    }
}

/// The client gets an error of the store, and then the existing watch. No wake reaches the
/// poller, which is never idle.
#[test]
fn a_watch_is_polled_when_its_acceptance_reported_an_error() {
    let second = Duration::from_secs(1);
    let timing = PollSettings {
        first: Some(second),
        initial: Some(second),
        multiplier: Some(1.0),
        max: Some(second),
        jitter: Some(0.0),
        max_retry_after: Some(second),
        ..plan::poll_settings(&mut seeded_rng(1))
    };
    let mut plan = Plan {
        jobs: Vec::new(),
        cloud: Vec::new(),
        sinks: vec![Vec::new(); SINKS.len()],
        stops: Vec::new(),
        jumps: Vec::new(),
        calm_at: second * 11,
        dead_sink: None,
        store: vec![Trouble {
            from: second * 10,
            to: second * 10 + second / 100,
            share: 1.0,
            fault: StoreFault::After,
        }],
        limits: Limits {
            rate: Some(1000.0),
            burst: 10,
            concurrency: 10,
        },
        timing: timing.complete().unwrap(),
        ..Plan::of(1)
    };
    for (n, submit_at) in [(1, second), (2, second * 10)] {
        plan.jobs.push(Job {
            id: format!("job-{n}"),
            service: SERVICES[0],
            submit_at,
            deadline: second * 300,
            visible_at: Duration::ZERO,
            runs_at: Duration::ZERO,
            ends_at: second * 120,
            verdict: Verdict::Succeeded,
            forgotten_at: None,
            unwatch_at: None,
            retry_after: None,
        });
    }
    let world = World::new(plan, false);
    life::run(&world);
    checks::all(&world);
    let violations = std::mem::take(&mut world.state().violations);
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// A slow store gives a watch as accepted although it has ended meanwhile, and the service
/// asked to be left alone.
#[test]
fn a_stale_acceptance_does_not_put_a_watch_back() {
    let second = Duration::from_secs(1);
    let calm_at = second * 100;
    for seed in 0..100 {
        let timing = PollSettings {
            first: Some(second),
            after_watch: Some(Duration::ZERO),
            ..plan::poll_settings(&mut seeded_rng(seed))
        };
        let plan = Plan {
            jobs: vec![Job {
                id: "job-1".to_owned(),
                service: SERVICES[0],
                submit_at: second,
                deadline: second * 20,
                visible_at: Duration::ZERO,
                runs_at: Duration::ZERO,
                ends_at: second * 300,
                verdict: Verdict::Succeeded,
                forgotten_at: None,
                unwatch_at: None,
                retry_after: None,
            }],
            cloud: vec![Trouble {
                from: Duration::ZERO,
                to: calm_at,
                share: 1.0,
                fault: CloudFault::RetryAfter(503, 300),
            }],
            sinks: vec![Vec::new(); SINKS.len()],
            store: vec![Trouble {
                from: Duration::ZERO,
                to: calm_at,
                share: 0.5,
                fault: StoreFault::Slow,
            }],
            stops: Vec::new(),
            jumps: Vec::new(),
            calm_at,
            dead_sink: None,
            timing: timing.complete().unwrap(),
            ..Plan::of(seed)
        };
        let world = World::new(plan, false);
        life::run(&world);
        checks::all(&world);
        let violations = std::mem::take(&mut world.state().violations);
        assert!(
            violations.is_empty(),
            "seed {seed}: {}",
            violations.join("\n")
        );
    }
}

/// The saver panics again and again. Its watches are polled again, and the decisions that come later
/// are saved.
#[test]
fn a_panic_of_the_saver_loses_no_watch() {
    let second = Duration::from_secs(1);
    let calm_at = second * 60;
    for seed in 0..20 {
        let job = |n| Job {
            id: format!("job-{n}"),
            service: SERVICES[0],
            submit_at: second,
            deadline: second * 300,
            visible_at: Duration::ZERO,
            runs_at: Duration::ZERO,
            ends_at: second * 20,
            verdict: Verdict::Succeeded,
            forgotten_at: None,
            unwatch_at: None,
            retry_after: None,
        };
        let plan = Plan {
            jobs: (1..=20).map(job).collect(),
            cloud: Vec::new(),
            sinks: vec![Vec::new(); SINKS.len()],
            store: vec![Trouble {
                from: Duration::ZERO,
                to: calm_at,
                share: 0.7,
                fault: StoreFault::Panics,
            }],
            stops: Vec::new(),
            jumps: Vec::new(),
            calm_at,
            dead_sink: None,
            ..Plan::of(seed)
        };
        let world = World::new(plan, false);
        life::run(&world);
        checks::all(&world);
        let violations = std::mem::take(&mut world.state().violations);
        assert!(
            violations.is_empty(),
            "seed {seed}: {}",
            violations.join("\n")
        );
    }
}
