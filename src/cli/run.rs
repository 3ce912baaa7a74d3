//! `jobwatch run`: the daemon.

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

/// Polls jobs, tells sinks and serves the API until SIGTERM or SIGINT.
#[derive(Args)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigArgs,
}

impl Run {
    pub(super) async fn execute(self) -> Exit {
        let loaded = match self.config.load() {
            Ok(loaded) => loaded,
            Err(problems) => {
                complain(&problems.to_string());
                return Exit::Usage;
            }
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
                // Again: the log may be collected elsewhere, where no person looks now.
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
        tracing::warn!(
            "no service is configured, so nothing can be watched; see `jobwatch services`"
        );
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
