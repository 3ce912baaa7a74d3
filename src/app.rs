//! Wires the program together, in the order in which it starts.
//!
//! An [`App`] takes its settings, clock and lifecycle from the caller: tests give a stepped
//! clock and call `run_once` of the workers, the daemon calls [`App::run`].

use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use tokio::sync::Semaphore;

use crate::actions::submit::{Submission, SubmitError};
use crate::actions::{Actions, Delivering, Polling};
use crate::api::Api;
use crate::api::auth::Guard;
use crate::api::durations::Usual;
use crate::api::server::{Listener, Server};
use crate::clock::SharedClock;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::settings::{ApiSettings, Database, Settings, build};
use crate::store::SharedStore;
use crate::store::delivery::SinkBacklog;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;
use crate::wake::Wake;
use crate::watch::change::Composer;
use crate::watch::event::Instance;
use crate::workers::announcer::Announcer;
use crate::workers::courier::Courier;
use crate::workers::drop_folder::DropFolder;
use crate::workers::groups::Groups;
use crate::workers::poller::Poller;
use crate::workers::pruner::Pruner;
use crate::workers::{courier, groups, poller, pruner};
use crate::{actions, api, clock, lifecycle};

/// The whole program, wired and not yet running.
pub struct App {
    /// The store of watches, events and deliveries.
    pub store: SharedStore,
    /// The operations on watches and deliveries.
    pub actions: Arc<Actions>,
    /// Polls jobs when they are due.
    pub poller: Poller,
    /// Delivers events to the sinks.
    pub courier: Courier,
    /// Announces events to the clients of the API that wait for them.
    pub announcer: Announcer,
    /// Finishes groups whose watches have all ended.
    pub groups: Groups,
    /// Deletes old watches, unless they are kept for ever.
    pub pruner: Option<Pruner>,
    /// Takes submissions from the drop folder, if one is configured.
    pub drop_folder: Option<Arc<DropFolder>>,
    /// The HTTP API, ready to be served.
    pub router: Router,
    settings: Settings,
    clock: SharedClock,
    lifecycle: Lifecycle,
}

impl App {
    /// Opens the store and wires all parts to it.
    ///
    /// # Errors
    /// The store cannot be opened, or TLS cannot be set up.
    pub async fn build(
        settings: Settings,
        clock: SharedClock,
        lifecycle: Lifecycle,
    ) -> anyhow::Result<Self> {
        let store = open_store(&settings.store.database, &clock).await?;
        let services = build::services(&settings, &clock)?;
        let composer = composer(&settings);
        let metrics = Metrics::shared();
        let courier = courier(&settings, &store, &clock, &metrics, &lifecycle)?;
        let announcer = Announcer::new(store.clone());
        let mut committed = courier.wake_handle();
        committed.join(announcer.wake_handle());
        let groups = groups(&store, &composer, &clock, &committed);
        let poller = Poller::new(poller::Parts {
            store: store.clone(),
            services: services.clone(),
            composer: composer.clone(),
            clock: Arc::clone(&clock),
            rng: clock::machine_seeded_rng(),
            metrics: Arc::clone(&metrics),
            tracker: lifecycle.tracker.clone(),
            committed: committed.clone(),
            groups: groups.wake_handle(),
        });
        let mut wake = poller.wake_handle();
        wake.join(committed);
        let parts = actions::Parts {
            store: Arc::clone(&store),
            services,
            composer,
            callback_hosts: settings.api.callback.as_ref().map(|it| it.hosts.clone()),
            hints: settings.hints.clone(),
            clock: Arc::clone(&clock),
            wake,
            groups: groups.wake_handle(),
            poller: Arc::new(poller.clone()),
            courier: Arc::new(courier.clone()),
        };
        let actions = Arc::new(Actions::new(parts, clock::machine_seeded_rng()));
        let pruner = pruner(&settings, &store, &clock, &metrics);
        let router = api::router(Api {
            actions: Arc::clone(&actions),
            store: Arc::clone(&store),
            poller: poller.clone(),
            courier: courier.clone(),
            guard: guard(&settings.api),
            metrics,
            clock: Arc::clone(&clock),
            announcer: announcer.clone(),
            stop: lifecycle.stop.clone(),
            tracker: lifecycle.tracker.clone(),
            usual: Usual::default(),
            bulk_batches: Arc::new(Semaphore::new(api::BULK_BATCHES)),
            bulk_streams: Arc::new(Semaphore::new(api::BULK_STREAMS)),
        });
        Ok(Self {
            drop_folder: drop_folder(&settings, &actions, &store),
            store,
            actions,
            poller,
            courier,
            announcer,
            groups,
            pruner,
            router,
            settings,
            clock,
            lifecycle,
        })
    }

    /// Runs until the lifecycle stops. Then starts nothing new, waits for the polls, deliveries
    /// and API requests under way, and closes the store.
    ///
    /// # Errors
    /// The watches cannot be loaded.
    pub async fn run(self, listeners: Vec<Listener>) -> anyhow::Result<()> {
        let Lifecycle { stop, tracker, .. } = &self.lifecycle;
        // The API comes first: its probes answer while the watches are loaded.
        let server = Server::new(
            self.router.clone(),
            self.settings.api.connections,
            tracker.clone(),
            stop.clone(),
        );
        for listener in listeners {
            tracker.spawn(server.clone().serve(listener));
        }
        let announcer = self.announcer.clone();
        let stopping = stop.clone();
        tracker.spawn(async move { announcer.run(stopping).await });
        self.submit_configured().await;
        self.poller.load().await.context("load the watches")?;
        self.warn_of_orphans().await?;
        self.courier.run(stop, tracker);
        self.groups.run(stop.clone(), tracker);
        if let Some(pruner) = &self.pruner {
            pruner.run(stop.clone(), tracker);
        }
        if let Some(folder) = self.drop_folder.clone() {
            let stopping = stop.clone();
            tracker.spawn(async move { folder.run(stopping).await });
        }
        if !stop.is_cancelled() {
            lifecycle::notify_ready();
        }
        tracing::info!(
            watching = self.poller.watching(),
            version = env!("CARGO_PKG_VERSION"),
            "ready"
        );
        let (poller, stopping) = (self.poller.clone(), stop.clone());
        tracker.spawn(async move { poller.keep_shards(stopping).await });
        let heartbeat = lifecycle::heartbeat(Arc::clone(&self.clock));
        self.poller.run(stop.clone(), heartbeat).await;
        self.end().await;
        Ok(())
    }

    /// Begins the stop: waits and streams end, and nothing new begins.
    pub fn stop(&self) {
        self.lifecycle.stop.cancel();
    }

    /// Submits the `[[watches]]` of the configuration. One that is refused is logged and left
    /// out: a deadline that has passed must not prevent the others.
    pub async fn submit_configured(&self) {
        for (n, request) in self.settings.watches.iter().enumerate() {
            match self.actions.submit_configured(request).await {
                Ok(Submission {
                    watch,
                    is_new: true,
                    ..
                }) => {
                    tracing::info!(watch_id = %watch.id, job_id = watch.job_id, "accepted from the configuration");
                }
                Ok(_) => {}
                Err(SubmitError::Refused(faults)) => {
                    let error = SubmitError::Refused(faults);
                    tracing::error!(key = format!("watches.{n}"), %error, "left out");
                }
                Err(error @ SubmitError::Store(_)) => {
                    let error = anyhow::Error::from(error);
                    tracing::error!(
                        key = format!("watches.{n}"),
                        error = format!("{error:#}"),
                        "not stored; restart to try again"
                    );
                }
            }
        }
    }

    /// Warns of deliveries to sinks that are not configured any more. They are kept.
    async fn warn_of_orphans(&self) -> anyhow::Result<()> {
        let backlog = self
            .store
            .backlog()
            .await
            .context("read the pending deliveries")?;
        for SinkBacklog { sink, pending, .. } in backlog {
            if pending > 0 && self.courier.sink(&sink).is_none() {
                tracing::warn!(
                    sink,
                    deliveries = pending,
                    "deliveries to a sink that is not configured wait until it is configured again"
                );
            }
        }
        Ok(())
    }

    async fn end(&self) {
        let limit = self.settings.stop_timeout;
        if !self.lifecycle.drained(limit).await {
            tracing::warn!(
                after = clock::show_duration(limit),
                "the stop timeout ended before all polls and deliveries did; they are repeated after the next start"
            );
        }
        Polling::flush(&self.poller).await;
        let unsaved = self.poller.unsaved();
        if unsaved > 0 {
            tracing::error!(
                unsaved,
                "could not save these transitions before shutdown; they will be observed again after restart"
            );
        }
        self.store.close().await;
        tracing::info!("stopped");
    }
}

fn composer(settings: &Settings) -> Composer {
    Composer::new(
        Instance(settings.instance.clone()),
        Arc::new(build::subscriptions(settings)),
    )
}

fn courier(
    settings: &Settings,
    store: &SharedStore,
    clock: &SharedClock,
    metrics: &Arc<Metrics>,
    lifecycle: &Lifecycle,
) -> anyhow::Result<Courier> {
    Ok(Courier::new(courier::Parts {
        store: store.clone(),
        sinks: build::sinks(settings, &lifecycle.log)?,
        clock: Arc::clone(clock),
        rng: clock::machine_seeded_rng(),
        metrics: Arc::clone(metrics),
    }))
}

fn groups(
    store: &SharedStore,
    composer: &Composer,
    clock: &SharedClock,
    committed: &Wake,
) -> Groups {
    Groups::new(groups::Parts {
        store: store.clone(),
        composer: composer.clone(),
        clock: Arc::clone(clock),
        committed: committed.clone(),
    })
}

fn pruner(
    settings: &Settings,
    store: &SharedStore,
    clock: &SharedClock,
    metrics: &Arc<Metrics>,
) -> Option<Pruner> {
    Some(Pruner::new(pruner::Parts {
        store: store.clone(),
        keep: build::keep(settings)?,
        spared: Arc::new(build::configured_jobs(settings)),
        clock: Arc::clone(clock),
        metrics: Arc::clone(metrics),
    }))
}

fn guard(api: &ApiSettings) -> Arc<Guard> {
    let (read, write) = (api.read_token.as_ref(), api.write_token.as_ref());
    Arc::new(Guard::new(read, write))
}

fn drop_folder(
    settings: &Settings,
    actions: &Arc<Actions>,
    store: &SharedStore,
) -> Option<Arc<DropFolder>> {
    let path = settings.drop_dir.clone()?;
    let (actions, store) = (Arc::clone(actions), Arc::clone(store));
    Some(Arc::new(DropFolder::new(path, actions, store)))
}

async fn open_store(database: &Database, clock: &SharedClock) -> anyhow::Result<SharedStore> {
    let clock = Arc::clone(clock);
    Ok(match database {
        Database::Sqlite(path) => Arc::new(SqliteStore::open(path, clock)?),
        Database::Postgres(server) => Arc::new(PostgresStore::open(server, clock).await?),
    })
}
