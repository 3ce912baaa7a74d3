//! The daemon as a process, with a folder of its own.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use jobwatch::clock::SystemClock;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::client;

/// A running daemon; it is killed at the end.
pub(crate) struct Daemon {
    process: Child,
    core: Option<usize>,
    pub(crate) address: SocketAddr,
    pub(crate) folder: tempfile::TempDir,
}

impl Daemon {
    /// Starts a daemon on this core, or on any, and waits until it is ready. The settings follow
    /// those that every benchmark needs: the store, the API, and the credential `fixed`.
    pub(crate) async fn start(core: Option<usize>, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = free_address();
        let settings = format!(
            "instance = \"bench\"\n[log]\nfilter = \"error\"\n\
             [store]\nurl = \"sqlite://{}/jobwatch.db\"\n[api]\nlisten = \"{address}\"\nconnections = 20000\n\
             [credentials.fixed]\nkind = \"token\"\ntoken_file = \"{}/token\"\n{more}",
            folder.path().display(),
            folder.path().display(),
        );
        std::fs::write(folder.path().join("jobwatch.toml"), settings).expect("a file");
        std::fs::write(folder.path().join("token"), "secret").expect("a file");
        restrict(&folder.path().join("token"));
        let mut daemon = Self {
            process: spawn(core, folder.path()),
            core,
            address,
            folder,
        };
        daemon.ready().await;
        daemon
    }

    /// Ends the daemon by this signal, starts it again, and returns the time until it is ready.
    pub(crate) async fn restart(&mut self, signal: Signal) -> Duration {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        kill_process(id.expect("an id"), signal).expect("a process of ours");
        self.process.wait().expect("a process");
        let clock = SystemClock::shared();
        self.process = spawn(self.core, self.folder.path());
        self.ready().await;
        clock.uptime()
    }

    async fn ready(&mut self) {
        while client::get(self.address, "/readyz")
            .await
            .is_none_or(|(status, _)| status != 200)
        {
            if let Some(ended) = self.process.try_wait().expect("a process") {
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                panic!("the daemon ended ({ended}):\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns the id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns the resident memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.expect("a Linux machine");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        kib.expect("a number") * 1024
    }

    /// Returns the file of the store.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("jobwatch.db")
    }

    /// Returns the file of the log, which has the lines of the log sink too.
    pub(crate) fn log(&self) -> PathBuf {
        log_in(self.folder.path())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the work on a thread that stays on this core; processes that it starts stay there too.
pub(crate) fn on_core<T: Send>(core: Option<usize>, work: impl FnOnce() -> T + Send) -> T {
    let placed = move || {
        stay_on(core);
        work()
    };
    std::thread::scope(|scope| scope.spawn(placed).join().expect("the work ends"))
}

/// Keeps this thread, and the threads and processes that it starts, on this core.
pub(crate) fn stay_on(core: Option<usize>) {
    if let Some(core) = core {
        let mut set = CpuSet::new();
        set.set(core);
        sched_setaffinity(None, &set).expect("a core of this process");
    }
}

fn spawn(core: Option<usize>, folder: &Path) -> Child {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log_in(folder));
    let log: File = log.expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_jobwatch"));
    command.args(["run", "--config"]);
    command.arg(folder.join("jobwatch.toml")).stdout(log);
    on_core(core, || command.spawn().expect("the daemon"))
}

fn log_in(folder: &Path) -> PathBuf {
    folder.join("log")
}

fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

fn restrict(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(file, mode).expect("a file of ours");
}
