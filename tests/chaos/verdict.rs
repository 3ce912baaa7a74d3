//! The judgement at the end: what must hold after any faults, and the figures.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jobwatch::store::shards::LEASE;
use tokio_postgres::Client;

use crate::clients::Acknowledged;
use crate::cloud::{Cloud, Job};
use crate::faults::{Fault, Kind};
use crate::owners::Owners;
use crate::receiver::Receiver;

/// How long after the end of its lease a process may ask once more: a frozen one wakes up with
/// requests on their way.
const MARGIN: Duration = Duration::from_secs(3);
/// The most findings of one kind that are printed.
const SHOWN: usize = 10;

/// What the test has seen.
pub(crate) struct Seen<'a> {
    pub(crate) cloud: &'a Cloud,
    pub(crate) receiver: &'a Receiver,
    pub(crate) owners: &'a Owners,
    pub(crate) acknowledged: &'a Acknowledged,
    pub(crate) faults: &'a [Fault],
    pub(crate) log: &'a str,
}

/// A watch as the database has it.
struct Watch {
    id: String,
    job: String,
    state: String,
    shard: u8,
}

/// Returns the number of watches that go on, of ends that were not received, and of deliveries that
/// wait.
pub(crate) async fn open(client: &Client) -> Result<i64, tokio_postgres::Error> {
    let sql = "SELECT (SELECT count(*) FROM watches WHERE state = 'watching')
        + (SELECT count(*) FROM deliveries WHERE state = 'pending')";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

/// Returns what is wrong, and prints the figures.
pub(crate) async fn judge(client: &Client, seen: &Seen<'_>) -> Vec<String> {
    let watches = watches(client).await;
    let jobs = seen.cloud.jobs();
    let mut wrongs = Vec::new();
    add(&mut wrongs, lost(&watches, seen.acknowledged));
    add(&mut wrongs, misjudged(&watches, &jobs));
    add(&mut wrongs, repeated(client).await);
    let ends = ends(client).await;
    add(&mut wrongs, without_one_end(&watches, &ends));
    add(&mut wrongs, undelivered(client, seen.receiver).await);
    add(&mut wrongs, foreign_polls(&watches, seen));
    let panics = seen.log.lines().filter(|line| line.contains("panicked"));
    add(&mut wrongs, panics.map(str::to_owned).collect());
    print_figures(&watches, &jobs, &ends, seen);
    wrongs
}

fn add(wrongs: &mut Vec<String>, found: Vec<String>) {
    let more = found.len().saturating_sub(SHOWN);
    wrongs.extend(found.into_iter().take(SHOWN));
    if more > 0 {
        wrongs.push(format!("… and {more} more like this"));
    }
}

async fn watches(client: &Client) -> Vec<Watch> {
    let sql = "SELECT id::text, job_id, state, shard FROM watches";
    let rows = client.query(sql, &[]).await.unwrap();
    let watch = |row: &tokio_postgres::Row| Watch {
        id: row.get(0),
        job: row.get(1),
        state: row.get(2),
        shard: u8::try_from(row.get::<_, i16>(3)).unwrap(),
    };
    rows.iter().map(watch).collect()
}

/// Returns the events about ends: their ids and watches.
async fn ends(client: &Client) -> Vec<(String, String)> {
    let sql = "SELECT id::text, watch_id::text FROM events
         WHERE type IN ('dev.jobwatch.job.succeeded', 'dev.jobwatch.job.failed')";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn lost(watches: &[Watch], acknowledged: &Acknowledged) -> Vec<String> {
    let stored: HashMap<&str, &str> = watches
        .iter()
        .map(|it| (it.id.as_str(), it.job.as_str()))
        .collect();
    let lost = acknowledged
        .jobs
        .iter()
        .filter(|(id, job)| stored.get(id.as_str()) != Some(&job.as_str()));
    lost.map(|(id, job)| format!("the watch {id} of {job} was acknowledged and is lost"))
        .collect()
}

fn misjudged(watches: &[Watch], jobs: &HashMap<String, Job>) -> Vec<String> {
    let wrong = watches.iter().filter_map(|watch| {
        let succeeds = jobs.get(&watch.job)?.succeeds;
        let wanted = if succeeds { "succeeded" } else { "failed" };
        let (id, state) = (&watch.id, &watch.state);
        (state != wanted).then(|| format!("the watch {id} is {state}, the job {wanted}"))
    });
    wrong.collect()
}

async fn repeated(client: &Client) -> Vec<String> {
    let sql = "SELECT id::text FROM events GROUP BY id HAVING count(*) > 1";
    let rows = client.query(sql, &[]).await.unwrap();
    let id = |row: &tokio_postgres::Row| row.get::<_, String>(0);
    rows.iter()
        .map(|row| format!("the event {} is in the log twice", id(row)))
        .collect()
}

fn without_one_end(watches: &[Watch], ends: &[(String, String)]) -> Vec<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (_, watch) in ends {
        *counts.entry(watch).or_default() += 1;
    }
    let wrong = watches.iter().filter_map(|watch| {
        let count = counts.get(watch.id.as_str()).copied().unwrap_or_default();
        (count != 1).then(|| format!("the watch {} has {count} events of its end", watch.id))
    });
    wrong.collect()
}

/// Compares the log of events with what was received.
async fn undelivered(client: &Client, receiver: &Receiver) -> Vec<String> {
    let rows = client.query("SELECT id::text, type, body FROM events", &[]);
    let rows = rows.await.unwrap();
    let events = receiver.events.lock();
    let mut wrongs = Vec::new();
    for row in &rows {
        let (id, kind, body): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        match events.get(&id) {
            None => wrongs.push(format!("the event {id} ({kind}) was not delivered")),
            Some(event) if event.body != body.as_bytes() => {
                wrongs.push(format!(
                    "the event {id} ({kind}) is stored with another body"
                ));
            }
            Some(_) => {}
        }
    }
    let differing = events.iter().filter(|(_, event)| event.differs);
    wrongs.extend(differing.map(|(id, _)| format!("the event {id} came with two bodies")));
    if events.len() > rows.len() {
        let more = events.len() - rows.len();
        wrongs.push(format!("{more} events came that are not in the log"));
    }
    wrongs
}

/// Finds polls by processes that were not the owners of the shard during the last lease.
fn foreign_polls(watches: &[Watch], seen: &Seen<'_>) -> Vec<String> {
    let shards: HashMap<&str, u8> = watches
        .iter()
        .map(|it| (it.job.as_str(), it.shard))
        .collect();
    let polls = seen.cloud.polls();
    let wrong = polls.iter().filter_map(|poll| {
        let shard = *shards.get(poll.job.as_str())?;
        let from = poll.at.saturating_sub(LEASE + MARGIN);
        let owned = seen.owners.owned(shard, &poll.by, from, poll.at);
        let at = poll.at.as_secs_f64();
        (!owned).then(|| {
            format!(
                "{} polled {} at {at:.1} s without shard {shard}",
                poll.by, poll.job
            )
        })
    });
    wrong.collect()
}

fn print_figures(
    watches: &[Watch],
    jobs: &HashMap<String, Job>,
    ends: &[(String, String)],
    seen: &Seen<'_>,
) {
    let received = seen.receiver.events.lock();
    let deliveries: usize = received.values().map(|it| it.times).sum();
    let jobs_of: HashMap<&str, &str> = watches
        .iter()
        .map(|it| (it.id.as_str(), it.job.as_str()))
        .collect();
    let lateness = ends.iter().filter_map(|(event, watch)| {
        let job = jobs.get(*jobs_of.get(watch.as_str())?)?;
        let at = received.get(event)?.first_at;
        Some(at.saturating_sub(job.ends_at))
    });
    let mut lateness: Vec<f64> = lateness.map(|it| it.as_secs_f64()).collect();
    lateness.sort_by(f64::total_cmp);
    let part = |percent: usize| {
        let at = lateness.len() * percent / 100;
        let at = at.min(lateness.len().saturating_sub(1));
        lateness.get(at).copied().unwrap_or_default()
    };
    let fenced = "another replica polls this watch now";
    println!(
        "jobs: {}, watches: {}, ends: {}, polls: {}",
        jobs.len(),
        watches.len(),
        ends.len(),
        seen.cloud.polls().len()
    );
    println!(
        "an end is received after: median {:.1} s, 99 % {:.1} s, worst {:.1} s",
        part(50),
        part(99),
        part(100)
    );
    println!(
        "events: {}, delivered again: {}; fenced decisions: {}; submissions made again: {}",
        received.len(),
        deliveries - received.len(),
        seen.log.matches(fenced).count(),
        seen.acknowledged.retries
    );
    print_faults(seen);
}

fn print_faults(seen: &Seen<'_>) {
    let mut by_kind: BTreeMap<Kind, Vec<&Fault>> = BTreeMap::new();
    for fault in seen.faults {
        by_kind.entry(fault.kind).or_default().push(fault);
    }
    for (kind, faults) in by_kind {
        let times = faults.iter().filter_map(|fault| {
            let over = match (kind, &fault.process) {
                (Kind::Kill | Kind::Stop | Kind::Freeze, Some(process)) => {
                    seen.owners.taken_over(process, fault.at)?
                }
                (Kind::FailOver, _) => seen.owners.moved(fault.at)?,
                _ => return None,
            };
            let took = over.saturating_sub(fault.at).as_secs_f64();
            Some(format!("{took:.1} s"))
        });
        let times: Vec<String> = times.collect();
        let shown = if times.is_empty() {
            String::new()
        } else {
            format!(" (taken over after {})", times.join(", "))
        };
        println!("{kind:?}: {}{shown}", faults.len());
    }
}
