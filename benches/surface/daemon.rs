//! The daemon as a process, with a folder of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::client;

/// A running daemon; it is killed at the end.
pub(crate) struct Daemon {
    process: Child,
    pub(crate) address: SocketAddr,
    pub(crate) folder: tempfile::TempDir,
}

impl Daemon {
    /// Starts a daemon that polls the DCS jobs at `cloud`, and waits until it is ready.
    pub(crate) async fn start(cloud: SocketAddr, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = free_address();
        let settings = format!(
            "instance = \"bench\"\n[log]\nfilter = \"error\"\n\
             [store]\nurl = \"sqlite://{}/jobwatch.db\"\n[api]\nlisten = \"{address}\"\nconnections = 20000\n\
             [credentials.fixed]\nkind = \"token\"\ntoken_file = \"{}/token\"\n\
             [services.dcs]\ndefinition = \"dcs\"\nurl = \"http://{cloud}\"\ncredential = \"fixed\"\n\
             params = {{ project_id = \"p\" }}\nrate = 2000.0\nburst = 2000\nconcurrency = 64\n\
             poll = {{ first = \"1h\", initial = \"1h\", max = \"1h\" }}\n{more}",
            folder.path().display(),
            folder.path().display(),
        );
        std::fs::write(folder.path().join("jobwatch.toml"), settings).expect("a file");
        std::fs::write(folder.path().join("token"), "secret").expect("a file");
        restrict(&folder.path().join("token"));
        let mut daemon = Self {
            process: spawn(&folder.path().join("jobwatch.toml")),
            address,
            folder,
        };
        daemon.ready().await;
        daemon
    }

    /// Kills the daemon and starts it again.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.process.kill().expect("a process");
        self.process.wait().expect("a process");
        self.process = spawn(&self.folder.path().join("jobwatch.toml"));
        self.ready().await;
    }

    async fn ready(&mut self) {
        while client::get(self.address, "/readyz")
            .await
            .is_none_or(|(status, _)| status != 200)
        {
            let ended = self.process.try_wait().expect("a process");
            assert!(ended.is_none(), "the daemon ended: {ended:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns the resident memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("a Linux machine");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        kib.expect("a number") * 1024
    }

    /// Returns the file of the store.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("jobwatch.db")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(settings: &std::path::Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_jobwatch"))
        .args(["run", "--config"])
        .arg(settings)
        .stdout(Stdio::null())
        .spawn()
        .expect("the daemon")
}

fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

fn restrict(file: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(file, mode).expect("a file of ours");
}
