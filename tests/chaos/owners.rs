//! The owners of the shards over the whole test, read from the database again and again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jobwatch::clock::SharedClock;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::postgres::connect;

const EVERY: Duration = Duration::from_millis(250);

/// The owners at one time, by shard.
struct Sample {
    at: Duration,
    /// The port of the server that was asked.
    port: u16,
    owners: Vec<Option<Arc<str>>>,
}

/// All samples. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Owners(Arc<Mutex<Vec<Sample>>>);

impl Owners {
    /// Takes samples until `stop`; none while the database cannot be reached.
    pub(crate) async fn observe(
        self,
        clock: SharedClock,
        port: watch::Receiver<u16>,
        stop: CancellationToken,
    ) {
        let (mut client, mut connected) = (None, *port.borrow());
        while !stop.is_cancelled() {
            let at = clock.uptime();
            let now = *port.borrow();
            // The server before may still have clients.
            let used = client.take().filter(|_| now == connected);
            connected = now;
            if let Ok(Ok((owners, used))) = timeout(EVERY * 8, sample(used, now)).await {
                client = Some(used);
                let port = now;
                self.0.lock().push(Sample { at, port, owners });
            }
            sleep(EVERY).await;
        }
    }

    /// True if this process owned the shard at some time from `from` to `to`, as far as it is known.
    pub(crate) fn owned(&self, shard: u8, by: &str, from: Duration, to: Duration) -> bool {
        let samples = self.0.lock();
        // What a sample shows holds until the next one, and may have begun after the one before.
        let first = samples
            .partition_point(|it| it.at <= from)
            .saturating_sub(1);
        let last = samples.partition_point(|it| it.at <= to) + 1;
        let last = last.min(samples.len());
        let mut during = samples[first..last].iter();
        during.any(|it| it.owners[usize::from(shard)].as_deref() == Some(by))
    }

    /// Returns the time of the first sample after `since` in which each shard has an owner, and none
    /// of them is this process.
    pub(crate) fn taken_over(&self, from: &str, since: Duration) -> Option<Duration> {
        let samples = self.0.lock();
        let after = samples.partition_point(|it| it.at <= since);
        let mut later = samples[after..].iter();
        let all_elsewhere = |it: &&Sample| {
            let mut owners = it.owners.iter();
            owners.all(|owner| owner.as_deref().is_some_and(|owner| owner != from))
        };
        later.find(all_elsewhere).map(|it| it.at)
    }

    /// Returns the time of the first sample after `since` from another server than before.
    pub(crate) fn moved(&self, since: Duration) -> Option<Duration> {
        let samples = self.0.lock();
        let after = samples.partition_point(|it| it.at <= since);
        let before = samples.get(after.checked_sub(1)?)?.port;
        let mut later = samples[after..].iter();
        later.find(|it| it.port != before).map(|it| it.at)
    }

    /// True if each shard has a living owner now, and these processes are the owners.
    pub(crate) fn settled(&self, replicas: &HashSet<String>) -> bool {
        let samples = self.0.lock();
        samples.last().is_some_and(|it| {
            let owners: HashSet<&str> = it.owners.iter().flatten().map(AsRef::as_ref).collect();
            it.owners.iter().all(Option::is_some)
                && owners.len() == replicas.len()
                && owners.iter().all(|owner| replicas.contains(*owner))
        })
    }
}

async fn sample(
    client: Option<Client>,
    port: u16,
) -> Result<(Vec<Option<Arc<str>>>, Client), tokio_postgres::Error> {
    let client = match client {
        Some(client) => client,
        None => connect(port, "jw").await?,
    };
    let sql = "SELECT s.id, r.name FROM shards s JOIN replicas r ON r.id = s.owner
         WHERE lease_until > store_time()";
    let mut owners = vec![None; 256];
    let mut names: HashSet<Arc<str>> = HashSet::new();
    for row in client.query(sql, &[]).await? {
        let name: &str = row.get(1);
        let name = names.get(name).cloned().unwrap_or_else(|| Arc::from(name));
        names.insert(Arc::clone(&name));
        let shard = usize::try_from(row.get::<_, i16>(0)).unwrap();
        owners[shard] = Some(name);
    }
    Ok((owners, client))
}
