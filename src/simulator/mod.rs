//! A simulator of three job APIs of the Open Telekom Cloud: DCS, SFS Turbo and SDRS; and of
//! resources, whose answers mislead a watcher in all the ways that are known (`resource`).
//!
//! It speaks HTTP on a real socket, so that demonstrations, rehearsals, load tests and our
//! own tests exercise the same code as a cloud would: a broken connection really breaks.
//! Bodies, statuses and errors are those of the services' API references; where a service is
//! known to differ from its reference, they are those of the service.
//!
//! Jobs are created with `POST /_sim/jobs` or, in the same process, [`SimulatorHandle::create`],
//! and resources with `POST /_sim/resources`; `GET /_sim/` explains. The answer to a poll is a pure function of the job, the time and the
//! request (`poll`); the time is that of the clock passed in. Only the `slow` fault takes real
//! time.
//!
//! A new service is one file beside `sdrs`, and one arm in each match that the compiler names.

mod answer;
mod control;
mod dcs;
mod faults;
mod gateway;
mod ids;
mod job;
mod payload;
mod poll;
mod refusal;
mod registry;
mod resource;
mod sdrs;
mod serve;
mod service;
mod sfs_turbo;
mod snapshot;
mod spec;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::faults::{Faults, RetryAfter, Throttle};
use self::refusal::Refusal;
use self::registry::Registry;
pub use self::registry::{CreatedJob, JobView, MAX_JOBS, PollView, SimulatorOptions};
pub use self::resource::{
    Absence, BodyFormat, Flicker, ResourcePoll, ResourceSpec, ResourceView, RunSpec,
};
pub use self::service::{PROJECT_ID, Service};
pub use self::spec::{Ending, JobSpec, SubJobSpec};
use crate::clock::SharedClock;

/// The most connections that wait to be accepted: a load test opens them all at once.
const BACKLOG: u32 = 4096;

/// A simulator that listens and does not serve yet.
#[derive(Debug)]
pub struct Simulator {
    listener: TcpListener,
    handle: SimulatorHandle,
}

/// A handle of a running simulator in the same process. Clones share its jobs.
#[derive(Clone)]
pub struct SimulatorHandle {
    registry: Arc<Registry>,
    address: SocketAddr,
}

impl Simulator {
    /// Listens on `addr`; port 0 takes any free one. Must be called within a tokio runtime.
    pub fn bind(addr: SocketAddr, clock: SharedClock) -> anyhow::Result<Self> {
        Self::bind_with(addr, clock, SimulatorOptions::default())
    }

    /// Listens as [`bind`](Self::bind) does, with options.
    pub fn bind_with(
        addr: SocketAddr,
        clock: SharedClock,
        options: SimulatorOptions,
    ) -> anyhow::Result<Self> {
        let listener = listen(addr).with_context(|| format!("listen on {addr}"))?;
        let address = listener
            .local_addr()
            .context("read the address listened on")?;
        let registry = Arc::new(Registry::new(clock, options));
        let handle = SimulatorHandle { registry, address };
        Ok(Self { listener, handle })
    }

    /// Listens and serves in a task of `tracker` until `stop`.
    pub fn start(
        addr: SocketAddr,
        clock: SharedClock,
        tracker: &TaskTracker,
        stop: CancellationToken,
    ) -> anyhow::Result<SimulatorHandle> {
        Ok(Self::bind(addr, clock)?.spawn(tracker, stop))
    }

    /// Serves in a task of `tracker` until `stop`.
    pub fn spawn(self, tracker: &TaskTracker, stop: CancellationToken) -> SimulatorHandle {
        let handle = self.handle();
        tracker.spawn(self.serve(stop));
        handle
    }

    /// Serves until `stop`, and then at most a second longer for answers under way.
    pub async fn serve(self, stop: CancellationToken) {
        serve::serve(self.listener, self.handle.registry, stop).await;
    }

    /// Returns the address on which it listens, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.handle.address
    }

    /// Returns a handle of its jobs.
    pub fn handle(&self) -> SimulatorHandle {
        self.handle.clone()
    }
}

impl SimulatorHandle {
    /// Returns the base URL without a slash at the end, for the `url` of a service.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the address on which it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Creates a job that begins now.
    ///
    /// # Errors
    /// The message names the wrong key, as that of the HTTP API does.
    pub fn create(&self, spec: JobSpec) -> Result<CreatedJob, String> {
        self.registry.create(spec).map_err(Refusal::message)
    }

    /// Creates a resource, whose times count from now.
    ///
    /// # Errors
    /// The message names the wrong key, as that of the HTTP API does.
    pub fn create_resource(&self, spec: ResourceSpec) -> Result<ResourceView, String> {
        let now = self.registry.now();
        let created = self.registry.resources.create(spec, now);
        created.map_err(Refusal::message)
    }

    /// Returns the resource with this id.
    pub fn resource(&self, job_id: &str) -> Option<ResourceView> {
        self.registry.resources.view(job_id, self.registry.now())
    }

    /// Returns the job with this id.
    pub fn job(&self, job_id: &str) -> Option<JobView> {
        self.registry.job(job_id)
    }

    /// Returns all jobs in the order of their creation.
    pub fn jobs(&self) -> Vec<JobView> {
        self.registry.jobs(usize::MAX).1
    }

    /// Forgets a job, so that its service does not know it; false if it did not exist.
    pub fn forget(&self, job_id: &str) -> bool {
        self.registry.forget(job_id)
    }
}

impl fmt::Debug for SimulatorHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorHandle")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

fn listen(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A rehearsal restarted on the same port must not wait for old connections to expire.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests;
