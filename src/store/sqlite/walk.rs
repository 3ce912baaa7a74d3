//! Finds the numbers of the watches that match a query, from the newest.
//!
//! Each part of a query has an index whose entries end with the number of the watch, so that it
//! gives the numbers of its watches in falling order ([`Numbers`]). A [`Walk`] goes down all of
//! them side by side, and skips to the lowest: it finds the three failed ones among a million of
//! a label at once. Two parts may have many watches each and none in common; then a walk ends
//! after a number of steps, and the next page continues there.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use crate::store::sqlite::SqlError;
use crate::store::{Query, row};
use crate::watch::WatchId;

/// The steps of one walk: a few milliseconds. One entry of an index is a step.
const STEPS_MAX: usize = 20_000;
/// The steps that a new search in an index costs, and a watch that is read.
pub(super) const SEARCH: usize = 10;
/// The numbers that are read from an index at a time.
const READ_MIN: usize = 8;
const READ_MAX: usize = 512;
/// Two numbers that are no further apart than this are near: reading on costs less than a search.
const NEAR: i64 = 512;

/// The watches whose times of submission one row of `submission_spans` covers, as a power of two.
const SPAN_BITS: u32 = 9;

/// The SQL that makes a submission part of its span: the number of the watch, and the time.
pub(super) const NOTE_SUBMISSION: &str = "INSERT INTO submission_spans (span, first, last)
    VALUES (?1 >> 9, ?2, ?2) ON CONFLICT (span) DO UPDATE
    SET first = min(first, excluded.first), last = max(last, excluded.last)";

/// Returns a label as the index of labels has it.
pub(super) fn label(name: &str, value: &str) -> String {
    format!("{name}={value}")
}

/// The indexes: the SQL that reads numbers from each, from the newest.
const STATE: &str =
    "SELECT number FROM watches WHERE state = ?1 AND number <= ?2 ORDER BY number DESC LIMIT ?3";
const SERVICE: &str =
    "SELECT number FROM watches WHERE service = ?1 AND number <= ?2 ORDER BY number DESC LIMIT ?3";
const JOB: &str =
    "SELECT number FROM watches WHERE job_id = ?1 AND number <= ?2 ORDER BY number DESC LIMIT ?3";
const GROUP: &str = "SELECT number FROM watches WHERE group_name = ?1 AND number <= ?2
    ORDER BY number DESC LIMIT ?3";
const LABEL: &str = "SELECT number FROM watch_labels WHERE label = ?1 AND number <= ?2
    ORDER BY number DESC LIMIT ?3";
const ALL: &str = "SELECT number FROM watches WHERE ?1 IS NULL AND number <= ?2
    ORDER BY number DESC LIMIT ?3";

const OF_ID: &str = "SELECT number FROM watches WHERE id = ?1";
const SPANS: &str = "SELECT span FROM submission_spans WHERE last >= ?1 AND first < ?2
    ORDER BY span DESC";

/// The numbers of an index in falling order, a few at a time.
struct Numbers<'db> {
    statement: CachedStatement<'db>,
    key: Value,
    /// Read and not passed yet, from this position on.
    read: Vec<i64>,
    position: usize,
    /// True if the index has no number below those that were read.
    is_last: bool,
    /// The count to read next.
    count: usize,
}

impl<'db> Numbers<'db> {
    fn of(db: &'db Connection, sql: &str, key: impl Into<Value>) -> Result<Self, SqlError> {
        Ok(Self {
            statement: db.prepare_cached(sql)?,
            key: key.into(),
            read: Vec::new(),
            position: 0,
            is_last: false,
            count: READ_MIN,
        })
    }

    /// Returns the highest number that is at most `at`.
    fn at_most(&mut self, at: i64, steps: &mut usize) -> Result<Option<i64>, SqlError> {
        self.skip(at);
        if self.position == self.read.len() && !self.is_last {
            self.fill(at, steps)?;
        }
        Ok(self.read.get(self.position).copied())
    }

    fn skip(&mut self, at: i64) {
        let left = &self.read[self.position..];
        self.position += left.partition_point(|number| *number > at);
    }

    fn fill(&mut self, at: i64, steps: &mut usize) -> Result<(), SqlError> {
        // If the walk comes near the next number, it goes one by one rather than by leaps.
        let is_near = self.read.last().is_none_or(|last| last - at <= NEAR);
        self.count = if is_near {
            (self.count * 2).min(READ_MAX)
        } else {
            READ_MIN
        };
        self.read.clear();
        self.position = 0;
        let mut rows = self
            .statement
            .query(params![self.key, at, i64::try_from(self.count)?])?;
        while let Some(row) = rows.next()? {
            self.read.push(row.get(0)?);
        }
        self.is_last = self.read.len() < self.count;
        *steps += SEARCH + self.read.len();
        Ok(())
    }
}

/// The numbers that one part of a query allows.
enum Part<'db> {
    /// Those of one of these indexes.
    AnyOf(Vec<Numbers<'db>>),
    /// These numbers, from the highest.
    Listed(Vec<i64>),
    /// Those in these spans, from the highest.
    Spans(Vec<i64>),
}

impl Part<'_> {
    /// Returns the highest allowed number that is at most `at`.
    fn at_most(&mut self, at: i64, steps: &mut usize) -> Result<Option<i64>, SqlError> {
        match self {
            Self::AnyOf(indexes) => {
                let mut highest = None;
                for numbers in indexes {
                    highest = highest.max(numbers.at_most(at, steps)?);
                }
                Ok(highest)
            }
            Self::Listed(numbers) => {
                let next = numbers.partition_point(|number| *number > at);
                Ok(numbers.get(next).copied())
            }
            Self::Spans(spans) => {
                let next = spans.partition_point(|span| *span > at >> SPAN_BITS);
                let end_of = |span: &i64| ((span + 1) << SPAN_BITS) - 1;
                Ok(spans.get(next).map(|span| end_of(span).min(at)))
            }
        }
    }
}

/// The next step of a walk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// This watch matches, except perhaps in the times and the labels.
    Found(i64),
    /// There are no further watches.
    End,
    /// The steps are used up; the search goes on at this number.
    Paused(i64),
}

/// The search for the watches of a query; see the module.
pub(super) struct Walk<'db> {
    parts: Vec<Part<'db>>,
    /// The steps made so far.
    pub(super) steps: usize,
}

impl<'db> Walk<'db> {
    pub(super) fn of(db: &'db Connection, query: &Query) -> Result<Self, SqlError> {
        let mut parts = Vec::new();
        let one = |sql, key: &String| Numbers::of(db, sql, key.clone());
        if !query.ids.is_empty() {
            parts.push(Part::Listed(numbers_of(db, &query.ids)?));
        }
        for (sql, key) in [
            (JOB, &query.job_id),
            (GROUP, &query.group),
            (SERVICE, &query.service),
        ] {
            if let Some(key) = key {
                parts.push(Part::AnyOf(vec![one(sql, key)?]));
            }
        }
        for (name, value) in &query.labels {
            parts.push(Part::AnyOf(vec![one(LABEL, &label(name, value))?]));
        }
        if !query.states.is_empty() {
            let words = query.states.iter().map(|state| state.as_str());
            let words: BTreeSet<&str> = words.collect();
            let indexes = words.into_iter().map(|word| one(STATE, &word.to_owned()));
            parts.push(Part::AnyOf(indexes.collect::<Result<_, _>>()?));
        }
        if query.since.is_some() || query.until.is_some() {
            parts.push(Part::Spans(spans_of(db, query)?));
        }
        if parts.iter().all(|part| matches!(part, Part::Spans(_))) {
            parts.push(Part::AnyOf(vec![Numbers::of(db, ALL, Value::Null)?]));
        }
        Ok(Self { parts, steps: 0 })
    }

    /// Returns the highest matching number that is at most `at`.
    pub(super) fn next(&mut self, mut at: i64) -> Result<Step, SqlError> {
        loop {
            if self.steps > STEPS_MAX {
                return Ok(Step::Paused(at));
            }
            let before = at;
            for part in &mut self.parts {
                let Some(allowed) = part.at_most(at, &mut self.steps)? else {
                    return Ok(Step::End);
                };
                at = allowed;
            }
            // Each part allows at most the number before it: they all agree.
            if at == before {
                return Ok(Step::Found(at));
            }
            self.steps += 1;
        }
    }
}

/// Returns the numbers of those of these watches that exist, from the highest.
fn numbers_of(db: &Connection, ids: &[WatchId]) -> Result<Vec<i64>, SqlError> {
    let mut statement = db.prepare_cached(OF_ID)?;
    let mut numbers = Vec::new();
    for id in ids {
        let number: Option<i64> = statement.query_row([id.0], |row| row.get(0)).optional()?;
        numbers.extend(number);
    }
    numbers.sort_unstable_by_key(|number| Reverse(*number));
    numbers.dedup();
    Ok(numbers)
}

/// Returns the spans that may have watches of the times of a query, from the highest.
fn spans_of(db: &Connection, query: &Query) -> Result<Vec<i64>, SqlError> {
    let since = query.since.map_or(i64::MIN, row::micros);
    let until = query.until.map_or(i64::MAX, row::micros);
    let mut statement = db.prepare_cached(SPANS)?;
    let spans = statement.query_map([since, until], |row| row.get(0))?;
    Ok(spans.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::query_plan::plan_of;

    #[test]
    fn each_part_reads_only_an_index() {
        for (sql, index) in [
            (
                STATE,
                "watches USING COVERING INDEX watches_state (state=? AND rowid<?)",
            ),
            (
                SERVICE,
                "watches USING COVERING INDEX watches_service (service=? AND rowid<?)",
            ),
            (
                JOB,
                "watches USING COVERING INDEX watches_by_job (job_id=? AND rowid<?)",
            ),
            (
                GROUP,
                "watches USING COVERING INDEX watches_group (group_name=? AND number<?)",
            ),
            (
                LABEL,
                "watch_labels USING PRIMARY KEY (label=? AND number<?)",
            ),
            (ALL, "watches USING INTEGER PRIMARY KEY (rowid<?)"),
            (
                OF_ID,
                "watches USING COVERING INDEX sqlite_autoindex_watches_1 (id=?)",
            ),
        ] {
            assert_eq!(plan_of(sql), [format!("SEARCH {index}")]);
        }
    }
}
