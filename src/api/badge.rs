//! `/v1/badge`: a small picture (SVG) of how the watches of a query are. It needs no other host.

use std::collections::{BTreeMap, HashSet};

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::header;

use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::filter::select;
use crate::api::query::terms;
use crate::api::schema;
use crate::store::{PAGE_MAX, Query};
use crate::watch::{Outcome, Params, Severity, State as WatchState, Watch};

/// The longest text on the left, in characters.
const TITLE_CHARS: usize = 60;

/// The empty space beside a text, and the height, in pixels.
const PADDING: f64 = 6.0;
const HEIGHT: f64 = 20.0;

const RED: &str = "#b3261e";
const AMBER: &str = "#8a5a00";
const BLUE: &str = "#1f5fa8";
const GREEN: &str = "#2e7d32";
const GREY: &str = "#5f6368";

/// The text on the right of a badge, and its colour.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    text: String,
    colour: &'static str,
}

/// Shows the watches that match the query as a badge: of several watches of one job the newest
/// counts.
#[utoipa::path(
    get,
    path = "/v1/badge",
    tag = "watches",
    operation_id = "badge",
    params(
        ("state" = Option<Vec<schema::State>>, Query, style = Form, explode = false, description = "Watches in one of these states"),
        ("service" = Option<String>, Query, description = "Watches of this service"),
        ("job" = Option<String>, Query, description = "Watches of the job with this id"),
        ("label" = Option<Vec<schema::Label>>, Query, description = "Watches with this label; of several, all must hold"),
        ("group" = Option<String>, Query, description = "Watches of this group"),
        ("id" = Option<Vec<String>>, Query, description = "These watches, by references"),
        ("since" = Option<String>, Query, example = "2h", description = "Watches submitted at this time (RFC 3339) or later, or at most this long ago (`2h`)"),
        ("until" = Option<String>, Query, example = "1s", description = "Watches submitted before this time, or longer ago"),
        ("title" = Option<String>, Query, max_length = 60, example = "nightly", description = "The text on the left; without it, the group or the service"),
    ),
    responses(
        (status = 200, body = String, content_type = "image/svg+xml", description = "The picture"),
        (status = 404, description = "no-such-watch"),
        (status = 409, description = "ambiguous-reference"),
    )
)]
pub(super) async fn show(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let (query, title) = api.badge_of(query.as_deref().unwrap_or_default()).await?;
    let page = api.store.full_page(query).await?;
    let message = Message::of(&page.watches, page.next.is_some());
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
    ];
    Ok((headers, svg(&title, &message)).into_response())
}

impl Api {
    /// Parses the query of a badge: the filters of a list, and a title.
    async fn badge_of(&self, text: &str) -> Result<(Query, String), ApiError> {
        let now = self.clock.now();
        let mut title = None;
        let mut query = Query {
            limit: PAGE_MAX,
            ..Query::default()
        };
        for term in terms(text) {
            match &*term.name {
                "id" => query.ids.push(self.resolve_id(&term.value).await?),
                "title" => {
                    let is_plain = !term.value.chars().any(char::is_control);
                    if !is_plain || term.value.chars().count() > TITLE_CHARS {
                        let allowed =
                            format!("at most {TITLE_CHARS} characters, and no control characters");
                        return Err(term.wrong(&allowed));
                    }
                    let value = term.value.clone().into_owned();
                    title = Some(term.once(title.as_ref(), value)?);
                }
                _ if select(&mut query, &term, now)? => {}
                _ => {
                    return Err(term
                        .unknown("state, service, job, label, group, id, since, until and title"));
                }
            }
        }
        let named = query.group.clone().or_else(|| query.service.clone());
        let title = title.or(named).unwrap_or_else(|| "jobs".to_owned());
        Ok((query, title))
    }
}

impl Message {
    /// Returns the message for these watches, newest first: the worst outcome, or else the number
    /// of jobs that go on. `more` is true if there are further watches.
    fn of(watches: &[Watch], more: bool) -> Self {
        let mut seen: HashSet<(&str, &Params, &str)> = HashSet::new();
        let newest = watches.iter().filter(|watch| {
            let job = (watch.service.as_str(), &watch.params, watch.job_id.as_str());
            seen.insert(job)
        });
        let mut watching = 0_usize;
        let mut outcomes: BTreeMap<Outcome, usize> = BTreeMap::new();
        for watch in newest {
            match watch.state {
                WatchState::Watching => watching += 1,
                WatchState::Final(outcome) => *outcomes.entry(outcome).or_default() += 1,
            }
        }
        let plus = if more { "+" } else { "" };
        let bad = outcomes
            .keys()
            .copied()
            .filter(|it| colour_of(*it) != GREEN);
        let bad = bad.filter(|it| it.severity() != Severity::Neutral);
        if let Some(worst) = Outcome::worst(bad) {
            return Self {
                text: format!("{worst} {}{plus}", outcomes[&worst]),
                colour: colour_of(worst),
            };
        }
        if watching > 0 {
            return Self {
                text: format!("{watching}{plus} watching"),
                colour: BLUE,
            };
        }
        let text = match (outcomes.len(), outcomes.keys().next()) {
            (0, _) => "no watches".to_owned(),
            (1, Some(Outcome::Succeeded)) => "all succeeded".to_owned(),
            _ => {
                let counted = outcomes.iter();
                let counted: Vec<String> = counted
                    .map(|(outcome, count)| format!("{outcome} {count}{plus}"))
                    .collect();
                counted.join(", ")
            }
        };
        let is_good = outcomes.contains_key(&Outcome::Succeeded);
        Self {
            text,
            colour: if is_good { GREEN } else { GREY },
        }
    }
}

fn colour_of(outcome: Outcome) -> &'static str {
    match outcome.severity() {
        Severity::Good => GREEN,
        Severity::Bad => RED,
        Severity::Unclear => AMBER,
        Severity::Neutral => GREY,
    }
}

/// Draws a badge. The length of each text is fixed, so that it fits with any font.
fn svg(title: &str, message: &Message) -> String {
    let (left, right) = (width_of(title), width_of(&message.text));
    let (left_box, right_box) = (left + 2.0 * PADDING, right + 2.0 * PADDING);
    let whole = left_box + right_box;
    let (title, text) = (escaped(title), escaped(&message.text));
    let colour = message.colour;
    let right_at = left_box + PADDING;
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{whole:.0}" height="{HEIGHT}" role="img" aria-label="{title}: {text}"><title>{title}: {text}</title><rect width="{whole:.0}" height="{HEIGHT}" rx="3" fill="{GREY}"/><path fill="{colour}" d="M{left_box:.0} 0h{straight:.0}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{straight:.0}z"/><g fill="{WHITE}" font-family="Verdana,Geneva,DejaVu Sans,sans-serif" font-size="11"><text x="{PADDING}" y="14" textLength="{left:.0}">{title}</text><text x="{right_at:.0}" y="14" textLength="{right:.0}">{text}</text></g></svg>"#,
        straight = right_box - 3.0,
    )
}

const WHITE: &str = "#fff";

/// Returns the width of a text in pixels, about as Verdana has it at this size.
fn width_of(text: &str) -> f64 {
    let width = |c: char| match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' => 4.0,
        'f' | 'r' | 't' | '(' | ')' | '[' | ']' | '/' | '-' => 5.0,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '+' => 10.0,
        'A'..='Z' => 8.0,
        c if c.is_ascii() => 7.0,
        _ => 11.0,
    };
    text.chars().map(width).sum::<f64>().max(1.0)
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::watch::WatchId;

    fn watches(of: &[(&str, Option<Outcome>)]) -> Vec<Watch> {
        let at = Timestamp::UNIX_EPOCH;
        let watch = |(job_id, outcome): &(&str, Option<Outcome>)| Watch {
            state: outcome.map_or(WatchState::Watching, WatchState::Final),
            ..Watch::new(WatchId(Uuid::nil()), ("dcs", "dcs"), job_id, at, at)
        };
        of.iter().map(watch).collect()
    }

    #[track_caller]
    fn says(of: &[(&str, Option<Outcome>)], text: &str, colour: &str) {
        let message = Message::of(&watches(of), false);
        assert_eq!((message.text.as_str(), message.colour), (text, colour));
    }

    #[test]
    fn the_worst_outcome_is_shown_and_else_the_jobs_that_go_on() {
        let good = Some(Outcome::Succeeded);
        says(&[], "no watches", GREY);
        says(&[("a", None), ("b", None), ("c", good)], "2 watching", BLUE);
        says(&[("a", good), ("b", good)], "all succeeded", GREEN);
        let timed_out = Some(Outcome::TimedOut);
        says(&[("a", timed_out), ("b", None)], "timed_out 1", AMBER);
        let failed = Some(Outcome::Failed);
        says(&[("a", timed_out), ("b", failed)], "failed 1", RED);
        let stopped = Some(Outcome::Unwatched);
        says(&[("a", stopped)], "unwatched 1", GREY);
        says(
            &[("a", stopped), ("b", good)],
            "succeeded 1, unwatched 1",
            GREEN,
        );
    }

    #[test]
    fn of_several_watches_of_one_job_the_newest_counts() {
        let (good, failed) = (Some(Outcome::Succeeded), Some(Outcome::Failed));
        says(&[("a", good), ("a", failed)], "all succeeded", GREEN);
        says(&[("a", None), ("a", failed)], "1 watching", BLUE);
    }

    #[test]
    fn more_watches_than_were_counted_have_a_plus() {
        let message = Message::of(&watches(&[("a", None)]), true);
        assert_eq!(message.text, "1+ watching");
    }

    #[test]
    fn a_text_is_escaped_and_makes_the_badge_wider() {
        let message = |text: &str| Message {
            text: text.to_owned(),
            colour: BLUE,
        };
        let drawn = svg("<a href='x'>&\"", &message("1 watching"));
        assert!(
            drawn.contains("&lt;a href=&#39;x&#39;&gt;&amp;&quot;"),
            "{drawn}"
        );
        assert!(!drawn.contains("<a "), "{drawn}");
        assert_eq!(drawn.matches("http").count(), 1, "the namespace only");
        let width = |drawn: &str| -> f64 {
            let (_, rest) = drawn.split_once("width=\"").unwrap();
            rest.split_once('"').unwrap().0.parse().unwrap()
        };
        let (short, long) = (
            svg("jobs", &message("a")),
            svg("jobs", &message("aaaaaaaaaa")),
        );
        assert!(width(&long) > width(&short) + 50.0);
    }
}
