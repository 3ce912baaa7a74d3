//! The settings that a test changes, and the program built from them.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use jobwatch::clock::SteppedClock;
use jobwatch::lifecycle::Lifecycle;
use jobwatch::simulator::{Simulator, SimulatorHandle, SimulatorOptions};
use jobwatch::tree::source::Sources;
use jobwatch::{app, settings};

use crate::harness::receiver::Receiver;
use crate::harness::{App, TOKEN, WEBHOOK_SECRET};

/// The time at which every test begins.
const START: &str = "2026-11-22T10:00:00Z";

/// The settings that a test changes.
pub(crate) struct Setup {
    /// Settings that stand before all tables.
    pub(crate) head: String,
    /// Further settings of the store.
    pub(crate) store: String,
    /// Members of `poll` of each service.
    pub(crate) schedule: String,
    /// `rate`, `burst` and `concurrency` of each service.
    pub(crate) limits: String,
    /// Further lines of the sink `hook`.
    pub(crate) hook: String,
    /// Further settings; `{sim}` and `{folder}` stand for the simulator's URL and the folder.
    pub(crate) more: String,
    /// The only tokens the simulator accepts.
    pub(crate) tokens: Option<Vec<String>>,
    /// The clock of the surroundings of the program.
    pub(crate) clock: SteppedClock,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            head: String::new(),
            store: String::new(),
            schedule: "jitter = 0.0".to_owned(),
            limits: "rate = 10000.0\nburst = 10000\nconcurrency = 64".to_owned(),
            hook: String::new(),
            more: String::new(),
            tokens: None,
            clock: SteppedClock::at(START.parse().unwrap()),
        }
    }
}

impl Setup {
    /// Builds the program and its surroundings; nothing is due yet.
    pub(crate) async fn start(self) -> App {
        let folder = tempfile::tempdir().unwrap();
        let clock = self.clock.clone();
        let tracker = TaskTracker::new();
        let options = SimulatorOptions {
            accept_tokens: self.tokens.clone(),
            ..SimulatorOptions::default()
        };
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let simulator = Simulator::bind_with(address, Arc::new(clock.clone()), options)
            .unwrap()
            .spawn(&tracker, CancellationToken::new());
        let receiver = Receiver::start(&tracker).await;
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
        write("token", TOKEN).unwrap();
        write("webhook-secret", WEBHOOK_SECRET).unwrap();
        let settings = self.toml(folder.path(), &simulator, &receiver);
        let program = build(folder.path(), &settings, &clock).await;
        App {
            program,
            clock,
            simulator,
            receiver,
            tracker,
            settings,
            folder,
        }
    }

    fn toml(&self, folder: &Path, simulator: &SimulatorHandle, receiver: &Receiver) -> String {
        let services = ["dcs", "sfs-turbo", "sdrs"].map(|name| {
            format!(
                "[services.{name}]\ndefinition = \"{name}\"\nurl = \"{{sim}}\"\ncredential = \"sim\"\n\
                 params = {{ project_id = \"p\" }}\n{}\npoll = {{ {} }}\n",
                self.limits, self.schedule
            )
        });
        let text = format!(
            "instance = \"test\"\n{}\n\
             [store]\nurl = \"sqlite://{{folder}}/jobwatch.db\"\n{}\n\
             [credentials.sim]\nkind = \"token\"\ntoken_file = \"{{folder}}/token\"\n\
             [sinks.hook]\nkind = \"webhook\"\nurl = \"{}\"\nsecret_file = \"{{folder}}/webhook-secret\"\n{}\n{}\n{}",
            self.head,
            self.store,
            receiver.url(),
            self.hook,
            services.concat(),
            self.more
        );
        text.replace("{sim}", &simulator.url())
            .replace("{folder}", &folder.display().to_string())
    }
}

/// Loads the settings and builds the program, ready for submissions.
pub(super) async fn build(folder: &Path, settings: &str, clock: &SteppedClock) -> app::App {
    let file = folder.join("jobwatch.toml");
    std::fs::write(&file, settings).unwrap();
    let sources = Sources {
        files: vec![file],
        ..Sources::default()
    };
    let loaded = settings::load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
    let clock = Arc::new(clock.clone());
    let program = app::App::build(loaded.settings, clock, Lifecycle::default())
        .await
        .unwrap();
    // As `App::run` does before anything can be submitted.
    program.poller.load().await.unwrap();
    program
}
