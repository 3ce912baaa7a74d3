//! `jobwatch run`: loads the configuration and runs the daemon.

use anyhow::Context;
use clap::Args;

use crate::api::server::Listener;
use crate::app::App;
use crate::cli::output::complain;
use crate::cli::paint::Paint;
use crate::cli::{ConfigArgs, Exit};
use crate::clock::SystemClock;
use crate::lifecycle::Lifecycle;
use crate::settings::{ApiSettings, Loaded};
use crate::telemetry::LogOutput;
use crate::{lifecycle, telemetry};

/// Open files of the daemon beside the connections to its API: polls, deliveries, the store.
const FILES_OWN: usize = 256;
/// The fewest connections, even with very few open files.
const CONNECTIONS_MIN: usize = 16;

/// Polls jobs, sends events to sinks and serves the API until SIGTERM or SIGINT.
#[derive(Args)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigArgs,
}

impl Run {
    pub(super) async fn execute(self) -> Exit {
        let loaded = match self.config.load_or_complain() {
            Ok(loaded) => loaded,
            Err(exit) => return exit,
        };
        let log = match telemetry::start(&loaded.settings.log, Paint::for_stdout().is_on()) {
            Ok(log) => log,
            Err(error) => {
                complain(&format!("{error:#}"));
                return Exit::Usage;
            }
        };
        let ended = daemon(loaded, log.clone()).await;
        if let Err(error) = &ended {
            tracing::error!(error = format!("{error:#}"), "cannot run");
        }
        log.flush();
        match ended {
            Ok(()) => Exit::Done,
            Err(error) => {
                // Again: the log may be collected where the operator does not see it.
                telemetry::print_last_error(&format!("jobwatch: {error:#}"));
                Exit::Failed
            }
        }
    }
}

/// Opens all places where the API listens.
fn listeners(api: &ApiSettings) -> anyhow::Result<Vec<Listener>> {
    let tcp = api.listen.map(|listen| {
        Listener::tcp(listen, api.certificate.clone()).with_context(|| {
            format!("cannot listen on {listen} (api.listen); is another jobwatch running?")
        })
    });
    let unix = api.socket.as_ref().map(|socket| {
        let path = &socket.path;
        let made = Listener::unix(path, socket.mode);
        made.with_context(|| format!("cannot listen at {} (api.socket)", path.display()))
    });
    tcp.into_iter().chain(unix).collect()
}

/// Returns the connections that the limit of open files allows, and warns if that is fewer.
fn bounded(connections: usize) -> usize {
    let files = usize::try_from(lifecycle::raise_file_limit()).unwrap_or(usize::MAX);
    let room = files.saturating_sub(FILES_OWN).max(CONNECTIONS_MIN);
    if room < connections {
        tracing::warn!(
            connections = room,
            files,
            "the limit of open files allows fewer connections than `api.connections`; raise it (LimitNOFILE in the unit, `ulimit -n`)"
        );
    }
    room.min(connections)
}

async fn daemon(mut loaded: Loaded, log: LogOutput) -> anyhow::Result<()> {
    for warning in &loaded.warnings {
        tracing::warn!(%warning, "settings");
    }
    if loaded.settings.services.is_empty() {
        tracing::warn!("no service is configured, so no job can be watched; add [services.NAME]");
    }
    let lifecycle = Lifecycle {
        log,
        ..Lifecycle::default()
    };
    lifecycle
        .handle_signals()
        .context("install signal handlers")?;
    let api = &mut loaded.settings.api;
    api.connections = bounded(api.connections);
    let listeners = listeners(api)?;
    let listen = listeners.iter().find_map(Listener::address);
    let socket = api
        .socket
        .as_ref()
        .map(|socket| socket.path.display().to_string());
    tracing::info!(
        listen = listen.map(|listen| listen.to_string()),
        socket,
        tls = api.certificate.is_some(),
        store = loaded.settings.store.database.shown(),
        "starting"
    );
    let app = App::build(loaded.settings, SystemClock::shared(), lifecycle).await?;
    app.run(listeners).await
}
