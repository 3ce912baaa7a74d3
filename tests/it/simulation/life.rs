//! One process after the other: the real poller, courier and actions on the models, until
//! all work is done.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jobwatch::actions::hint::HintSources;
use jobwatch::actions::submit::SubmitError;
use jobwatch::actions::{self, Actions};
use jobwatch::clock::{SharedClock, seeded_rng};
use jobwatch::credential::Credential;
use jobwatch::credential::kinds::none::Nothing;
use jobwatch::definition::Definition;
use jobwatch::definition::catalog::Catalog;
use jobwatch::metrics::Metrics;
use jobwatch::schedule::budget::Limits;
use jobwatch::service::reach::AllowedHosts;
use jobwatch::service::transport::SharedTransport;
use jobwatch::service::{Base, Service, Services};
use jobwatch::sink::SharedSink;
use jobwatch::store::SharedStore;
use jobwatch::timing::Timing;
use jobwatch::wake::Wake;
use jobwatch::watch::change::Composer;
use jobwatch::watch::event::Instance;
use jobwatch::watch::request::WatchRequest;
use jobwatch::watch::subscription::{EventFilter, Filter, Subscriptions};
use jobwatch::workers::courier::Courier;
use jobwatch::workers::poller::Poller;
use jobwatch::workers::{courier, poller};
use rand::Rng;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::simulation::checks;
use crate::simulation::checks::Left;
use crate::simulation::cloud::Cloud;
use crate::simulation::disk::Disk;
use crate::simulation::plan::{Job, Plan, SERVICES, SINKS, Stop};
use crate::simulation::receiver::Receiver;
use crate::simulation::world::{LifeClock, World};

/// The interval of the checks whether all work is done.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// If the next work is due later than this, the process ends and time is skipped.
const IDLE: Duration = Duration::from_mins(2);
/// The longest duration of an orderly stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause of a client before it tries again.
const CLIENT_PAUSE: Duration = Duration::from_secs(1);
/// An upper limit for the processes of a history.
const LIVES_MAX: usize = 300;

static DEFINITION: LazyLock<Arc<Definition>> =
    LazyLock::new(|| Arc::clone(Catalog::built_in().get("dcs").unwrap()));

/// The reason for the end of a process.
enum Ended {
    Died,
    Stopped,
    /// No work is due for this time.
    Idle(Duration),
    Settled,
    /// Work that should be done is not.
    Stuck,
}

/// Runs a history to its end.
pub(super) fn run(world: &World) {
    for n in 0..LIVES_MAX {
        let stop = world.plan.stops.get(n).copied();
        match live(world, stop) {
            Ended::Stuck => return,
            // An orderly stop may have stored more deliveries.
            Ended::Settled if matches!(checks::left(world), Left::Nothing) => return,
            Ended::Settled => {}
            Ended::Idle(time) => world.pass(time),
            Ended::Died | Ended::Stopped => {
                let down = world.millis(20_000);
                world.pass(down);
            }
        }
    }
    world.violated("4", "a delivery is never settled");
}

/// Runs one process. Its memory is dropped with its runtime.
fn live(world: &World, stop: Option<Stop>) -> Ended {
    let (fuse, orderly) = match stop {
        Some(Stop::Crash(calls)) => (Some(calls), None),
        Some(Stop::Orderly(after)) => (None, Some(after)),
        None => (None, None),
    };
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        world.begin_life(fuse);
        let ended = tokio::select! {
            biased;
            () = death(world) => Ended::Died,
            ended = act(world, orderly) => ended,
        };
        world.end_life();
        ended
    })
}

async fn death(world: &World) {
    while !world.state().is_dead {
        world.dies.notified().await;
    }
    world.note(|| "dies".to_owned());
}

async fn act(world: &World, orderly: Option<Duration>) -> Ended {
    let stop = CancellationToken::new();
    let tracker = TaskTracker::new();
    let clock: SharedClock = Arc::new(LifeClock(world.clone()));
    let surroundings = Surroundings {
        services: services(world, &clock),
        sinks: sinks(world),
        subscriptions: subscriptions(),
    };
    let process = Process::build(world, &clock, &tracker, surroundings);
    // Like the program, it does not start without its watches.
    if process.poller.load().await.is_err() {
        return Ended::Stopped;
    }
    process.courier.run(&stop, &tracker);
    let poller = process.poller.clone();
    let polling = stop.clone();
    tracker.spawn(async move { poller.run(polling, Arc::new(|| {})).await });
    let (poller, keeping) = (process.poller.clone(), stop.clone());
    tracker.spawn(async move { poller.keep_shards(keeping).await });
    let mut clients = JoinSet::new();
    for (n, job) in world.plan.jobs.iter().enumerate() {
        // Some jobs have two submitters.
        for _ in 0..=usize::from(n % 3 == 0) {
            clients.spawn(client(
                world.clone(),
                Arc::clone(&process.actions),
                job.clone(),
            ));
        }
    }
    let ended = until_settled(world, orderly).await;
    stop.cancel();
    tracker.close();
    // Tasks that do not end in time are abandoned, as in the program.
    let _ = timeout(STOP_TIMEOUT, tracker.wait()).await;
    process.store.close().await;
    checks::final_states(world);
    ended
}

async fn until_settled(world: &World, orderly: Option<Duration>) -> Ended {
    let began = world.elapsed();
    loop {
        world.lasts(CHECK_EVERY).await;
        checks::final_states(world);
        let elapsed = world.elapsed();
        match checks::left(world) {
            Left::Nothing => return Ended::Settled,
            Left::Overdue => return Ended::Stuck,
            Left::Gone if elapsed >= world.plan.calm_at => return Ended::Idle(CHECK_EVERY),
            Left::Deliveries(after) if after > IDLE => {
                return Ended::Idle(after.saturating_sub(CHECK_EVERY));
            }
            Left::Deliveries(_) | Left::Gone | Left::Watches | Left::Late => {}
        }
        if orderly.is_some_and(|after| elapsed >= began + after) {
            return Ended::Stopped;
        }
    }
}

/// A client that submits a job until it is acknowledged, and may end the watch later.
async fn client(world: World, actions: Arc<Actions>, job: Job) {
    let wait = |at: Duration| world.lasts(at.saturating_sub(world.elapsed()));
    wait(job.submit_at).await;
    let request = WatchRequest {
        service: job.service.to_owned(),
        job_id: job.id.clone(),
        deadline: Some(format!("{}ms", job.deadline.as_millis())),
        ..WatchRequest::default()
    };
    let known = world.state().acknowledged.get(&job.id).copied();
    let id = loop {
        if let Some(known) = known {
            break known;
        }
        match actions.submit(&request).await {
            Ok(submitted) => {
                let id = submitted.watch.id;
                checks::acknowledged(&world, &job, &submitted.watch);
                break id;
            }
            Err(SubmitError::Refused(faults)) => {
                world.violated("submit", &format!("{faults:?}"));
                return;
            }
            Err(SubmitError::Store(_)) => world.lasts(CLIENT_PAUSE).await,
        }
    };
    let Some(unwatch_at) = job.unwatch_at else {
        return;
    };
    wait(unwatch_at).await;
    while !world.state().unwatched.contains(&job.id) {
        match actions.stop(id).await {
            Ok(Some(_)) => {
                world.state().unwatched.insert(job.id.clone());
            }
            Ok(None) => world.violated("2", "an acknowledged watch is not there to be ended"),
            Err(_) => world.lasts(CLIENT_PAUSE).await,
        }
    }
}

/// The models around a process.
pub(super) struct Surroundings {
    pub(super) services: Services,
    pub(super) sinks: BTreeMap<String, SharedSink>,
    pub(super) subscriptions: Subscriptions,
}

/// The parts of the program, connected as in the program.
pub(super) struct Process {
    pub(super) store: SharedStore,
    pub(super) poller: Poller,
    courier: Courier,
    pub(super) actions: Arc<Actions>,
}

impl Process {
    pub(super) fn build(
        world: &World,
        clock: &SharedClock,
        tracker: &TaskTracker,
        around: Surroundings,
    ) -> Self {
        let store = Disk::open(world, Arc::clone(clock));
        let rng = || seeded_rng(world.state().rng.next_u64());
        let services = around.services;
        let instance = Instance("model".to_owned());
        let composer = Composer::new(instance, Arc::new(around.subscriptions));
        let courier = Courier::new(courier::Parts {
            store: store.clone(),
            sinks: around.sinks,
            clock: Arc::clone(clock),
            rng: rng(),
            metrics: Metrics::shared(),
        });
        let poller = Poller::new(poller::Parts {
            store: store.clone(),
            services: services.clone(),
            composer: composer.clone(),
            clock: Arc::clone(clock),
            rng: rng(),
            metrics: Metrics::shared(),
            tracker: tracker.clone(),
            committed: courier.wake_handle(),
            groups: Wake::default(),
        });
        let mut wake = poller.wake_handle();
        wake.join(courier.wake_handle());
        let parts = actions::Parts {
            store: Arc::clone(&store),
            services,
            composer,
            clock: Arc::clone(clock),
            wake,
            groups: Wake::default(),
            hints: HintSources::new(),
            callback_hosts: None,
            poller: Arc::new(poller.clone()),
            courier: Arc::new(courier.clone()),
        };
        Self {
            store,
            poller,
            courier,
            actions: Arc::new(Actions::new(parts, rng())),
        }
    }
}

fn services(world: &World, clock: &SharedClock) -> Services {
    let Plan { timing, limits, .. } = &*world.plan;
    let credential = no_credential(clock);
    let transport: SharedTransport = Arc::new(Cloud(world.clone()));
    Services::new(SERVICES.map(|name| Service {
        limits: *limits,
        ..service(name, "cloud", timing, &credential, &transport)
    }))
}

pub(super) fn no_credential(clock: &SharedClock) -> Arc<Credential> {
    let credential = Credential::new("none", "none", Box::new(Nothing), Arc::clone(clock));
    Arc::new(credential)
}

/// Makes a service of jobs that are asked for one by one, with a budget of 1 poll a second.
pub(super) fn service(
    name: &str,
    host: &str,
    timing: &Timing,
    credential: &Arc<Credential>,
    transport: &SharedTransport,
) -> Service {
    Service {
        name: Arc::from(name),
        definition: Arc::clone(&DEFINITION),
        base: Base::Url(format!("https://{host}.example/{name}").into()),
        credential: Arc::clone(credential),
        params: [("project_id".to_owned(), "p".to_owned())].into(),
        timing: timing.clone(),
        stages: BTreeMap::new(),
        expect: None,
        allow_hosts: AllowedHosts::default(),
        max_body: 1024 * 1024,
        limits: Limits {
            rate: Some(1.0),
            burst: 1,
            concurrency: 1,
        },
        transport: Arc::clone(transport),
        refusals: Arc::default(),
    }
}

fn sinks(world: &World) -> BTreeMap<String, SharedSink> {
    let sink = |index| -> SharedSink {
        let world = world.clone();
        Arc::new(Receiver { world, index })
    };
    let sinks = SINKS.iter().enumerate();
    sinks
        .map(|(index, (name, _))| ((*name).to_owned(), sink(index)))
        .collect()
}

fn subscriptions() -> Subscriptions {
    let filter = |gets_all: bool| Filter {
        events: if gets_all {
            Vec::new()
        } else {
            vec![EventFilter::Finished]
        },
        ..Filter::default()
    };
    let sinks = SINKS.iter();
    Subscriptions {
        sinks: sinks
            .map(|(name, gets_all)| ((*name).to_owned(), filter(*gets_all)))
            .collect(),
        ..Subscriptions::default()
    }
}
