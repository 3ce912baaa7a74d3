//! Accepts watches in PostgreSQL: many submissions in one transaction.
//!
//! The decisions are made here, on the stored watches. The index `watches_watched` decides between
//! two replicas that accept one job at the same moment: the second one begins again, and finds the watch.

use std::collections::HashMap;

use tokio_postgres::types::Type;

use crate::store::key;
use crate::store::postgres::cells::RowCells;
use crate::store::postgres::connections::{CameBetween, Connections, Transaction};
use crate::store::postgres::groups::Joining;
use crate::store::postgres::rows::{NewEvents, NewWatches, clean};
use crate::store::{SqlError, Submission, Submitted, watch_row};
use crate::watch::{Expect, Watch};

/// Stores the new watches among these, all or none, and answers in their order.
pub(super) async fn submit(
    connections: &Connections,
    submissions: &[&Submission],
) -> Result<Vec<Submitted>, SqlError> {
    let keys: Vec<[u8; 32]> = submissions
        .iter()
        .map(|it| key::of(&it.change.watch))
        .collect();
    let transaction = connections.begin().await?;
    let mut known = Known::read(&transaction, submissions, &keys).await?;
    let names = submissions
        .iter()
        .filter_map(|it| it.change.watch.group.as_deref());
    let mut joining = Joining::lock(&transaction, names).await?;
    let mut watches = NewWatches::default();
    let mut events = NewEvents::default();
    let mut answers = Vec::with_capacity(submissions.len());
    for (index, (submission, key)) in submissions.iter().zip(&keys).enumerate() {
        let answer = known.same_as(submission, key).map_or_else(
            || {
                joining
                    .join(submission)
                    .map_or(Answer::Accepted, |it| Answer::Refused(Box::new(it)))
            },
            Answer::Existing,
        );
        if matches!(answer, Answer::Accepted) {
            let change = &submission.change;
            watches.add(&change.watch, key);
            events.add(&change.watch, &change.event, &change.owed);
            known.add(*key, index, &change.watch);
        }
        answers.push(answer);
    }
    let existing = existing(&transaction, &answers).await?;
    if watches.len() == 0 {
        transaction.roll_back().await?;
    } else {
        if watches.write(&transaction).await? < watches.len() {
            transaction.roll_back().await?;
            let reason = "another replica has just accepted a watch of the same job".to_owned();
            return Err(Box::new(CameBetween(reason)));
        }
        joining.write(&transaction).await?;
        events.write_and_commit(transaction).await?;
    }
    let in_full = |(answer, submission): (Answer, &&Submission)| match answer {
        Answer::Accepted => Ok(Submitted::Accepted(submission.change.watch.clone())),
        Answer::Refused(refused) => Ok(*refused),
        Answer::Existing(Place::Submission(index)) => {
            Ok(Submitted::Existing(submissions[index].change.watch.clone()))
        }
        Answer::Existing(Place::Stored(number)) => {
            let watch = existing.get(&number).cloned();
            watch
                .map(Submitted::Existing)
                .ok_or_else(|| "the watch of the job is gone".into())
        }
    };
    answers.into_iter().zip(submissions).map(in_full).collect()
}

enum Answer {
    Accepted,
    Refused(Box<Submitted>),
    Existing(Place),
}

/// Where a watch is: stored with this number, or accepted by the submission at this place.
#[derive(Clone, Copy)]
enum Place {
    Stored(i64),
    Submission(usize),
}

/// A watch of a job that a submission names.
struct Candidate {
    place: Place,
    is_watching: bool,
    expect: Option<Expect>,
    named_run: Option<String>,
    run: Option<String>,
}

impl Candidate {
    fn is_of_run(&self, wanted: Option<&str>) -> bool {
        wanted.is_none() || wanted == self.named_run.as_deref() || wanted == self.run.as_deref()
    }
}

/// The watches of the jobs that the submissions name, of each job oldest first.
struct Known(HashMap<[u8; 32], Vec<Candidate>>);

impl Known {
    async fn read(
        transaction: &Transaction,
        submissions: &[&Submission],
        keys: &[[u8; 32]],
    ) -> Result<Self, SqlError> {
        let jobs: Vec<String> = submissions
            .iter()
            .map(|it| clean(&it.change.watch.job_id))
            .collect();
        let bytes: Vec<&[u8]> = keys.iter().map(<[u8; 32]>::as_slice).collect();
        let rows = transaction
            .query(
                "SELECT number, key, state = 'watching', expect, named_run, run FROM watches
                 WHERE job_id = ANY ($1) AND key = ANY ($2)
                    AND state IN ('watching', 'succeeded', 'failed', 'partial', 'cancelled')
                 ORDER BY number",
                &[(&jobs, Type::TEXT_ARRAY), (&bytes, Type::BYTEA_ARRAY)],
            )
            .await?;
        let mut known = Self(HashMap::new());
        for row in rows {
            let key: &[u8] = row.try_get(1)?;
            let named_run: String = row.try_get(4)?;
            known.0.entry(key.try_into()?).or_default().push(Candidate {
                place: Place::Stored(row.try_get(0)?),
                is_watching: row.try_get(2)?,
                expect: row
                    .try_get::<_, Option<&str>>(3)?
                    .and_then(Expect::from_word),
                named_run: Some(named_run).filter(|run| !run.is_empty()),
                run: row.try_get(5)?,
            });
        }
        Ok(known)
    }

    fn add(&mut self, key: [u8; 32], index: usize, watch: &Watch) {
        self.0.entry(key).or_default().push(Candidate {
            place: Place::Submission(index),
            is_watching: true,
            expect: watch.expect,
            named_run: watch.named_run.clone(),
            run: watch.run.clone(),
        });
    }

    /// Returns the newest watch of the same job that goes on; or, if the submission accepts one, that
    /// has ended with a verdict on the same end.
    fn same_as(&self, submission: &Submission, key: &[u8; 32]) -> Option<Place> {
        let wanted = &submission.change.watch;
        let candidates = self.0.get(key)?;
        let mut of_run = candidates
            .iter()
            .rev()
            .filter(|it| it.is_of_run(wanted.named_run.as_deref()));
        let watching = of_run.clone().find(|it| it.is_watching);
        let same_end = |it: &&Candidate| submission.accepts_ended && it.expect == wanted.expect;
        watching
            .or_else(|| of_run.find(same_end))
            .map(|it| it.place)
    }
}

/// Reads the stored watches among the answers.
async fn existing(
    transaction: &Transaction,
    answers: &[Answer],
) -> Result<HashMap<i64, Watch>, SqlError> {
    let numbers = answers.iter().filter_map(|answer| match answer {
        Answer::Existing(Place::Stored(number)) => Some(*number),
        _ => None,
    });
    let numbers: Vec<i64> = numbers.collect();
    if numbers.is_empty() {
        return Ok(HashMap::new());
    }
    let columns = watch_row::COLUMNS;
    let sql = format!("SELECT {columns} FROM watches WHERE number = ANY ($1)");
    let rows = transaction
        .query(&sql, &[(&numbers, Type::INT8_ARRAY)])
        .await?;
    rows.iter()
        .map(|row| watch_row::read(&mut RowCells::of(row)))
        .collect()
}
