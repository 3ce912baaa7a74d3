//! Many watches on few budgets, which are too small for them: the real poller asks for hours, while
//! clouds throttle, fail and hang, and the process ends and begins again.
//!
//! It is checked that no budget is exceeded, that each watch is asked after a bounded number of
//! other polls, that each end is noticed, that deadlines are kept, and that a budget with work to
//! do is spent. `JOBWATCH_CROWD` sets the number of watches (5,000); 100,000 take some minutes and
//! 2 GB. `JOBWATCH_SEED` repeats a history.

mod checks;
mod cloud;
mod plan;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jobwatch::clock::{SharedClock, machine_seeded_rng};
use jobwatch::definition::Definition;
use jobwatch::definition::catalog::load_file;
use jobwatch::service::transport::SharedTransport;
use jobwatch::service::{Service, Services};
use jobwatch::watch::request::WatchRequest;
use jobwatch::watch::subscription::Subscriptions;
use jobwatch::workers::poller::Poller;
use rand::Rng;
use tokio::runtime::Builder;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::checks::Sample;
use self::cloud::{Clouds, Ledger, Visits};
use self::plan::{BUDGETS, Scene, Stop};
use crate::simulation::life::{Process, Surroundings, no_credential, service};
use crate::simulation::number;
use crate::simulation::plan::{Plan, SINKS};
use crate::simulation::world::{LifeClock, World};

/// The default number of watches.
const WATCHES: usize = 5000;
/// The interval of the checks of the budgets.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// The longest duration of an orderly stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// The number of violations that are kept.
const WRONG_MAX: usize = 20;

/// Jobs with a list of all, page by page.
const LISTED: &str = r#"
title = "Jobs on a list"
docs  = "the model of the simulation"
params = ["project_id"]

[request]
method = "GET"
path   = "/v1/{project_id}/jobs/{job_id}"

[batch]
path  = "/v1/{project_id}/jobs"
items = "$.jobs[*]"
page  = { param = "page" }

[job]
id     = "$.job_id"
type   = "$.job_type"
status = "$.status"

[states]
running   = ["RUNNING"]
succeeded = ["SUCCESS"]
failed    = ["FAIL"]
"#;

/// One history of many watches.
#[derive(Clone)]
pub(super) struct Crowd {
    world: World,
    scene: Arc<Scene>,
    /// The definition of the jobs that are read from a list.
    listed: Arc<Definition>,
    state: Arc<Mutex<State>>,
}

/// The part that changes.
struct State {
    visits: Vec<Visits>,
    ledgers: [Ledger; BUDGETS.len()],
    /// The number of members that were submitted.
    submitted: usize,
    /// The begin and the end of each process.
    lives: Vec<(Duration, Duration)>,
    samples: usize,
    wrong: Vec<String>,
}

impl Crowd {
    fn new(seed: u64, watches: usize) -> Self {
        let plan = Plan {
            jobs: Vec::new(),
            cloud: Vec::new(),
            sinks: vec![Vec::new(); SINKS.len()],
            store: Vec::new(),
            stops: Vec::new(),
            jumps: Vec::new(),
            is_shared: false,
            ..Plan::of(seed)
        };
        let state = State {
            visits: vec![Visits::default(); watches],
            ledgers: Default::default(),
            submitted: 0,
            lives: Vec::new(),
            samples: 0,
            wrong: Vec::new(),
        };
        Self {
            world: World::new(plan, false),
            scene: Arc::new(Scene::of(seed, watches)),
            listed: Arc::new(listed()),
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn wrong(&self, what: String) {
        let wrong = &mut self.state().wrong;
        if wrong.len() < WRONG_MAX {
            wrong.push(what);
        }
    }

    async fn wait_until(&self, at: Duration) {
        self.world
            .lasts(at.saturating_sub(self.world.elapsed()))
            .await;
    }

    /// Runs one process until it stops, or all watches have ended. Returns true if they have.
    fn live(&self, stop: Option<Stop>) -> bool {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            self.world.begin_life(None);
            let began = self.world.elapsed();
            for ledger in &mut self.state().ledgers {
                ledger.begin_life(began);
            }
            let is_over = tokio::select! {
                biased;
                () = self.crash(stop) => false,
                is_over = self.act(stop.filter(|stop| stop.orderly)) => is_over,
            };
            self.state().lives.push((began, self.world.elapsed()));
            self.world.end_life();
            is_over
        })
    }

    async fn crash(&self, stop: Option<Stop>) {
        match stop {
            Some(Stop {
                at, orderly: false, ..
            }) => self.wait_until(at).await,
            _ => std::future::pending().await,
        }
    }

    async fn act(&self, stop: Option<Stop>) -> bool {
        let (token, tracker) = (CancellationToken::new(), TaskTracker::new());
        let clock: SharedClock = Arc::new(LifeClock(self.world.clone()));
        let surroundings = Surroundings {
            services: self.services(&clock),
            sinks: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
        };
        let process = Process::build(&self.world, &clock, &tracker, surroundings);
        process.poller.load().await.unwrap();
        let (poller, polling) = (process.poller.clone(), token.clone());
        tracker.spawn(async move { poller.run(polling, Arc::new(|| {})).await });
        let is_over = tokio::select! {
            () = self.submit_all(&process) => unreachable!("it waits when all are submitted"),
            is_over = self.look_on(&process.poller, stop) => is_over,
        };
        token.cancel();
        tracker.close();
        if timeout(STOP_TIMEOUT, tracker.wait()).await.is_err() {
            self.wrong("an orderly stop took too long".to_owned());
        }
        process.store.close().await;
        is_over
    }

    fn services(&self, clock: &SharedClock) -> Services {
        let credential = no_credential(clock);
        let transport: SharedTransport = Arc::new(Clouds(self.clone()));
        let timing = &self.scene.timing;
        let of_budget = |(host, limits, names): (&str, _, &[&str])| {
            let service = |name: &str| {
                let alone = service(name, host, timing, &credential, &transport);
                let definition = if name == "listed" {
                    Arc::clone(&self.listed)
                } else {
                    alone.definition
                };
                Service {
                    limits,
                    definition,
                    ..alone
                }
            };
            names.iter().map(|name| service(name)).collect::<Vec<_>>()
        };
        Services::new(BUDGETS.into_iter().flat_map(of_budget))
    }

    /// Submits each member at its time, and then waits for ever.
    async fn submit_all(&self, process: &Process) {
        let first = self.state().submitted;
        for (n, member) in self.scene.members.iter().enumerate().skip(first) {
            self.wait_until(member.submit_at).await;
            let deadline = member.deadline.saturating_sub(self.world.elapsed());
            let request = WatchRequest {
                service: member.service.to_owned(),
                job_id: format!("job-{n}"),
                deadline: Some(format!("{}ms", deadline.as_millis().max(1))),
                ..WatchRequest::default()
            };
            process.actions.submit(&request).await.unwrap();
            let at = self.world.elapsed();
            let state = &mut *self.state();
            state.ledgers[member.budget].submit(&mut state.visits[n], at);
            state.submitted += 1;
        }
        std::future::pending::<()>().await;
    }

    /// Checks the budgets until all watches have ended, or the process is to stop.
    async fn look_on(&self, poller: &Poller, stop: Option<Stop>) -> bool {
        let mut before: Option<Sample> = None;
        loop {
            self.world.lasts(SAMPLE_EVERY).await;
            let sample = Sample::take(self, poller);
            if let Some(before) = before {
                before.compare(&sample, self);
            }
            before = Some(sample);
            let elapsed = self.world.elapsed();
            let all_submitted = self.state().submitted == self.scene.members.len();
            if all_submitted && poller.watching() == 0 {
                return true;
            }
            if elapsed > self.scene.round * 30 {
                self.wrong("some watches never end".to_owned());
                return true;
            }
            if stop.is_some_and(|stop| elapsed >= stop.at) {
                return false;
            }
        }
    }
}

fn listed() -> Definition {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("listed.toml");
    std::fs::write(&file, LISTED).unwrap();
    load_file(&file).unwrap()
}

#[test]
fn crowd_is_asked_in_turn_within_its_budgets() {
    let watches = number("JOBWATCH_CROWD").map_or(WATCHES, |n| usize::try_from(n).unwrap());
    let seed = number("JOBWATCH_SEED").unwrap_or_else(|| machine_seeded_rng().next_u64());
    let crowd = Crowd::new(seed, watches);
    let stops = crowd.scene.stops.iter().copied().map(Some);
    for stop in stops.chain([None]) {
        if crowd.live(stop) {
            break;
        }
        crowd
            .world
            .pass(stop.map_or(Duration::ZERO, |stop| stop.down));
    }
    checks::ends(&crowd);
    let state = crowd.state();
    for (ledger, (host, ..)) in state.ledgers.iter().zip(BUDGETS) {
        eprintln!(
            "{host}: {} watches, {} polls; the longest wait was {:.2} of the longest allowed",
            ledger.submitted,
            ledger.begun(),
            ledger.longest_wait
        );
    }
    let wrong = state.wrong.join("\n  ");
    let (lives, samples) = (state.lives.len(), state.samples);
    assert!(wrong.is_empty(), "JOBWATCH_SEED={seed}\n  {wrong}");
    assert_eq!(lives, crowd.scene.stops.len() + 1);
    assert!(samples > 20, "{samples} samples of a budget that is spent");
}
