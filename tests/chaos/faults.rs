//! The faults: what they do, and which come when, by the seed.

use std::sync::Arc;
use std::time::Duration;

use jobwatch::clock::{SharedClock, seeded_rng};
use parking_lot::Mutex;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rustix::process::Signal;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use crate::postgres::Pair;
use crate::proxy::Passage;
use crate::replica::Replica;

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// SIGKILL, and a new start a little later.
    Kill,
    /// SIGSTOP beyond the lease.
    Freeze,
    /// SIGTERM, and a new start.
    Stop,
    /// The primary is killed, and the standby promoted.
    FailOver,
    /// All connections of a replica to the server end.
    Cut,
    /// Nothing passes between a replica and the server for a while.
    BlackHole,
    /// Everything between them takes longer for a while.
    Slow,
    /// The wall clock of a replica is an hour wrong for a while.
    Clock,
}

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Kill,
        Self::Freeze,
        Self::Stop,
        Self::FailOver,
        Self::Cut,
        Self::BlackHole,
        Self::Slow,
        Self::Clock,
    ];
}

/// A fault that began.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) at: Duration,
    /// The process that it struck; none for the servers.
    pub(crate) process: Option<String>,
}

/// Everything that can fail.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) clock: SharedClock,
    pub(crate) replicas: Arc<[AsyncMutex<Replica>]>,
    pub(crate) pair: Arc<AsyncMutex<Pair>>,
    /// The port of the primary.
    pub(crate) primary: Arc<watch::Sender<u16>>,
    pub(crate) faults: Arc<Mutex<Vec<Fault>>>,
    /// What a fault showed to be wrong.
    pub(crate) wrongs: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    /// Makes faults for so long, of each of these kinds at least one, and waits for their ends.
    pub(crate) async fn disturb(&self, kinds: &[Kind], within: Duration, seed: u64) {
        let mut rng = seeded_rng(seed);
        let until = self.clock.uptime() + within;
        let tracker = TaskTracker::new();
        let mut next = Vec::new();
        while self.clock.uptime() < until {
            if next.is_empty() {
                next = kinds.to_vec();
                next.shuffle(&mut rng);
            }
            let kind = next.pop().unwrap();
            let (stage, rng_of_one) = (self.clone(), seeded_rng(rng.random()));
            tracker.spawn(async move { stage.strike(kind, rng_of_one).await });
            sleep(millis(&mut rng, 2_500, 6_500)).await;
        }
        tracker.close();
        tracker.wait().await;
    }

    /// Starts processes again that ended by themselves, as a service manager does.
    pub(crate) async fn supervise(self) {
        loop {
            for replica in self.replicas.iter() {
                // One that is struck just now has no process.
                if let Ok(mut replica) = replica.try_lock() {
                    replica.supervise();
                }
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn strike(&self, kind: Kind, mut rng: StdRng) {
        if kind == Kind::FailOver {
            return self.fail_over().await;
        }
        let mut order: Vec<usize> = (0..self.replicas.len()).collect();
        order.shuffle(&mut rng);
        // One that no other fault has, or the first of these that is free again.
        let free = order
            .iter()
            .find_map(|&at| self.replicas[at].try_lock().ok());
        let mut replica = match free {
            Some(replica) => replica,
            None => self.replicas[order[0]].lock().await,
        };
        self.note(kind, Some(replica.name()));
        match kind {
            Kind::Kill => {
                replica.signal(Signal::KILL);
                self.restart(&mut replica, &mut rng).await;
            }
            Kind::Stop => {
                replica.signal(Signal::TERM);
                self.restart(&mut replica, &mut rng).await;
            }
            Kind::Freeze => {
                replica.signal(Signal::STOP);
                sleep(millis(&mut rng, 16_000, 20_000)).await;
                replica.signal(Signal::CONT);
            }
            Kind::Cut => replica.proxy.cut(),
            Kind::BlackHole => {
                replica.proxy.set(Passage::Silent);
                sleep(millis(&mut rng, 3_000, 18_000)).await;
                replica.proxy.set(Passage::Open);
            }
            Kind::Slow => {
                let delay = millis(&mut rng, 20, 300);
                replica.proxy.set(Passage::Slow(delay));
                sleep(millis(&mut rng, 5_000, 10_000)).await;
                replica.proxy.set(Passage::Open);
            }
            Kind::Clock => {
                replica.set_clock(if rng.random() { 3600 } else { -3600 });
                sleep(millis(&mut rng, 8_000, 15_000)).await;
                replica.set_clock(0);
            }
            Kind::FailOver => {}
        }
    }

    async fn restart(&self, replica: &mut Replica, rng: &mut StdRng) {
        if let Err(wrong) = replica.ended().await {
            self.wrongs.lock().push(wrong);
        }
        sleep(millis(rng, 200, 4_000)).await;
        replica.start_again();
    }

    async fn fail_over(&self) {
        let mut pair = self.pair.lock().await;
        self.note(Kind::FailOver, None);
        // The servers are started by other programs, which take a moment.
        tokio::task::block_in_place(|| pair.fail_over());
        self.primary.send_replace(pair.primary_port());
        sleep(Duration::from_secs(5)).await;
        pair.make_standby().await;
    }

    fn note(&self, kind: Kind, process: Option<String>) {
        let at = self.clock.uptime();
        let name = process.as_deref().unwrap_or("the primary");
        println!("{:7.1} s  {kind:?} {name}", at.as_secs_f64());
        self.faults.lock().push(Fault { kind, at, process });
    }
}

fn millis(rng: &mut StdRng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.random_range(from..=to))
}
