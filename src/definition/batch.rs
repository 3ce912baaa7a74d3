//! The request for several jobs at once, or for the list of all: `[batch]`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::definition::request::{JOB_IDS, RenderError, RenderedRequest, RequestTemplate};
use crate::definition::selector::{Selector, View};

/// The most pages of one list.
pub const PAGES_MAX: u32 = 100;
/// The job ids in one request if the definition names no number.
pub(super) const IDS_DEFAULT: usize = 50;

/// The characters of a query that are encoded: all but the unreserved ones (RFC 3986).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The request for several jobs, compiled.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The most job ids in one request. A list is read whole, for any number of jobs.
    pub max: usize,
    /// False if the API has no request for one job.
    pub alone: bool,
    pub(super) request: RequestTemplate,
    /// The selector of the elements of the answer; each one is read as a job.
    pub(super) items: Selector,
    pub(super) page: Option<Paging>,
}

/// The way from one page of a list to the next.
#[derive(Debug, Clone)]
pub(super) enum Paging {
    /// The answer has a link to the next page.
    Link(Selector),
    /// The answer has a mark of the next page, which the next request gives back.
    Mark {
        /// The place of the mark in the answer.
        at: Selector,
        /// The name of the query parameter.
        param: String,
    },
    /// The pages have numbers, up to the first one that is empty.
    Number {
        /// The name of the query parameter.
        param: String,
        /// The number of the first page.
        first: u32,
    },
}

/// A page after the first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextPage {
    /// The page at this URL, absolute or relative, as the answer gives it.
    Link(String),
    /// The page with this number or mark, for [`Batch::render_page`].
    Named(String),
}

impl Batch {
    /// True if one answer is about all jobs of the API, and names none in the request.
    pub fn is_list(&self) -> bool {
        !self
            .request
            .placeholders()
            .any(|name| name.starts_with(JOB_IDS))
    }

    /// True if the request needs more watches than this many to pay: a list for one job costs its
    /// service more than that job.
    pub fn needs_more_than(&self, watches: usize) -> bool {
        self.alone && self.is_list() && watches < 2
    }

    /// True after so many requests that one more does not pay, with this number of jobs left: those
    /// are asked for one by one. No list costs more than twice the requests that were needed.
    pub fn stops_paying_after(&self, requests: u32, left: usize) -> bool {
        let spent = usize::try_from(requests).unwrap_or(usize::MAX);
        left == 0 || (self.alone && self.is_list() && spent >= left)
    }

    /// True if this job can be asked for together with others: an id with a comma looks like two
    /// ids in a list with commas.
    pub fn takes(&self, job_id: &str) -> bool {
        !job_id.contains(',') || !self.request.placeholders().any(|name| name == JOB_IDS)
    }

    /// Fills the request for these jobs; `value` returns the value of any other placeholder.
    ///
    /// # Errors
    /// Names the placeholder without a value, or the header that cannot carry a value.
    pub fn render<'a>(
        &self,
        job_ids: &[&str],
        value: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<RenderedRequest, RenderError> {
        let first = match &self.page {
            Some(Paging::Number { first, .. }) => Some(first.to_string()),
            Some(Paging::Link(_) | Paging::Mark { .. }) | None => None,
        };
        self.render_page(job_ids, first.as_deref(), value)
    }

    /// Fills the request for the page with this number or mark.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn render_page<'a>(
        &self,
        job_ids: &[&str],
        page: Option<&str>,
        value: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<RenderedRequest, RenderError> {
        let mut request = self.request.render_for(job_ids, value)?;
        if let (Some(Paging::Number { param, .. } | Paging::Mark { param, .. }), Some(page)) =
            (&self.page, page)
        {
            let sign = if request.path_and_query.contains('?') {
                '&'
            } else {
                '?'
            };
            let name = utf8_percent_encode(param, UNRESERVED);
            let page = utf8_percent_encode(page, UNRESERVED);
            let path = &request.path_and_query;
            request.path_and_query = format!("{path}{sign}{name}={page}");
        }
        Ok(request)
    }

    /// Returns the page after the one that `view` shows, which was page `number` (from 0).
    pub(super) fn next_page(
        &self,
        view: View<'_>,
        number: u32,
        is_empty: bool,
    ) -> Option<NextPage> {
        match self.page.as_ref()? {
            Paging::Link(at) => at
                .text(view)
                .and_then(|text| link(&text))
                .map(NextPage::Link),
            Paging::Mark { at, .. } => at.text(view).map(NextPage::Named),
            Paging::Number { first, .. } => {
                let next = first.saturating_add(number + 1);
                (!is_empty).then(|| NextPage::Named(next.to_string()))
            }
        }
    }

    /// Returns method and path as the definition writes them.
    pub fn shown(&self) -> String {
        self.request.shown()
    }

    /// Returns the names of the placeholders, without those for job ids.
    pub(super) fn params(&self) -> impl Iterator<Item = &str> {
        let names = self.request.placeholders();
        names.filter(|name| !name.starts_with(JOB_IDS))
    }
}

/// Returns the URL of a link: the text itself, or in a header `Link` the target of `rel="next"`
/// (RFC 8288).
fn link(text: &str) -> Option<String> {
    if !text.starts_with('<') {
        return Some(text.to_owned());
    }
    text.split('<').skip(1).find_map(|part| {
        let (target, rest) = part.split_once('>')?;
        let is_next = rest.split([';', ',']).any(|param| {
            let param: String = param.chars().filter(|c| !matches!(c, ' ' | '"')).collect();
            param.eq_ignore_ascii_case("rel=next")
        });
        is_next.then(|| target.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::file::{Method, RequestTable};
    use std::collections::BTreeMap;

    #[test]
    fn list_is_read_while_it_saves_requests() {
        let batch = |alone, path: &str| Batch {
            max: 50,
            alone,
            request: RequestTemplate::compile(&get(path)).unwrap(),
            items: Selector::compile("$.jobs[*]").unwrap(),
            page: None,
        };
        let list = batch(true, "/jobs");
        assert!(list.needs_more_than(1) && !list.needs_more_than(2));
        let read = [(1, 5), (4, 5), (5, 5), (1, 1), (1, 0)];
        let stops = read.map(|(requests, left)| list.stops_paying_after(requests, left));
        assert_eq!(stops, [false, false, true, true, true]);
        for other in [batch(false, "/jobs"), batch(true, "/jobs/{job_ids}")] {
            assert!(!other.needs_more_than(1) && !other.stops_paying_after(9, 1));
            assert!(other.stops_paying_after(1, 0));
        }
    }

    fn get(path: &str) -> RequestTable {
        RequestTable {
            method: Method::Get,
            path: path.to_owned(),
            query: BTreeMap::new(),
            headers: BTreeMap::new(),
            body: None,
        }
    }

    #[test]
    fn link_of_the_next_page_is_found() {
        for (text, expected) in [
            ("/jobs?page=2", Some("/jobs?page=2")),
            (
                "<https://h/a?page=1>; rel=\"prev\", <https://h/a?page=3>; rel=\"next\"",
                Some("https://h/a?page=3"),
            ),
            ("<https://h/a?page=1>; rel=\"prev\"", None),
        ] {
            assert_eq!(link(text).as_deref(), expected, "{text}");
        }
    }
}
