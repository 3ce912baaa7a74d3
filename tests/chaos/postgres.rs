//! Two `PostgreSQL` servers: a primary, and a standby that has each commit before it is acknowledged.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::sleep;
use tokio_postgres::{Client, NoTls};

use crate::programs::{as_nobody, free_port, give_to_nobody, run};

/// Longer than a standby needs to begin.
const STANDBY_MAX: Duration = Duration::from_secs(30);

struct Node {
    data: PathBuf,
    port: u16,
}

/// The two servers.
pub(crate) struct Pair {
    programs: PathBuf,
    folder: TempDir,
    nodes: [Node; 2],
    primary: usize,
    /// Stops the servers when this process ends, however that ends.
    guard: Child,
}

impl Pair {
    /// Starts both, with an empty database `jw`.
    pub(crate) async fn start(programs: &Path) -> Self {
        let folder = TempDir::with_prefix("jobwatch-chaos-postgres-").unwrap();
        give_to_nobody(folder.path());
        let nodes = ["one", "two"].map(|name| Node {
            data: folder.path().join(name),
            port: free_port(),
        });
        let stops = nodes.each_ref().map(|node| {
            let control = programs.join("pg_ctl");
            let (control, data) = (control.display(), node.data.display());
            format!("{control} -D {data} -m immediate stop")
        });
        let guard = as_nobody(Path::new("sh"))
            .args(["-c", &format!("cat >/dev/null; {}", stops.join("; "))])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pair = Self {
            programs: programs.to_owned(),
            folder,
            nodes,
            primary: 0,
            guard,
        };
        run(as_nobody(&programs.join("initdb"))
            .args(["--username=jobwatch", "--auth=trust", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C.UTF-8", "-D"])
            .arg(&pair.nodes[0].data));
        pair.launch(0);
        let client = pair.connect("postgres").await.unwrap();
        client.batch_execute("CREATE DATABASE jw").await.unwrap();
        pair.make_standby().await;
        pair
    }

    /// Returns the ports of both.
    pub(crate) fn ports(&self) -> [u16; 2] {
        self.nodes.each_ref().map(|node| node.port)
    }

    /// Connects to the primary.
    pub(crate) async fn connect(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        connect(self.nodes[self.primary].port, database).await
    }

    pub(crate) fn primary_port(&self) -> u16 {
        self.nodes[self.primary].port
    }

    fn launch(&self, index: usize) {
        let node = &self.nodes[index];
        let options = format!(
            "-k {} -p {} -c listen_addresses=127.0.0.1 -c max_connections=200 -c fsync=off",
            self.folder.path().display(),
            node.port
        );
        run(as_nobody(&self.programs.join("pg_ctl"))
            .args(["-w", "-D"])
            .arg(&node.data)
            .arg("-l")
            .arg(self.folder.path().join("log"))
            .args(["-o", &options, "start"])
            // The server would keep the pipes open.
            .stdout(Stdio::null())
            .stderr(Stdio::null()));
    }

    /// Makes the other server a standby of the primary; then each commit waits for it.
    pub(crate) async fn make_standby(&self) {
        let standby = &self.nodes[1 - self.primary];
        // There is nothing yet, the first time.
        let _ = std::fs::remove_dir_all(&standby.data);
        run(as_nobody(&self.programs.join("pg_basebackup"))
            .args(["-R", "-X", "stream", "-c", "fast", "--no-sync"])
            .args(["-h", "127.0.0.1", "-U", "jobwatch", "-p"])
            .arg(self.primary_port().to_string())
            .arg("-D")
            .arg(&standby.data)
            .stdout(Stdio::null()));
        self.launch(1 - self.primary);
        let client = self.connect("postgres").await.unwrap();
        let set = "ALTER SYSTEM SET synchronous_standby_names = '*'";
        client.batch_execute(set).await.unwrap();
        let reload = "SELECT pg_reload_conf()";
        client.batch_execute(reload).await.unwrap();
        let is_sync = async {
            let sql = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'";
            while client.query(sql, &[]).await.unwrap().is_empty() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        let synced = tokio::time::timeout(STANDBY_MAX, is_sync).await;
        synced.expect("a standby that follows");
    }

    /// Kills the primary and promotes the standby.
    pub(crate) fn fail_over(&mut self) {
        let file = self.nodes[self.primary].data.join("postmaster.pid");
        let text = std::fs::read_to_string(&file).unwrap();
        let postmaster = text.lines().next().unwrap();
        // The first line of the children has the id of their parent.
        let script = format!(
            "children=$(cat /proc/{postmaster}/task/*/children); kill -9 {postmaster} $children"
        );
        // A child may have ended by itself.
        let _ = Command::new("sh")
            .args(["-c", &script])
            .stderr(Stdio::null())
            .status();
        self.primary = 1 - self.primary;
        run(as_nobody(&self.programs.join("pg_ctl"))
            .args(["-w", "-D"])
            .arg(&self.nodes[self.primary].data)
            .arg("promote")
            .stdout(Stdio::null()));
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // The folder is removed afterwards.
        let _ = self.guard.wait();
    }
}

/// Connects to the server at a port.
pub(crate) async fn connect(port: u16, database: &str) -> Result<Client, tokio_postgres::Error> {
    let url = format!("postgres://jobwatch@127.0.0.1:{port}/{database}?connect_timeout=2");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio_util::task::TaskTracker::new().spawn(connection);
    Ok(client)
}
