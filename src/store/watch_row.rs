//! The columns of a watch, and the watch that a row of them holds, in every SQL store.

use crate::store::SqlError;
use crate::store::cells::Cells;
use crate::watch::{CallbackUrl, Expect, Watch, WatchId};

/// The columns of a watch, in the order in which [`read`] reads them.
pub(crate) const COLUMNS: &str = "number, id, service, definition, job_id, params, labels, sinks, \
    callback_url, group_name, named_run, since, expect, submitted_at, deadline, state, job, finished_at, polls, \
    problems, last_problem, unknown_status, run, has_progress, confirmations, notes, stage, stages, \
    follow, cause, revision";

/// Reads a watch and its number from a row with [`COLUMNS`].
pub(crate) fn read<'row>(cells: &mut impl Cells<'row>) -> Result<(i64, Watch), SqlError> {
    let number = cells.number()?;
    let watch = Watch {
        id: WatchId(cells.uuid()?),
        service: cells.text()?.to_owned(),
        definition: cells.text()?.to_owned(),
        job_id: cells.text()?.to_owned(),
        params: cells.json("params")?.unwrap_or_default(),
        labels: cells.json("labels")?.unwrap_or_default(),
        sinks: cells.json("sinks")?.unwrap_or_default(),
        callback_url: cells.string_or_null()?.map(CallbackUrl),
        group: cells.string_or_null()?,
        named_run: cells.string_or_null()?.filter(|run| !run.is_empty()),
        since: cells.time_or_null("since")?,
        expect: cells.text_or_null()?.and_then(Expect::from_word),
        submitted_at: cells.time("submitted_at")?,
        deadline: cells.time("deadline")?,
        state: cells.text()?.parse()?,
        job: cells.json("job")?,
        finished_at: cells.time_or_null("finished_at")?,
        polls: cells.number()?,
        problems: cells.number()?,
        last_problem: cells.json("last_problem")?,
        unknown_status: cells.string_or_null()?,
        run: cells.string_or_null()?,
        has_progress: cells.flag()?,
        confirmations: cells.number()?,
        notes: cells.json("notes")?.unwrap_or_default(),
        stage: cells.json("stage")?,
        stages: cells.json("stages")?.unwrap_or_default(),
        follow: cells.string_or_null()?,
        cause: cells.json("cause")?,
        revision: cells.number()?,
    };
    Ok((number, watch))
}
