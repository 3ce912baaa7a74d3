//! `PgBouncer` in front of one server: each transaction may get another connection.

use std::process::{Child, Stdio};

use tempfile::TempDir;

use crate::programs::{as_nobody, free_port, give_to_nobody};

/// A running `PgBouncer`.
pub(crate) struct Bouncer {
    pub(crate) port: u16,
    process: Child,
    _folder: TempDir,
}

impl Bouncer {
    pub(crate) fn start(server: u16) -> Self {
        let folder = TempDir::with_prefix("jobwatch-chaos-pgbouncer-").unwrap();
        give_to_nobody(folder.path());
        let port = free_port();
        // A server that is down must be reported before a client stops waiting, so that the client
        // tries the other one.
        let settings = format!(
            "[databases]\njw = host=127.0.0.1 port={server} dbname=jw user=jobwatch\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 20\nunix_socket_dir =\n\
             server_connect_timeout = 2\nserver_login_retry = 1\nquery_wait_timeout = 3\n"
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        let process = as_nobody("--pdeathsig".as_ref())
            .args(["KILL", "pgbouncer"])
            .arg("-q")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            port,
            process,
            _folder: folder,
        }
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
