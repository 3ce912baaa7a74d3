//! The rows that a transaction writes, many at a time: each column is one array.
//!
//! A text of PostgreSQL cannot have the character NUL; a job or a receiver may send one.

use futures_util::future::join3;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::store::SqlError;
use crate::store::key;
use crate::store::postgres::connections::{Transaction, Value};
use crate::store::row;
use crate::watch::delivery::Owed;
use crate::watch::event::Event;
use crate::watch::{Expect, Watch, WatchId};

/// Returns a text as a column can have it.
pub(super) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Returns the shard of a key.
pub(super) fn shard_of(key: &[u8; 32]) -> i16 {
    i16::from(key[0])
}

/// The rows of new watches.
#[derive(Default)]
pub(super) struct NewWatches {
    id: Vec<Uuid>,
    key: Vec<Vec<u8>>,
    shard: Vec<i16>,
    service: Vec<String>,
    definition: Vec<String>,
    job_id: Vec<String>,
    params: Vec<String>,
    labels: Vec<String>,
    sinks: Vec<String>,
    callback_url: Vec<Option<String>>,
    group_name: Vec<Option<String>>,
    named_run: Vec<String>,
    since: Vec<Option<i64>>,
    expect: Vec<Option<&'static str>>,
    submitted_at: Vec<i64>,
    deadline: Vec<i64>,
    state: Vec<&'static str>,
    polls: Vec<i64>,
    problems: Vec<i64>,
    run: Vec<Option<String>>,
    revision: Vec<i64>,
    /// The labels, each with the id of its watch.
    label: Vec<String>,
    label_of: Vec<Uuid>,
}

impl NewWatches {
    pub(super) fn add(&mut self, watch: &Watch, key: &[u8; 32]) {
        self.id.push(watch.id.0);
        self.key.push(key.to_vec());
        self.shard.push(shard_of(key));
        self.service.push(watch.service.clone());
        self.definition.push(watch.definition.clone());
        self.job_id.push(clean(&watch.job_id));
        self.params.push(row::json(&watch.params));
        self.labels.push(row::json(&watch.labels));
        self.sinks.push(row::json(&watch.sinks));
        let callback_url = watch.callback_url.as_ref();
        self.callback_url
            .push(callback_url.map(|url| clean(&url.0)));
        self.group_name.push(watch.group.as_deref().map(clean));
        let named_run = watch.named_run.as_deref().unwrap_or_default();
        self.named_run.push(clean(named_run));
        self.since.push(watch.since.map(row::micros));
        self.expect.push(watch.expect.map(Expect::as_str));
        self.submitted_at.push(row::micros(watch.submitted_at));
        self.deadline.push(row::micros(watch.deadline));
        self.state.push(watch.state.as_str());
        self.polls.push(watch.polls.into());
        self.problems.push(watch.problems.into());
        self.run.push(watch.run.as_deref().map(clean));
        self.revision.push(watch.revision.into());
        for (name, value) in &watch.labels {
            self.label.push(clean(&format!("{name}={value}")));
            self.label_of.push(watch.id.0);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.id.len()
    }

    /// Stores the watches with their labels. Returns how many were stored: one whose job another
    /// replica has accepted just before is not.
    pub(super) async fn write(&self, transaction: &Transaction) -> Result<usize, SqlError> {
        let values: [Value<'_>; 23] = [
            (&self.id, Type::UUID_ARRAY),
            (&self.key, Type::BYTEA_ARRAY),
            (&self.shard, Type::INT2_ARRAY),
            (&self.service, Type::TEXT_ARRAY),
            (&self.definition, Type::TEXT_ARRAY),
            (&self.job_id, Type::TEXT_ARRAY),
            (&self.params, Type::TEXT_ARRAY),
            (&self.labels, Type::TEXT_ARRAY),
            (&self.sinks, Type::TEXT_ARRAY),
            (&self.callback_url, Type::TEXT_ARRAY),
            (&self.group_name, Type::TEXT_ARRAY),
            (&self.named_run, Type::TEXT_ARRAY),
            (&self.since, Type::INT8_ARRAY),
            (&self.expect, Type::TEXT_ARRAY),
            (&self.submitted_at, Type::INT8_ARRAY),
            (&self.deadline, Type::INT8_ARRAY),
            (&self.state, Type::TEXT_ARRAY),
            (&self.polls, Type::INT8_ARRAY),
            (&self.problems, Type::INT8_ARRAY),
            (&self.run, Type::TEXT_ARRAY),
            (&self.revision, Type::INT8_ARRAY),
            (&self.label, Type::TEXT_ARRAY),
            (&self.label_of, Type::UUID_ARRAY),
        ];
        let rows = transaction.query(INSERT, &values).await?;
        let stored: i64 = rows.first().ok_or("the server gave no row")?.try_get(0)?;
        Ok(usize::try_from(stored)?)
    }
}

const INSERT: &str = "WITH stored AS (
        INSERT INTO watches (id, key, shard, service, definition, job_id, params, labels, sinks,
            callback_url, group_name, named_run, since, expect, submitted_at, deadline, state,
            polls, problems, run, revision)
        SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
            $17, $18, $19, $20, $21)
        ON CONFLICT DO NOTHING RETURNING number, id),
    labelled AS (
        INSERT INTO watch_labels (label, number)
        SELECT label, number FROM unnest($22, $23) AS labels (label, id) JOIN stored USING (id))
    SELECT count(*) FROM stored";

/// The changing parts of watches.
#[derive(Default)]
pub(super) struct ChangedWatches {
    number: Vec<i64>,
    state: Vec<&'static str>,
    job: Vec<Option<String>>,
    finished_at: Vec<Option<i64>>,
    polls: Vec<i64>,
    problems: Vec<i64>,
    last_problem: Vec<Option<String>>,
    unknown_status: Vec<Option<String>>,
    run: Vec<Option<String>>,
    has_progress: Vec<bool>,
    confirmations: Vec<i64>,
    notes: Vec<Option<String>>,
    stage: Vec<Option<String>>,
    stages: Vec<Option<String>>,
    follow: Vec<Option<String>>,
    cause: Vec<Option<String>>,
    revision: Vec<i64>,
}

impl ChangedWatches {
    pub(super) fn add(&mut self, number: i64, watch: &Watch) {
        self.number.push(number);
        self.state.push(watch.state.as_str());
        self.job.push(watch.job.as_ref().map(row::json));
        self.finished_at.push(watch.finished_at.map(row::micros));
        self.polls.push(watch.polls.into());
        self.problems.push(watch.problems.into());
        self.last_problem
            .push(watch.last_problem.as_ref().map(row::json));
        self.unknown_status
            .push(watch.unknown_status.as_deref().map(clean));
        self.run.push(watch.run.as_deref().map(clean));
        self.has_progress.push(watch.has_progress);
        self.confirmations.push(watch.confirmations.into());
        let notes = (!watch.notes.is_empty()).then(|| row::json(&watch.notes));
        self.notes.push(notes);
        self.stage.push(watch.stage.as_ref().map(row::json));
        let stages = (!watch.stages.is_empty()).then(|| row::json(&watch.stages));
        self.stages.push(stages);
        self.follow.push(watch.follow.as_deref().map(clean));
        self.cause.push(watch.cause.as_ref().map(row::json));
        self.revision.push(watch.revision.into());
    }

    pub(super) fn len(&self) -> usize {
        self.number.len()
    }

    /// Stores the changes of watches that this transaction has locked.
    pub(super) async fn write(&self, transaction: &Transaction) -> Result<(), SqlError> {
        let values: [Value<'_>; 17] = [
            (&self.number, Type::INT8_ARRAY),
            (&self.state, Type::TEXT_ARRAY),
            (&self.job, Type::TEXT_ARRAY),
            (&self.finished_at, Type::INT8_ARRAY),
            (&self.polls, Type::INT8_ARRAY),
            (&self.problems, Type::INT8_ARRAY),
            (&self.last_problem, Type::TEXT_ARRAY),
            (&self.unknown_status, Type::TEXT_ARRAY),
            (&self.run, Type::TEXT_ARRAY),
            (&self.has_progress, Type::BOOL_ARRAY),
            (&self.confirmations, Type::INT8_ARRAY),
            (&self.notes, Type::TEXT_ARRAY),
            (&self.stage, Type::TEXT_ARRAY),
            (&self.stages, Type::TEXT_ARRAY),
            (&self.follow, Type::TEXT_ARRAY),
            (&self.cause, Type::TEXT_ARRAY),
            (&self.revision, Type::INT8_ARRAY),
        ];
        let changed = transaction.execute(UPDATE, &values).await?;
        if usize::try_from(changed)? != self.len() {
            return Err("a change does not follow its watch".into());
        }
        Ok(())
    }
}

const UPDATE: &str = "UPDATE watches w SET state = c.state, job = c.job,
        finished_at = c.finished_at, polls = c.polls, problems = c.problems,
        last_problem = c.last_problem, unknown_status = c.unknown_status, run = c.run,
        has_progress = c.has_progress, confirmations = c.confirmations, notes = c.notes,
        stage = c.stage, stages = c.stages, follow = c.follow, cause = c.cause,
        revision = c.revision
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
        AS c (number, state, job, finished_at, polls, problems, last_problem, unknown_status, run,
            has_progress, confirmations, notes, stage, stages, follow, cause, revision)
    WHERE w.number = c.number AND w.state = 'watching' AND w.revision = c.revision - 1";

/// Events and the deliveries owed for them.
#[derive(Default)]
pub(super) struct NewEvents {
    id: Vec<Uuid>,
    watch_id: Vec<Option<Uuid>>,
    shard: Vec<Option<i16>>,
    type_name: Vec<&'static str>,
    at: Vec<i64>,
    body: Vec<String>,
    owed_event: Vec<Uuid>,
    sink: Vec<String>,
    target: Vec<Option<String>>,
}

impl NewEvents {
    /// Adds the event about a watch.
    pub(super) fn add(&mut self, watch: &Watch, event: &Event, owed: &[Owed]) {
        let shard = shard_of(&key::of(watch));
        self.push(Some((watch.id, shard)), event, owed);
    }

    /// Adds an event that is about no watch.
    pub(super) fn add_without_watch(&mut self, event: &Event, owed: &[Owed]) {
        self.push(None, event, owed);
    }

    fn push(&mut self, about: Option<(WatchId, i16)>, event: &Event, owed: &[Owed]) {
        self.id.push(event.id);
        self.watch_id.push(about.map(|(id, _)| id.0));
        self.shard.push(about.map(|(_, shard)| shard));
        self.type_name.push(event.kind.type_name());
        self.at.push(row::micros(event.at));
        self.body.push(clean(&event.body));
        for owed in owed {
            self.owed_event.push(event.id);
            self.sink.push(owed.sink.clone());
            let target = owed.target.as_ref();
            self.target.push(target.map(|target| clean(&target.0)));
        }
    }

    /// Stores the events and commits. No other transaction appends to the log from its lock to the
    /// commit, so all statements go to the server at once: it waits for no answer in between.
    pub(super) async fn write_and_commit(&self, transaction: Transaction) -> Result<(), SqlError> {
        let values: [Value<'_>; 9] = [
            (&self.id, Type::UUID_ARRAY),
            (&self.watch_id, Type::UUID_ARRAY),
            (&self.shard, Type::INT2_ARRAY),
            (&self.type_name, Type::TEXT_ARRAY),
            (&self.at, Type::INT8_ARRAY),
            (&self.body, Type::TEXT_ARRAY),
            (&self.owed_event, Type::UUID_ARRAY),
            (&self.sink, Type::TEXT_ARRAY),
            (&self.target, Type::TEXT_ARRAY),
        ];
        // Each is sent when it is polled first, so in this order. After an error the server only rolls
        // back.
        let (locked, logged, committed) = join3(
            transaction.run("LOCK TABLE log_order IN EXCLUSIVE MODE"),
            transaction.execute(LOG, &values),
            transaction.run("COMMIT"),
        )
        .await;
        locked?;
        logged?;
        committed?;
        transaction.give_back();
        Ok(())
    }
}

const LOG: &str = "WITH logged AS (
        INSERT INTO events (id, watch_id, shard, type, at, body)
        SELECT * FROM unnest($1, $2, $3, $4, $5, $6) RETURNING seq, id)
    INSERT INTO deliveries (event, sink, target, state, due_at)
    SELECT logged.seq, owed.sink, owed.target, 'pending', store_time()
    FROM unnest($7, $8, $9) AS owed (event, sink, target) JOIN logged ON logged.id = owed.event";
