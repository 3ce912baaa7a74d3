//! `/v1/watches/bulk`: submissions as lines of JSON, and an answer for each as a line of JSON.
//!
//! A task reads the lines and submits them in batches; the answers go to the connection in the
//! order of the lines. The next lines are read while a batch is committed, and also while the
//! client does not read its answers yet, up to a limit.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::{FutureExt, StreamExt, stream};
use http::{HeaderValue, header};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::actions::json_request;
use crate::actions::submit::SubmitError;
use crate::api::error::ApiError;
use crate::api::line_report::Report;
use crate::api::lines::{LINE_BYTES_MAX, Line, Lines};
use crate::api::{Api, BULK_STREAMS};
use crate::watch::request::WatchRequest;

/// The most submissions in one transaction.
const BATCH_MAX: usize = 1000;
/// The number of batches whose answers may wait for the client.
const ANSWERS_MAX: usize = 4;
/// The longest silence of a client.
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// The answers to one batch, once it is committed.
type Answers = Pin<Box<dyn Future<Output = Bytes> + Send>>;

/// Submits every line of the body, each as the body of `POST /v1/watches`.
///
/// The answer has a line of JSON for each line, in their order, with `line` (its number) and `status`:
/// 200 or 201 with `id` and `state`, or the members of a problem. A wrong line stops no other. A
/// line has at most 64 KiB.
#[utoipa::path(
    post,
    path = "/v1/watches/bulk",
    tag = "watches",
    operation_id = "submit_watches",
    request_body(content = Option<String>, content_type = "application/x-ndjson"),
    responses(
        (
            status = 200,
            content_type = "application/x-ndjson",
            body = String,
            description = "The answers, as the lines are stored"
        ),
        (status = 503, description = "unavailable"),
    )
)]
pub(super) async fn submit(State(api): State<Api>, body: Body) -> Result<Response, ApiError> {
    // The answers of each stream may wait for its client, so the number of streams is limited too.
    let Ok(place) = Arc::clone(&api.bulk_streams).try_acquire_owned() else {
        return Err(ApiError::unavailable(format!(
            "{BULK_STREAMS} streams of submissions are open already; try again"
        )));
    };
    let (answers, ready) = mpsc::channel(ANSWERS_MAX);
    let intake = Intake {
        body: body.into_data_stream(),
        lines: Lines::default(),
        answers,
        api: api.clone(),
    };
    api.tracker.spawn(intake.run());
    let ready = (ready, place);
    let answers = stream::unfold(
        ready,
        |mut ready: (mpsc::Receiver<Answers>, _)| async move {
            let answers = ready.0.recv().await?.await;
            Some((Ok::<_, Infallible>(answers), ready))
        },
    );
    let kind = HeaderValue::from_static("application/x-ndjson");
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(answers)).into_response())
}

/// Reads lines and submits them.
struct Intake {
    body: BodyDataStream,
    lines: Lines,
    answers: mpsc::Sender<Answers>,
    api: Api,
}

/// The reason why no more lines come.
enum End {
    /// The body ended as it should.
    Complete,
    /// The connection broke: a line without its end does not count.
    Broken,
    /// The client or the daemon ends the stream before the end of the body.
    Early(ApiError),
}

impl Intake {
    async fn run(mut self) {
        let stop = self.api.stop.clone();
        loop {
            let read = stop.run_until_cancelled(self.read()).await;
            let end = read.unwrap_or_else(|| Some(End::Early(ApiError::stopping())));
            while let Some(batch) = self.batch(end.as_ref()) {
                if !self.submit(batch).await {
                    return;
                }
            }
            match end {
                None => {}
                Some(End::Complete | End::Broken) => return,
                Some(End::Early(error)) => return self.refuse_rest(&error).await,
            }
        }
    }

    /// Waits for a piece of the body, and takes further pieces that are there, up to a batch.
    async fn read(&mut self) -> Option<End> {
        let Ok(piece) = timeout(SILENCE_MAX, self.body.next()).await else {
            return Some(End::Early(ApiError::too_slow(SILENCE_MAX)));
        };
        let mut piece = Some(piece);
        let mut taken = 0;
        while let Some(next) = piece {
            match next {
                Some(Ok(bytes)) => {
                    taken += bytes.len();
                    self.lines.push(&bytes);
                }
                Some(Err(_)) => return Some(End::Broken),
                None => return Some(End::Complete),
            }
            let may_go_on = taken < LINE_BYTES_MAX * 4;
            piece = may_go_on.then(|| self.body.next().now_or_never()).flatten();
        }
        None
    }

    /// Takes the next lines that are complete, at most a batch.
    fn batch(&mut self, end: Option<&End>) -> Option<Vec<Line>> {
        let whole = std::iter::from_fn(|| self.lines.next());
        let mut batch: Vec<Line> = whole.take(BATCH_MAX).collect();
        if batch.len() < BATCH_MAX && matches!(end, Some(End::Complete)) {
            batch.extend(self.lines.last());
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// Begins to submit a batch. Returns false if the client is gone.
    async fn submit(&mut self, batch: Vec<Line>) -> bool {
        // Bounds the memory of the batches that are parsed and committed.
        let permit = self.api.bulk_batches.clone().acquire_owned().await;
        let api = self.api.clone();
        let committing = self.api.tracker.spawn(async move {
            let answers = answers(&api, batch).await;
            drop(permit);
            answers
        });
        // A batch that panics has no answers, and its client sees that lines are missing.
        let answers = async { committing.await.unwrap_or_default() };
        self.answers.send(Box::pin(answers)).await.is_ok()
    }

    /// Reports why the stream ends early, under the number of the first line that was not taken.
    async fn refuse_rest(&mut self, error: &ApiError) {
        let mut out = Vec::new();
        Report::error(self.lines.number() + 1, error).write_to(&mut out);
        let last = std::future::ready(Bytes::from(out));
        // The client may be gone already.
        let _ = self.answers.send(Box::pin(last)).await;
    }
}

/// Submits the lines of a batch, and returns their reports.
async fn answers(api: &Api, batch: Vec<Line>) -> Bytes {
    let mut requests = Vec::with_capacity(batch.len());
    let read: Vec<(u64, Option<ApiError>)> = batch
        .into_iter()
        .map(|line| match parse(&line) {
            Ok(request) => {
                requests.push(request);
                (line.number, None)
            }
            Err(error) => (line.number, Some(error)),
        })
        .collect();
    let mut out = Vec::with_capacity(read.len() * 96);
    let submitted = api.actions.submit_all(&requests).await;
    let mut submitted = submitted.map(Vec::into_iter).map_err(ApiError::from);
    for (number, error) in read {
        let result = match (error, &mut submitted) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(error.clone()),
            (None, Ok(submitted)) => submitted
                .next()
                .expect("an answer for each request")
                .map_err(|faults| SubmitError::Refused(faults).into()),
        };
        match &result {
            Ok(submission) => Report::of(number, submission).write_to(&mut out),
            Err(error) => Report::error(number, error).write_to(&mut out),
        }
    }
    Bytes::from(out)
}

fn parse(line: &Line) -> Result<WatchRequest, ApiError> {
    let text = line.text.as_ref().ok_or_else(|| {
        ApiError::too_large(format!(
            "the line is longer than {} KiB",
            LINE_BYTES_MAX / 1024
        ))
    })?;
    json_request::parse(text).map_err(ApiError::bad_member)
}
