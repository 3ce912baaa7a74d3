//! `jobwatch run`: loads the configuration and runs the daemon.

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;

use crate::app::App;
use crate::cli::output::complain;
use crate::cli::{ConfigArgs, Exit};
use crate::clock::SystemClock;
use crate::lifecycle::Lifecycle;
use crate::settings::Loaded;
use crate::telemetry;
use crate::telemetry::LogOutput;

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
        let log = match telemetry::start(&loaded.settings.log) {
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

async fn daemon(loaded: Loaded, log: LogOutput) -> anyhow::Result<()> {
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
    let listen = loaded.settings.api.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("cannot listen on {listen} (api.listen); is another jobwatch running?")
    })?;
    tracing::info!(listen = %listener.local_addr()?, store = %loaded.settings.store.display(), "starting");
    let app = App::build(loaded.settings, SystemClock::shared(), lifecycle)?;
    app.run(listener).await
}
