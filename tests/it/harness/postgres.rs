//! A PostgreSQL server of this test run, on a socket in a folder of its own. It ends with the run,
//! however that ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};
use tokio_util::task::TaskTracker;

use crate::harness::left_out;

/// The user of the server; root may not run one.
const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

/// A running server.
pub(crate) struct Cluster {
    folder: PathBuf,
    /// Stops the server when this process ends, because its standard input ends then.
    _guard: Child,
}

/// Returns the server of this run; `None` if this machine has no PostgreSQL.
pub(crate) fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| programs().map(|programs| Cluster::start(&programs)));
    if cluster.is_none() {
        left_out("PostgreSQL (package postgresql)");
    }
    cluster.as_ref()
}

/// Returns the folder with the programs of the server: on the path, or the newest one of Debian.
fn programs() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let installed = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut versions: Vec<(u32, PathBuf)> = installed
        .flatten()
        .filter_map(|it| {
            Some((
                it.file_name().to_str()?.parse().ok()?,
                it.path().join("bin"),
            ))
        })
        .collect();
    versions.sort();
    let versions = versions.into_iter().rev().map(|(_, folder)| folder);
    on_path
        .chain(versions)
        .find(|folder| folder.join("initdb").exists())
}

/// Returns a command that runs as a user who may run the server.
pub(crate) fn as_user(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(NOBODY).arg(program);
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

impl Cluster {
    fn start(programs: &Path) -> Self {
        let folder = TempDir::with_prefix("jobwatch-postgres-").unwrap().keep();
        if rustix::process::geteuid().is_root() {
            let nobody = Some(65534);
            std::os::unix::fs::chown(&folder, nobody, nobody).unwrap();
        }
        let data = folder.join("data");
        let control = programs.join("pg_ctl");
        run(as_user(&programs.join("initdb"))
            .args([
                "--username=jobwatch",
                "--auth=trust",
                "--no-sync",
                "--encoding=UTF8",
            ])
            .args(["--locale=C.UTF-8", "-D"])
            .arg(&data));
        let options = format!(
            "-k {} -c listen_addresses='' -c max_connections=300 -c fsync=off",
            folder.display()
        );
        run(as_user(&control)
            .args(["-w", "-D"])
            .arg(&data)
            .arg("-l")
            .arg(folder.join("log"))
            .args(["-o", &options, "start"])
            // The server would keep the pipes open.
            .stdout(Stdio::null())
            .stderr(Stdio::null()));
        let stop = format!(
            "cat >/dev/null; {} -D {} -m immediate stop; rm -rf {}",
            control.display(),
            data.display(),
            folder.display()
        );
        let guard = as_user(Path::new("sh"))
            .args(["-c", &stop])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            folder,
            _guard: guard,
        }
    }

    /// Returns the URL of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://jobwatch@{folder}/{database}")
    }

    /// Connects to a database.
    pub(crate) async fn connect(&self, database: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url(database), NoTls)
            .await
            .unwrap();
        TaskTracker::new().spawn(connection);
        client
    }

    /// Makes a database, empty or a copy of another one, and returns its name.
    pub(crate) async fn database(&self, template: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let client = self.connect("postgres").await;
        let sql = format!("CREATE DATABASE {name} TEMPLATE {template}");
        client.batch_execute(&sql).await.unwrap();
        name
    }
}
