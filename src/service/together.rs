//! One request for several jobs: a batch, or a list that is read page by page.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Url;

use crate::clock::show_duration;
use crate::credential::scope::Scope;
use crate::definition::answer::Asked;
use crate::definition::batch::{Batch, NextPage, PAGES_MAX};
use crate::definition::reading::list::read_batch;
use crate::service::Service;
use crate::service::exchange::{Answered, Sent};
use crate::service::poll::{KeptAnswer, Observed, kept_answer, misconfigured};
use crate::service::reach::AllowedHosts;
use crate::service::spending::Spend;
use crate::service::subject::{Reading, Subject};
use crate::watch::observation::{Observation, Problem, ProblemKind};
use crate::watch::stage::Stage;

/// The result of one request for several jobs.
pub struct Together {
    /// One for each subject, in their order; `None` for one that must be asked for alone, or on the
    /// [`rest`](Self::rest) of the list.
    pub observed: Vec<Option<Observed>>,
    /// The problem that stopped the request; the observations before it count.
    pub problem: Option<Observation>,
    /// The number of requests that were sent: one a page.
    pub requests: u32,
    /// The last page that was read, as evidence of a job that is not on the list.
    last_page: Option<KeptAnswer>,
    bookmark: Bookmark,
    /// True if the list goes on at the bookmark, and has no request for one job.
    goes_on: bool,
}

/// The place at which the reading of a list goes on.
#[derive(Debug, Clone, Default)]
pub struct Bookmark {
    next: PagePosition,
    /// The pages that were read.
    read: Vec<PagePosition>,
}

impl Bookmark {
    /// Goes to the page that follows.
    ///
    /// # Errors
    /// It was read already, or the list is too long.
    fn turn_to(&mut self, next: PagePosition) -> Result<(), Problem> {
        self.read.push(std::mem::replace(&mut self.next, next));
        let unreadable = |message| Err(Problem::new(ProblemKind::Unreadable, message));
        if self.read.contains(&self.next) {
            return unreadable("the pages of the list go in a circle".to_owned());
        }
        if self.pages_read() >= PAGES_MAX {
            return unreadable(format!("the list has more than {PAGES_MAX} pages"));
        }
        Ok(())
    }

    fn pages_read(&self) -> u32 {
        u32::try_from(self.read.len()).unwrap_or(u32::MAX)
    }
}

impl Together {
    /// True if as many requests for one job each would have shown as much: the service refused the
    /// whole request, or showed no more jobs than it cost requests.
    pub fn saved_no_requests(&self) -> bool {
        let shown = self.observed.len() - self.missing();
        let requests = usize::try_from(self.requests).unwrap_or(usize::MAX);
        match &self.problem {
            Some(Observation::Problem(problem)) => refuses_together(problem),
            Some(Observation::Sighting(_)) => false,
            None => self.observed.len() > 1 && shown <= requests,
        }
    }

    /// True if the service could not answer the request, and showed no job.
    pub fn has_failed(&self) -> bool {
        let problem = self.problem.as_ref();
        problem.is_some_and(is_failure) && self.missing() == self.observed.len()
    }

    /// Returns the place at which the list goes on, if its budget or its time was used up before
    /// every job was seen, and the jobs that are missing cannot be asked for alone.
    pub fn rest(&self) -> Option<&Bookmark> {
        self.goes_on.then_some(&self.bookmark)
    }

    fn missing(&self) -> usize {
        self.observed.iter().filter(|it| it.is_none()).count()
    }

    /// Gives this problem to each job that was not seen.
    fn fill(&mut self, problem: &Problem) {
        for observed in self.observed.iter_mut().filter(|it| it.is_none()) {
            *observed = Some(Observed {
                observation: Observation::Problem(problem.clone()),
                answer: self.last_page.clone(),
            });
        }
    }
}

/// Returns the position of the page that an answer names. A link leads to the same origin, or to a
/// host that the operator has listed.
fn position_of(
    next: Option<NextPage>,
    allowed: &AllowedHosts,
    answered: &Answered,
) -> Result<Option<PagePosition>, Problem> {
    Ok(match next {
        Some(NextPage::Named(name)) => Some(PagePosition::Named(name)),
        Some(NextPage::Link(link)) => {
            let url = allowed.resolve(&answered.url, &link);
            Some(PagePosition::At(url.map_err(misconfigured)?))
        }
        None => None,
    })
}

fn too_long(limit: Duration) -> Problem {
    let limit = show_duration(limit);
    Problem::new(
        ProblemKind::Unreachable,
        format!("the pages of the list took longer than {limit}"),
    )
}

/// True for a problem of a whole request that each single request would have too, and that ends no
/// watch: asking for each job alone would only add to the load.
fn counts_for_all(problem: &Problem) -> bool {
    match problem.kind {
        ProblemKind::Throttled | ProblemKind::Unauthorized => true,
        ProblemKind::Unreachable
        | ProblemKind::ServerError
        | ProblemKind::Unreadable
        | ProblemKind::Forbidden
        | ProblemKind::NotFound
        | ProblemKind::Misconfigured => false,
    }
}

/// True for a problem that a request for one job may not have.
fn refuses_together(problem: &Problem) -> bool {
    match problem.kind {
        ProblemKind::Unreadable
        | ProblemKind::Forbidden
        | ProblemKind::NotFound
        | ProblemKind::Misconfigured => true,
        ProblemKind::Throttled
        | ProblemKind::Unauthorized
        | ProblemKind::Unreachable
        | ProblemKind::ServerError => false,
    }
}

fn is_failure(observation: &Observation) -> bool {
    matches!(observation, Observation::Problem(problem)
        if matches!(problem.kind, ProblemKind::Unreachable | ProblemKind::ServerError))
}

/// The jobs that a request is for, and the budget of its pages.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    subjects: &'a [Subject<'a>],
    spend: &'a dyn Spend,
    now: Timestamp,
}

/// The end of the reading of a list.
enum End {
    /// No page that follows is needed.
    Complete,
    /// The budget or the time was used up.
    Cut,
}

/// The longest time for all pages of a list, in times of one request.
const REQUESTS_LONG: u32 = 4;

/// The position of a page in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum PagePosition {
    #[default]
    First,
    /// The page with this number or mark.
    Named(String),
    At(Url),
}

impl Service {
    /// Returns the request for several jobs of this stage; `None` if the API has none.
    pub fn batch_at(&self, stage: Option<&Stage>) -> Option<&Batch> {
        self.definition_at(stage).batch.as_ref()
    }

    /// Polls several jobs with one request, or one for each page. All subjects must be at the same
    /// stage and have the same params, and stand at the same bookmark. Before each page after the
    /// first one it spends a request of the budget, and stops if there is none.
    pub async fn observe_together(
        &self,
        subjects: &[Subject<'_>],
        bookmark: Option<&Bookmark>,
        spend: &dyn Spend,
        now: Timestamp,
    ) -> Together {
        let mut together = Together {
            observed: subjects.iter().map(|_| None).collect(),
            problem: None,
            requests: 0,
            last_page: None,
            bookmark: bookmark.cloned().unwrap_or_default(),
            goes_on: false,
        };
        let stage = subjects.first().and_then(|subject| subject.stage);
        let alone = self.batch_at(stage).is_none_or(|batch| batch.alone);
        let wanted = Wanted {
            subjects,
            spend,
            now,
        };
        let result = match (self.reading_at(stage), self.batch_at(stage)) {
            (Ok(reading), Some(batch)) => {
                self.read_in_time(reading, batch, wanted, &mut together)
                    .await
            }
            (Err(problem), _) => Err(problem),
            (Ok(_), None) => Err(misconfigured("there is no [batch]".to_owned())),
        };
        let missing = match result {
            Ok(End::Complete) => {
                Problem::new(ProblemKind::NotFound, "the list does not have this job")
            }
            Ok(End::Cut) if !alone => {
                together.goes_on = together.missing() > 0;
                return together;
            }
            Ok(End::Cut) => return together,
            Err(problem) => {
                together.problem = Some(Observation::Problem(problem.clone()));
                problem
            }
        };
        if !alone || counts_for_all(&missing) {
            together.fill(&missing);
        }
        together
    }

    /// Reads pages until the time for one list is over. If that was enough for a page, the list goes on
    /// later.
    async fn read_in_time(
        &self,
        reading: Reading<'_>,
        batch: &Batch,
        wanted: Wanted<'_>,
        together: &mut Together,
    ) -> Result<End, Problem> {
        let limit = reading.timing.request_timeout() * REQUESTS_LONG;
        let read_before = together.bookmark.pages_read();
        let pages = self.read_pages(reading, batch, wanted, together);
        match tokio::time::timeout(limit, pages).await {
            Ok(read) => read,
            Err(_) if together.bookmark.pages_read() > read_before => Ok(End::Cut),
            Err(_) => Err(too_long(limit)),
        }
    }

    /// Reads page after page until every job was seen, no page follows, the budget is used up, or
    /// further pages cost more than to ask for each job that is left.
    async fn read_pages(
        &self,
        reading: Reading<'_>,
        batch: &Batch,
        wanted: Wanted<'_>,
        together: &mut Together,
    ) -> Result<End, Problem> {
        let Wanted {
            subjects,
            spend,
            now,
        } = wanted;
        let params: Vec<_> = subjects.iter().map(Subject::all_params).collect();
        let asked: Vec<Asked<'_>> = subjects
            .iter()
            .zip(&params)
            .map(|(subject, params)| subject.asked(params))
            .collect();
        loop {
            let position = together.bookmark.next.clone();
            let number = together.bookmark.pages_read();
            let build =
                |scope: &Scope| self.page_request(reading, batch, subjects, &position, scope);
            together.requests += 1;
            let answered = match self.exchange(reading, &build, spend, now).await {
                Sent::Problem(problem) => return Err(problem),
                Sent::Received(answered) => answered,
            };
            let answer = answered.received.answer();
            let page = read_batch(reading.definition, batch, &asked, &answer, number, now);
            let page = page.map_err(|mut problem| {
                answered.finish_problem(&mut problem);
                problem
            })?;
            let next = position_of(page.next, &self.allow_hosts, &answered);
            self.keep(together, page.observations, &answered);
            if batch.stops_paying_after(together.requests, together.missing()) {
                return Ok(End::Complete);
            }
            let Some(next) = next? else {
                return Ok(End::Complete);
            };
            together.bookmark.turn_to(next)?;
            if !spend.spend_page() {
                return Ok(End::Cut);
            }
        }
    }

    /// Keeps the observations of one page; a job that was seen on an earlier page stays.
    fn keep(
        &self,
        together: &mut Together,
        observations: Vec<Option<Observation>>,
        answered: &Answered,
    ) {
        let page = kept_answer(answered);
        for (seen, observation) in together.observed.iter_mut().zip(observations) {
            let Some(mut observation) = observation.filter(|_| seen.is_none()) else {
                continue;
            };
            match &mut observation {
                Observation::Sighting(sighting) => {
                    answered.finish_sighting(sighting);
                    self.resolve_follow(sighting, &answered.url);
                }
                Observation::Problem(problem) => answered.finish_problem(problem),
            }
            *seen = Some(Observed {
                observation,
                answer: Some(page.clone()),
            });
        }
        together.last_page = Some(page);
    }

    /// Returns the request for the first page of a list, or of a batch with this one job.
    pub(super) fn first_page(
        &self,
        reading: Reading<'_>,
        batch: &Batch,
        subject: &Subject<'_>,
        scope: &Scope,
    ) -> Result<reqwest::Request, Problem> {
        self.page_request(reading, batch, &[*subject], &PagePosition::First, scope)
    }

    fn page_request(
        &self,
        reading: Reading<'_>,
        batch: &Batch,
        subjects: &[Subject<'_>],
        position: &PagePosition,
        scope: &Scope,
    ) -> Result<reqwest::Request, Problem> {
        let ids: Vec<&str> = subjects.iter().map(Subject::present_id).collect();
        let first = subjects.first();
        let value = |name: &str| first.and_then(|subject| subject.value(self, scope, name));
        let rendered = match position {
            PagePosition::Named(page) => batch.render_page(&ids, Some(page), value),
            PagePosition::First | PagePosition::At(_) => batch.render(&ids, value),
        };
        let rendered = rendered.map_err(|error| misconfigured(error.to_string()))?;
        let mut request = self.completed(reading, rendered, scope)?;
        if let PagePosition::At(url) = position {
            *request.url_mut() = url.clone();
        }
        Ok(request)
    }
}
