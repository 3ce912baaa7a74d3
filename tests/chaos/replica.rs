//! The replicas: processes of the program, each with its settings, its log and its clock.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::programs::free_port;
use crate::proxy::Proxy;

/// Longer than an orderly stop may take.
const STOP_MAX: Duration = Duration::from_secs(40);

/// The addresses that the settings of a replica name.
pub(crate) struct Surroundings {
    pub(crate) cloud: String,
    pub(crate) hook: String,
    /// The ports of the two servers.
    pub(crate) servers: [u16; 2],
    pub(crate) faketime: Option<PathBuf>,
}

/// One replica, whose process starts again and again.
pub(crate) struct Replica {
    pub(crate) number: usize,
    pub(crate) api: String,
    pub(crate) proxy: Proxy,
    folder: TempDir,
    faketime: Option<PathBuf>,
    process: Child,
    /// The starts so far. The name of a process has their number.
    starts: usize,
    /// How often the process ended by itself.
    pub(crate) own_ends: usize,
}

impl Replica {
    pub(crate) fn start(number: usize, proxy: Proxy, around: &Surroundings) -> Self {
        let folder = TempDir::with_prefix("jobwatch-chaos-replica-").unwrap();
        let api = format!("127.0.0.1:{}", free_port());
        let [one, two] = around.servers;
        let (cloud, hook) = (&around.cloud, &around.hook);
        let place = folder.path().display();
        let settings = format!(
            "instance = \"chaos\"\n[log]\nfilter = \"info\"\nformat = \"json\"\n\
             [store]\nurl = \"postgres://jobwatch@127.0.0.1:{one},127.0.0.1:{two}/jw\"\nsslmode = \"disable\"\n\
             [api]\nlisten = \"{api}\"\n\
             [credentials.own]\nkind = \"token\"\ntoken_file = \"{place}/token\"\n\
             [services.sdrs]\ndefinition = \"sdrs\"\nurl = \"{cloud}\"\ncredential = \"own\"\n\
             params = {{ project_id = \"0123456789abcdef0123456789abcdef\" }}\n\
             rate = 1000.0\nburst = 1000\nconcurrency = 32\n\
             poll = {{ first = \"500ms\", initial = \"1s\", max = \"2s\" }}\n\
             [sinks.log]\nevents = [\"job.held\"]\n\
             [sinks.hook]\nkind = \"webhook\"\nurl = \"{hook}\"\n\
             secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n"
        );
        std::fs::write(folder.path().join("jobwatch.toml"), settings).unwrap();
        write_whole(&folder.path().join("clock"), "+0");
        let process = launch(folder.path(), number, 0, around.faketime.as_deref());
        Self {
            number,
            api,
            proxy,
            folder,
            faketime: around.faketime.clone(),
            process,
            starts: 0,
            own_ends: 0,
        }
    }

    /// The name of the running process, by which the cloud and the database know it.
    pub(crate) fn name(&self) -> String {
        name(self.number, self.starts)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Starts the process anew; the one before must have ended.
    pub(crate) fn start_again(&mut self) {
        self.starts += 1;
        let faketime = self.faketime.as_deref();
        self.process = launch(self.folder.path(), self.number, self.starts, faketime);
    }

    /// Starts the process anew if it has ended by itself.
    pub(crate) fn supervise(&mut self) {
        if matches!(self.process.try_wait(), Ok(Some(_))) {
            self.own_ends += 1;
            self.start_again();
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.process.id()).unwrap();
        // A process that has just ended by itself gets none.
        let _ = kill_process(Pid::from_raw(id).unwrap(), signal);
    }

    /// Waits for the end of the process.
    ///
    /// # Errors
    /// It goes on for too long.
    pub(crate) async fn ended(&mut self) -> Result<(), String> {
        let ended = async {
            while matches!(self.process.try_wait(), Ok(None)) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let late = timeout(STOP_MAX, ended).await.is_err();
        if late {
            self.signal(Signal::KILL);
            let _ = self.process.wait();
            return Err(format!("{} did not stop after SIGTERM", self.name()));
        }
        Ok(())
    }

    /// Moves the wall clock of the process by these seconds.
    pub(crate) fn set_clock(&self, seconds: i64) {
        write_whole(&self.folder.path().join("clock"), &format!("{seconds:+}"));
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn name(number: usize, starts: usize) -> String {
    format!("r{number}-{starts}")
}

/// Writes a file that is there in whole at any time.
fn write_whole(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

fn launch(folder: &Path, number: usize, starts: usize, faketime: Option<&Path>) -> Child {
    let name = name(number, starts);
    std::fs::write(folder.join("token"), &name).unwrap();
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    // It ends with the test, however that ends.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_jobwatch")])
        .arg("run")
        .arg("--config")
        .arg(folder.join("jobwatch.toml"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("JOBWATCH__STORE__REPLICA", &name)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    if let Some(library) = faketime {
        command
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", folder.join("clock"))
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    command.spawn().unwrap()
}
