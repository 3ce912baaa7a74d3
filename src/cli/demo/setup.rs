//! The parts of the demo: simulators of the three services, a webhook receiver, and the
//! daemon as `jobwatch run` would start it from `config/demo.toml`. They listen on this
//! machine only and keep their files in a private folder, which is removed at the end.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::Method;
use rand::RngExt;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::api::view::{PageView, WatchView};
use crate::app::App;
use crate::cli::client::Client;
use crate::cli::demo::CONFIG;
use crate::cli::demo::receiver::Receiver;
use crate::cli::demo::scenario::Case;
use crate::cli::exit::Exit;
use crate::cli::output::complain;
use crate::clock::SharedClock;
use crate::lifecycle::Lifecycle;
use crate::settings::Loaded;
use crate::simulator::{Service, Simulator, SimulatorHandle};
use crate::sink::signature::Signer;
use crate::tree::source::Sources;
use crate::watch::request::WatchRequest;
use crate::{clock, settings};

/// The longest that each part may take to stop.
const END_MAX: Duration = Duration::from_secs(5);
/// The variable of `config/demo.toml` for the URL of each service.
const URLS: [(Service, &str); 3] = [
    (Service::Dcs, "DEMO_DCS_URL"),
    (Service::SfsTurbo, "DEMO_SFS_TURBO_URL"),
    (Service::Sdrs, "DEMO_SDRS_URL"),
];

pub(super) struct Setup {
    pub(super) receiver: Receiver,
    clouds: Vec<(Service, SimulatorHandle)>,
    client: Client,
    folder: TempDir,
    servers: Lifecycle,
    daemon: Lifecycle,
    ended: JoinHandle<anyhow::Result<()>>,
}

impl Setup {
    /// Starts all parts.
    ///
    /// # Errors
    /// A folder, a socket or the daemon cannot be created.
    pub(super) async fn start(clock: &SharedClock) -> anyhow::Result<Self> {
        let folder = private_folder()?;
        write(folder.path(), "token", "token-1")?;
        let signer = signer(folder.path())?;
        let servers = Lifecycle::default();
        let receiver = Receiver::start(
            signer,
            clock.clone(),
            &servers.tracker,
            servers.stop.clone(),
        );
        let receiver = receiver.await.context("start the webhook receiver")?;
        let clouds = clouds(clock, &servers)?;
        let settings = settings(folder.path(), &clouds, &receiver.url)?.settings;
        let listener = TcpListener::bind(settings.api.listen.context("the demo listens on TCP")?)
            .await
            .context("listen for the API")?;
        let url = format!("http://{}", listener.local_addr()?);
        let daemon = Lifecycle::default();
        let app = App::build(settings, clock.clone(), daemon.clone()).await?;
        Ok(Self {
            receiver,
            clouds,
            client: Client::new(&url).map_err(|_| anyhow!("cannot create an HTTP client"))?,
            folder,
            // Not in the daemon's own tracker, which the daemon waits for in its end.
            ended: servers.tracker.spawn(app.run(vec![listener.into()])),
            servers,
            daemon,
        })
    }

    /// Creates the case's job in its cloud, and submits it to the daemon.
    pub(super) async fn submit(&self, case: &Case) -> Result<WatchView, Exit> {
        let cloud = self.clouds.iter().find(|(it, _)| *it == case.job.service);
        let (service, cloud) = cloud.expect("there is a simulator for each service");
        let job = cloud.create(case.job.clone()).map_err(|error| {
            complain(&format!("{}: {error}", case.name));
            Exit::Failed
        })?;
        let request = WatchRequest {
            service: service.name().to_owned(),
            job_id: job.job_id,
            labels: BTreeMap::from([("case".to_owned(), case.name.to_owned())]),
            deadline: case.deadline.map(str::to_owned),
            ..WatchRequest::default()
        };
        let body = serde_json::to_string(&request).expect("string keys only");
        let answer = self
            .client
            .ask(Method::POST, "/v1/watches", Some(body))
            .await?;
        Ok(answer.body)
    }

    /// Returns all watches as the API shows them.
    pub(super) async fn watches(&self) -> Result<Vec<WatchView>, Exit> {
        let path = "/v1/watches?limit=100";
        let page = self.client.ask::<PageView>(Method::GET, path, None).await?;
        Ok(page.body.watches)
    }

    /// Replaces the token in its file, as another program would that renews tokens.
    pub(super) fn renew_token(&self) -> anyhow::Result<()> {
        let folder = self.folder.path();
        write(folder, "token.new", "token-2")?;
        // Renamed, so that the daemon never reads half a token.
        std::fs::rename(folder.join("token.new"), folder.join("token")).context("replace the token")
    }

    /// Stops all parts, the daemon first, and removes the folder.
    ///
    /// # Errors
    /// The daemon ended with an error, or the folder cannot be removed.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.daemon.stop.cancel();
        let ended = tokio::time::timeout(END_MAX, self.ended).await;
        self.servers.stop.cancel();
        self.servers.drained(END_MAX).await;
        let place = self.folder.path().display().to_string();
        let removed = self.folder.close();
        match ended {
            Ok(Ok(result)) => result.context("the daemon")?,
            Ok(Err(panicked)) => return Err(panicked).context("the daemon"),
            Err(_) => anyhow::bail!("the daemon did not stop within {END_MAX:?}"),
        }
        removed.with_context(|| format!("remove {place}"))
    }
}

fn private_folder() -> anyhow::Result<TempDir> {
    tempfile::Builder::new()
        .prefix("jobwatch-demo-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir()
        .context("make a temporary folder")
}

/// Writes a file that only this user may read, as a secret should be.
pub(super) fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options
        .open(folder.join(name))
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write the demo's {name}"))
}

/// Creates a secret for this run; the daemon reads it from its file.
fn signer(folder: &Path) -> anyhow::Result<Signer> {
    let random: [u8; 32] = clock::machine_seeded_rng().random();
    let secret = format!("whsec_{}", BASE64.encode(random));
    write(folder, "webhook-secret", &secret)?;
    Signer::new(&[SecretString::from(secret)]).map_err(|problem| anyhow!("the secret {problem}"))
}

/// Starts one simulator for each service, since each has its own host in the cloud.
fn clouds(
    clock: &SharedClock,
    servers: &Lifecycle,
) -> anyhow::Result<Vec<(Service, SimulatorHandle)>> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let start = |(service, _): (Service, &str)| {
        let stop = servers.stop.clone();
        let cloud = Simulator::start(any_port, clock.clone(), &servers.tracker, stop)?;
        Ok((service, cloud))
    };
    URLS.into_iter().map(start).collect()
}

/// Loads `config/demo.toml` as `jobwatch run --config` would. The environment of the process is
/// not read: a `JOBWATCH__…` that is set for a real daemon must not change the demo.
fn settings(
    folder: &Path,
    clouds: &[(Service, SimulatorHandle)],
    receiver: &str,
) -> anyhow::Result<Loaded> {
    write(folder, "demo.toml", CONFIG)?;
    let shown = folder
        .to_str()
        .context("the path of the temporary folder is not UTF-8")?;
    let mut environment = BTreeMap::from([
        ("DEMO_FOLDER".to_owned(), shown.to_owned()),
        ("DEMO_RECEIVER_URL".to_owned(), receiver.to_owned()),
    ]);
    for ((_, variable), (_, cloud)) in URLS.iter().zip(clouds) {
        environment.insert((*variable).to_owned(), cloud.url());
    }
    let sources = Sources {
        files: vec![folder.join("demo.toml")],
        environment,
        ..Sources::default()
    };
    settings::load(&sources).map_err(|problems| anyhow!("{problems}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn the_configuration_of_the_demo_is_valid() {
        let servers = Lifecycle::default();
        let clouds = clouds(&SystemClock::shared(), &servers).unwrap();
        let folder = private_folder().unwrap();
        write(folder.path(), "token", "t").unwrap();
        signer(folder.path()).unwrap();
        let loaded = settings(folder.path(), &clouds, "http://127.0.0.1:1/events").unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        assert_eq!(loaded.settings.services.len(), clouds.len());
        for (service, cloud) in clouds {
            let configured = &loaded.settings.services[service.name()];
            assert_eq!(configured.base.to_string(), cloud.url());
        }
        servers.stop.cancel();
    }

    #[tokio::test]
    async fn a_stopped_demo_leaves_nothing_behind() {
        let setup = Setup::start(&SystemClock::shared()).await.unwrap();
        let folder = setup.folder.path().to_owned();
        assert!(setup.watches().await.unwrap().is_empty());
        assert!(folder.join("jobwatch.db").exists());
        setup.stop().await.unwrap();
        assert!(!folder.exists());
    }
}
