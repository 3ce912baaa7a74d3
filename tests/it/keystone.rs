//! The real program logs in at a real Keystone (`tests/keystone`), and asks a job API that
//! takes each token back to that Keystone.
//!
//! Where no Keystone was prepared each test says so and passes; with `CI=true` it fails.

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

/// Names the folder that `tests/keystone/prepare` made.
const PREPARED: &str = "JOBWATCH_TEST_KEYSTONE";
/// Longer than anything here takes, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_mins(1);

/// What all tests of this folder serve and ask with, each from a thread of its own.
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

/// The shared cloud, unless the test is to be left out.
fn shared(cloud: &'static LazyLock<Cloud>) -> Option<&'static Cloud> {
    if prepared().is_some() {
        return Some(LazyLock::force(cloud));
    }
    let thread = thread::current();
    let test = thread.name().unwrap_or_default();
    let said = format!("{test}: {PREPARED} is not set; see tests/keystone/README.md");
    assert!(env::var_os("CI").is_none_or(|it| it != "true"), "{said}");
    // Not by `eprintln!`, which is shown only of a test that fails.
    let line = format!("\nSKIPPED {said}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    None
}
