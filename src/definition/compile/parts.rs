//! The tables of a definition about the form of answers and about the polls that follow:
//! `[answer]`, `[pace]`, `[next]` and `[batch]`.

use std::collections::BTreeMap;

use crate::definition::AnswerForm;
use crate::definition::batch::{Batch, IDS_DEFAULT, Paging};
use crate::definition::compile::Check;
use crate::definition::file::{
    AnswerTable, BatchTable, File, PaceTable, PaceText, PageTable, RequestTable, SizeText,
};
use crate::definition::handover::{Next, Pace};
use crate::definition::request::{JOB_ID, JOB_IDS, RequestTemplate};
use crate::definition::retry_hint::Unit;
use crate::definition::selector::Selector;
use crate::definition::timestamp;
use crate::size::parse_size;

/// The smallest and the largest `max_body` of a definition, in bytes.
const MAX_BODY: std::ops::RangeInclusive<u64> = 1024..=1024 * 1024 * 1024;
/// The most job ids in one request.
const IDS_MAX: usize = 10_000;
/// The job ids in a form that only a single job id can have.
const RESERVED_JOB_IDS: &str = "{+job_ids";

impl Check<'_> {
    pub(super) fn answer(&mut self, table: &AnswerTable) -> AnswerForm {
        let mut statuses = table.statuses.clone();
        statuses.sort_unstable();
        for (n, status) in table.statuses.iter().enumerate() {
            let said = match status {
                200..=299 => "is always read; list other statuses only",
                401 => "cannot be claimed: it is about the credential",
                429 => "cannot be claimed: it is about the number of requests",
                300..=599 => continue,
                _ => "is not an HTTP status that can be claimed; allowed are 300 to 599",
            };
            self.wrong(&format!("answer.statuses.{n}"), format!("{status} {said}"));
        }
        let zone = table.zone.as_deref().map(timestamp::zone);
        let zone = zone.and_then(|zone| self.ok("answer.zone", zone));
        AnswerForm {
            format: table.format,
            statuses,
            lists: table.lists.clone(),
            zone: zone.unwrap_or(jiff::tz::TimeZone::UTC),
            max_body: table.max_body.as_ref().and_then(|size| self.max_body(size)),
        }
    }

    fn max_body(&mut self, size: &SizeText) -> Option<usize> {
        let bytes = match size {
            SizeText::Bytes(bytes) => Ok(*bytes),
            SizeText::Text(text) => parse_size(text),
        };
        let bytes = bytes.and_then(|bytes| {
            let fits = usize::try_from(bytes).ok();
            let fits = fits.filter(|_| MAX_BODY.contains(&bytes));
            fits.ok_or_else(|| format!("{bytes} bytes: must be from 1KiB to 1GiB"))
        });
        self.ok("answer.max_body", bytes)
    }

    pub(super) fn pace(&mut self, table: &PaceTable) -> Vec<Pace> {
        let mut places = Vec::new();
        for text in table.after.as_slice() {
            let (at, unit) = match text {
                PaceText::Seconds(at) => (at, Unit::Seconds),
                PaceText::InUnit(place) => (&place.at, place.unit),
            };
            let at = self.ok("pace.after", Selector::compile(at));
            places.extend(at.map(|at| Pace { at, unit }));
        }
        places
    }

    pub(super) fn next(&mut self, file: &File) -> Next {
        let table = &file.next;
        let job_id = self.selectors("next.job_id", &table.job_id);
        if job_id.is_empty() && (table.definition.is_some() || !table.params.is_empty()) {
            self.wrong("next", "needs `job_id`, the id of the job that takes over");
        }
        if table.definition.is_none() {
            for name in table.params.keys() {
                if !file.params.contains(name) {
                    self.wrong(
                        &format!("next.params.{name}"),
                        format!(
                            "`{name}` is not listed in `params`, so the next job cannot use it"
                        ),
                    );
                }
            }
        }
        let mut params = BTreeMap::new();
        for (name, selection) in &table.params {
            let selectors = self.selectors(&format!("next.params.{name}"), selection);
            params.insert(name.clone(), selectors);
        }
        Next {
            follow: self.selectors("next.follow", &table.follow),
            job_id,
            definition: table.definition.clone(),
            params,
        }
    }

    /// Compiles `[batch]`. A `[request]` that names no job and has an `item` is one, too.
    pub(super) fn batch(&mut self, file: &File) -> Option<Batch> {
        let Some(table) = &file.batch else {
            return whole_list(file);
        };
        let request = self.batch_request(&file.request, table)?;
        let names_jobs = request.placeholders().any(|name| name.starts_with(JOB_IDS));
        let items = table.items.as_deref().or(file.job.item.as_deref());
        let items = items
            .ok_or_else(|| "needs `items`, the selector of the elements that are jobs".to_owned());
        let items = items.and_then(Selector::compile);
        let items = self.ok("batch.items", items)?;
        if !items.is_in_tree() {
            self.wrong("batch.items", "must be JSONPath into the body");
        }
        if !items.source().contains(['*', '?']) && !items.source().contains("..") {
            let message = format!(
                "names one element only; for each element of a list write `{}[*]`",
                items.source()
            );
            self.warn("batch.items", message);
        }
        if file.job.id.as_slice().is_empty() {
            self.wrong("batch", "needs `job.id`, by which each element is matched");
        }
        Some(Batch {
            max: self.batch_max(table.max, names_jobs)?,
            alone: table.alone.unwrap_or(true),
            page: match &table.page {
                Some(page) => Some(self.paging(page)?),
                None => None,
            },
            request,
            items,
        })
    }

    /// Compiles the request of a batch. The keys that it does not set come from `[request]`,
    /// without the queries and headers that name one job.
    fn batch_request(
        &mut self,
        request: &RequestTable,
        table: &BatchTable,
    ) -> Option<RequestTemplate> {
        let page = table.page.as_ref();
        let placeholder = format!("{{{JOB_ID}}}");
        let others = |given: &BTreeMap<String, String>, own: &BTreeMap<String, String>| {
            let mut merged = given.clone();
            merged.retain(|_, text| !text.contains(&placeholder));
            merged.extend(own.clone());
            merged
        };
        let inherited = request.body.clone();
        let inherited = inherited.filter(|body| !body.contains(&placeholder));
        let table = RequestTable {
            method: table.method.unwrap_or(request.method),
            path: table.path.clone().unwrap_or_else(|| request.path.clone()),
            headers: others(&request.headers, &table.headers),
            query: others(&request.query, &table.query),
            body: table.body.clone().or(inherited),
        };
        if table.path.contains(RESERVED_JOB_IDS) {
            self.wrong(
                "batch.path",
                "must not use `{+job_ids}`: write `{job_ids}`, which joins the ids with commas",
            );
        }
        self.page_param(&table, page);
        let compiled =
            RequestTemplate::compile(&table).map_err(|message| message.replace("request.", ""));
        let compiled = self.ok("batch", compiled)?;
        if compiled.placeholders().any(|name| name == JOB_ID) {
            self.wrong(
                "batch",
                "must not use `{job_id}`, which names one job; use `{job_ids}`, or set a `path` without it",
            );
        }
        Some(compiled)
    }

    /// Refuses a parameter that the request has already: it would be sent twice.
    fn page_param(&mut self, request: &RequestTable, page: Option<&PageTable>) {
        let param = page.and_then(|page| page.param.as_deref());
        let Some(param) = param else { return };
        let (_, in_path) = request.path.split_once('?').unwrap_or_default();
        let mut in_path = in_path.split('&').map(|it| it.split('=').next());
        if request.query.contains_key(param) || in_path.any(|it| it == Some(param)) {
            self.wrong(
                "batch.page",
                format!("sends `{param}`, which the query has too: remove it from `query`"),
            );
        }
    }

    fn batch_max(&mut self, max: Option<i64>, names_jobs: bool) -> Option<usize> {
        let Some(max) = max else {
            return Some(if names_jobs { IDS_DEFAULT } else { usize::MAX });
        };
        let read = usize::try_from(max).ok();
        let read = read.filter(|max| (1..=IDS_MAX).contains(max));
        let read = read.ok_or_else(|| format!("{max} must be from 1 to {IDS_MAX}"));
        let read = self.ok("batch.max", read);
        if names_jobs { read } else { Some(usize::MAX) }
    }

    fn paging(&mut self, table: &PageTable) -> Option<Paging> {
        match (&table.at, &table.param, table.first) {
            (Some(at), None, None) => self
                .ok("batch.page", Selector::compile(at))
                .map(Paging::Link),
            (Some(at), Some(param), None) if !param.is_empty() => {
                let at = self.ok("batch.page", Selector::compile(at))?;
                let param = param.clone();
                Some(Paging::Mark { at, param })
            }
            (None, Some(param), first) if !param.is_empty() => Some(Paging::Number {
                param: param.clone(),
                first: first.unwrap_or(1),
            }),
            _ => {
                self.wrong(
                    "batch.page",
                    "is { at = \"$.next\" }, the place of a link, { at = \"$.marker\", param = \"marker\" }, that of a mark which the parameter gives back, or { param = \"page\", first = 1 }",
                );
                None
            }
        }
    }
}

/// Returns the batch of a definition whose `[request]` names no job and gives the list of all.
fn whole_list(file: &File) -> Option<Batch> {
    let request = RequestTemplate::compile(&file.request).ok()?;
    if request.placeholders().any(|name| name == JOB_ID) || file.job.id.as_slice().is_empty() {
        return None;
    }
    let items = Selector::compile(file.job.item.as_deref()?).ok()?;
    Some(Batch {
        max: usize::MAX,
        alone: false,
        request,
        items,
        page: None,
    })
}
