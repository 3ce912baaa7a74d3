//! The real program logs in at a real Keystone (`tests/keystone`) and polls a job API that
//! validates each token at that Keystone.
//!
//! Without a prepared Keystone each test prints that and passes; with `CI=true` it fails.

mod expiry;
mod identity;
mod jobs;
mod login;
mod renewal;
mod watcher;

use std::io::Write;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;
use std::{env, thread};

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use self::identity::Keystone;
use self::jobs::JobApi;

/// The variable with the folder that `tests/keystone/prepare` made.
const PREPARED: &str = "JOBWATCH_TEST_KEYSTONE";
/// Longer than any step takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The runtime that all tests of this folder share; each test has its own thread.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
/// Its tokens outlive the tests.
static LASTING: LazyLock<Cloud> = LazyLock::new(|| Cloud::start(3600));
/// Its tokens live for more than three and at most four seconds.
static BRIEF: LazyLock<Cloud> = LazyLock::new(|| Cloud::start(4));

/// A Keystone, and the job API in its catalog.
struct Cloud {
    keystone: Keystone,
    jobs: JobApi,
}

impl Cloud {
    fn start(lifetime: u32) -> Self {
        let folder = prepared().expect("asked before");
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keystone = Keystone::start(&folder, lifetime, &url);
        let jobs = JobApi::start(listener, url, &keystone);
        Self { keystone, jobs }
    }
}

fn prepared() -> Option<PathBuf> {
    env::var_os(PREPARED).map(PathBuf::from)
}

/// The shared cloud, or `None` if the test is skipped.
fn shared(cloud: &'static LazyLock<Cloud>) -> Option<&'static Cloud> {
    if prepared().is_some() {
        return Some(LazyLock::force(cloud));
    }
    let thread = thread::current();
    let test = thread.name().unwrap_or_default();
    let said = format!("{test}: {PREPARED} is not set; see tests/keystone/README.md");
    assert!(env::var_os("CI").is_none_or(|it| it != "true"), "{said}");
    // `eprintln!` would be shown only if the test fails.
    let line = format!("\nSKIPPED {said}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    None
}
