//! The request for several jobs at once, or for the list of all: `[batch]`.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::definition::request::{JOB_IDS, RenderError, RenderedRequest, RequestTemplate};
use crate::definition::selector::{Selector, View};

/// The most pages of one list.
pub const PAGES_MAX: u32 = 100;
/// The job ids in one request if the definition names no number.
pub(super) const IDS_DEFAULT: usize = 50;

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
    /// The page of this number, for [`Batch::render_page`].
    Number(u32),
}

impl Batch {
    /// True if one answer is about all jobs of the API, and names none in the request.
    pub fn is_list(&self) -> bool {
        !self
            .request
            .placeholders()
            .any(|name| name.starts_with(JOB_IDS))
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
            Some(Paging::Number { first, .. }) => Some(*first),
            Some(Paging::Link(_)) | None => None,
        };
        self.render_page(job_ids, first, value)
    }

    /// Fills the request for the page of this number.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn render_page<'a>(
        &self,
        job_ids: &[&str],
        number: Option<u32>,
        value: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<RenderedRequest, RenderError> {
        let mut request = self.request.render_for(job_ids, value)?;
        if let (Some(Paging::Number { param, .. }), Some(number)) = (&self.page, number) {
            let sign = if request.path_and_query.contains('?') {
                '&'
            } else {
                '?'
            };
            let name = utf8_percent_encode(param, NON_ALPHANUMERIC);
            let path = &request.path_and_query;
            request.path_and_query = format!("{path}{sign}{name}={number}");
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
            Paging::Number { first, .. } => {
                let next = first.saturating_add(number + 1);
                (!is_empty).then_some(NextPage::Number(next))
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
