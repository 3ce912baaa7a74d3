//! `wait --local`: a daemon within this process, for the time of the wait.
//!
//! It is the same program as `jobwatch run` with the same configuration, so a job is read in the
//! same way. It has a store in a private folder that is removed at the end, and sends no event:
//! the sinks and callbacks of the configuration are left out.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use http::Method;
use rand::RngExt;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::api::view::WatchView;
use crate::app::App;
use crate::cli::client::Client;
use crate::cli::complaint::{complain, complain_of_usage};
use crate::cli::config_args::ConfigArgs;
use crate::cli::exit::Exit;
use crate::clock;
use crate::clock::SystemClock;
use crate::lifecycle::Lifecycle;
use crate::settings::Database;
use crate::watch::request::WatchRequest;

/// The daemon within this process.
pub(super) struct Local {
    pub(super) client: Arc<Client>,
    lifecycle: Lifecycle,
    running: JoinSet<anyhow::Result<()>>,
    _folder: TempDir,
}

impl Local {
    /// Starts the daemon with this configuration.
    pub(super) async fn start(config: &ConfigArgs) -> Result<Self, Exit> {
        let failed = |error: anyhow::Error| {
            complain(&format!("cannot watch in this process: {error:#}"));
            Exit::Failed
        };
        let mut settings = config.load_or_complain()?.settings;
        let folder = tempfile::tempdir().map_err(|error| failed(error.into()))?;
        // Others on this machine may reach the address, but do not know the token.
        let random: [u8; 32] = clock::machine_seeded_rng().random();
        let token = SecretString::from(BASE64.encode(random));
        settings.store.database = Database::Sqlite(folder.path().join("jobwatch.db"));
        settings.sinks.clear();
        settings.watches.clear();
        settings.drop_dir = None;
        settings.api.callback = None;
        settings.api.read_token = None;
        settings.api.write_token = Some(token.clone());
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(any_port).await;
        let listener = listener.map_err(|error| failed(error.into()))?;
        let address = listener.local_addr();
        let address = address.map_err(|error| failed(error.into()))?;
        let lifecycle = Lifecycle::default();
        let app = App::build(settings, SystemClock::shared(), lifecycle.clone()).await;
        let mut running = JoinSet::new();
        running.spawn(app.map_err(failed)?.run(vec![listener.into()]));
        let client = Client::with_token(&format!("http://{address}"), token)?;
        Ok(Self {
            client: Arc::new(client),
            lifecycle,
            running,
            _folder: folder,
        })
    }

    /// Begins to watch `SERVICE/JOB_ID`; returns the id of the watch.
    pub(super) async fn submit(
        &self,
        reference: &str,
        params: &[(String, String)],
    ) -> Result<String, Exit> {
        let Some((service, job_id)) = reference.split_once('/') else {
            return Err(complain_of_usage(&format!(
                "invalid reference `{reference}`; with --local it must be SERVICE/JOB_ID"
            )));
        };
        let request = WatchRequest {
            service: service.to_owned(),
            job_id: job_id.to_owned(),
            params: params.iter().cloned().collect(),
            ..WatchRequest::default()
        };
        let body = serde_json::to_string(&request).expect("string keys only");
        let asked = self
            .client
            .ask::<WatchView>(Method::POST, "/v1/watches", Some(body));
        Ok(asked.await?.body.id)
    }

    /// Stops the daemon and removes its folder.
    pub(super) async fn stop(mut self) {
        self.lifecycle.stop.cancel();
        while let Some(ended) = self.running.join_next().await {
            if let Ok(Err(error)) = ended {
                complain(&format!("{error:#}"));
            }
        }
    }
}
