//! The options that select watches and deliveries, and pages of them.

use clap::Args;
use clap::builder::PossibleValuesParser;
use jiff::{Span, SpanRelativeTo, Timestamp};

use crate::cli::pair::pair;
use crate::clock::SystemClock;
use crate::watch::State;

/// The most entries of one page, as the daemon allows them.
pub(super) const PAGE_MAX: u32 = 1000;

/// One `name=value` pair of a query.
pub(super) type Term = (&'static str, String);

/// The options that select jobs.
#[derive(Args, Debug, Clone, Default)]
pub(super) struct JobFilter {
    /// Only jobs of this service
    #[arg(long, value_parser = exact)]
    pub(super) service: Option<String>,
    /// Only the job with this id
    #[arg(long, value_name = "JOB_ID", value_parser = exact)]
    pub(super) job: Option<String>,
    /// Only jobs with this label; may be repeated, and then all must be there
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) labels: Vec<(String, String)>,
    /// Only those from this time on: RFC 3339, or an age such as 2h or 7d
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(super) since: Option<Timestamp>,
    /// Only those before this time
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(super) until: Option<Timestamp>,
}

/// The options that select watches.
#[derive(Args, Debug, Clone, Default)]
pub(super) struct WatchFilter {
    /// Only watches in these states: watching, or outcomes such as failed, with commas between
    /// them
    #[arg(
        long = "state",
        value_name = "STATE",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(State::words()),
        hide_possible_values = true
    )]
    pub(super) states: Vec<String>,
    #[command(flatten)]
    pub(super) jobs: JobFilter,
    /// Only watches of this group
    #[arg(long, value_name = "NAME", value_parser = exact)]
    pub(super) group: Option<String>,
}

/// The options that select a page of a list.
#[derive(Args, Debug, Clone)]
pub(super) struct PageArgs {
    /// The number of entries to list, at most 1000
    #[arg(
        long,
        default_value_t = 50,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(PAGE_MAX))
    )]
    pub(super) limit: u32,
    /// Continue a list: the value printed at the end of the previous page
    #[arg(long, value_parser = exact)]
    pub(super) cursor: Option<String>,
    /// List all, not only a page
    #[arg(long, conflicts_with = "limit")]
    pub(super) all: bool,
}

impl JobFilter {
    pub(super) fn terms(&self) -> Vec<Term> {
        let text = |value: &Option<String>| value.clone();
        let time = |value: Option<Timestamp>| value.map(|at| at.to_string());
        let mut terms: Vec<Term> = [
            ("service", text(&self.service)),
            ("job", text(&self.job)),
            ("since", time(self.since)),
            ("until", time(self.until)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        let labels = self.labels.iter();
        terms.extend(labels.map(|(name, value)| ("label", format!("{name}={value}"))));
        terms
    }
}

impl WatchFilter {
    pub(super) fn terms(&self) -> Vec<Term> {
        let mut terms = self.jobs.terms();
        if !self.states.is_empty() {
            terms.push(("state", self.states.join(",")));
        }
        terms.extend(self.group.clone().map(|group| ("group", group)));
        terms
    }
}

/// Composes the path of a page of a list.
pub(super) fn path_of_page(path: &str, terms: &[Term], limit: u32, cursor: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &limit.to_string());
    query.extend_pairs(terms);
    if let Some(cursor) = cursor {
        query.append_pair("cursor", cursor);
    }
    format!("{path}?{}", query.finish())
}

/// Takes a text as it is; refuses an empty one, and blanks around it.
pub(super) fn exact(text: &str) -> Result<String, String> {
    let bare = text.trim();
    if bare.is_empty() {
        return Err("it is empty".to_owned());
    }
    if bare.len() < text.len() {
        return Err(format!("it has blanks around it; write it as {bare:?}"));
    }
    Ok(text.to_owned())
}

/// Reads an instant, or an age before now.
fn instant(text: &str) -> Result<Timestamp, String> {
    instant_at(text, SystemClock::shared().now())
}

fn instant_at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let before_now = |age: Span| {
        let length = age.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
        now.checked_sub(length.abs()).ok()
    };
    let at = text.parse::<Span>().ok().and_then(before_now);
    at.ok_or_else(|| "it must be a time (2026-11-26T10:00:00Z) or an age (30m, 2h, 7d)".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        filter: WatchFilter,
        #[command(flatten)]
        page: PageArgs,
    }

    fn parsed(line: &str) -> Result<Line, String> {
        let words = line.split('|').filter(|word| !word.is_empty());
        let line = Line::try_parse_from(std::iter::once("jobwatch").chain(words));
        line.map_err(|error| error.to_string())
    }

    #[test]
    fn filters_become_a_query() {
        let line = "--state|failed,lost|--state|watching|--label|a=b|--label|c=d|--group|g\
                    |--job|x/y&z|--until|2026-11-26T10:00:00Z";
        let line = parsed(line).unwrap();
        let path = path_of_page("/v1/watches", &line.filter.terms(), 50, Some("c"));
        assert_eq!(
            path,
            "/v1/watches?limit=50&job=x%2Fy%26z&until=2026-11-26T10%3A00%3A00Z&label=a%3Db\
             &label=c%3Dd&state=failed%2Clost%2Cwatching&group=g&cursor=c"
        );
        let line = parsed("").unwrap();
        assert!(line.filter.terms().is_empty());
        assert_eq!((line.page.limit, line.page.all), (50, false));
    }

    #[test]
    fn wrong_values_are_refused_with_advice() {
        for (line, words) in [
            ("--state|faild", "a similar value exists: 'failed'"),
            ("--job| ff80", "write it as \"ff80\""),
            ("--service|\u{a0}", "it is empty"),
            ("--since|yesterday", "30m, 2h, 7d"),
            ("--limit|0", "1..=1000"),
            ("--limit|5|--all", "cannot be used with"),
            ("--label|x", "NAME=VALUE"),
        ] {
            let error = parsed(line).err().unwrap();
            assert!(error.contains(words), "{line}: {error}");
        }
    }

    #[test]
    fn an_age_may_have_days_and_several_units() {
        let now = "2026-11-26T10:00:00Z".parse().unwrap();
        for (text, at) in [
            ("2h", "2026-11-26T08:00:00Z"),
            ("1d 2h", "2026-11-25T08:00:00Z"),
            ("7d", "2026-11-19T10:00:00Z"),
            ("1w", "2026-11-19T10:00:00Z"),
            ("2026-11-26T11:00:00+02:00", "2026-11-26T09:00:00Z"),
        ] {
            let at: Timestamp = at.parse().unwrap();
            assert_eq!(instant_at(text, now), Ok(at), "{text}");
        }
        for wrong in ["", "2", "1 month", "soon"] {
            assert!(instant_at(wrong, now).is_err(), "{wrong}");
        }
    }
}
