//! Many submissions in one stream: a line of JSON for each, and a line of JSON as its result.

use std::collections::{BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cli::client::{BodySender, Call, CallError, Client};
use crate::cli::complaint::{complain, note};
use crate::cli::exit::Exit;
use crate::cli::output::say;
use crate::cli::signals::{Sign, Signals};
use crate::cli::table::plain;

const PATH: &str = "/v1/watches/bulk";
const NDJSON: &str = "application/x-ndjson";
/// The longest line of input, in bytes; the daemon takes no longer ones.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// The longest line of a result, in bytes.
const RESULT_BYTES_MAX: usize = 1024 * 1024;
/// Lines are sent together up to this size, in bytes.
const PART_BYTES: usize = 64 * 1024;
/// The parts of the input that may wait for the connection.
const PARTS_MAX: usize = 4;
/// A blank line goes to the daemon after so long without input: it ends streams that are silent.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// The first result comes with the first line of input, and that may take its time.
const PATIENCE: Duration = Duration::from_hours(24);
/// The ids of watches that are kept to wait for them.
const IDS_MAX: usize = 10_000;

/// The meaning of one line of input.
pub(super) enum Item {
    /// The body of a submission.
    Body(String),
    /// A line without a body.
    Nothing,
    /// The reason why the line is refused.
    Wrong(String),
}

/// Where the lines come from.
pub(super) enum Input {
    Lines(Vec<String>),
    File(Box<dyn Read + Send>),
}

/// The counts of a bulk submission.
#[derive(Default)]
pub(super) struct Results {
    /// The watches of the accepted lines, up to a limit.
    pub(super) ids: Vec<String>,
    new: u64,
    existing: u64,
    refused: u64,
    /// The lines that the daemon could not store.
    failed: u64,
    /// The members that existing watches do not follow.
    ignored: BTreeSet<String>,
}

/// The numbers of the lines of input that have no result yet.
type Unanswered = Arc<Mutex<VecDeque<u64>>>;

/// One line of the answer.
#[derive(Debug, Serialize, Deserialize)]
struct Reply {
    line: u64,
    status: u16,
    #[serde(flatten)]
    members: Map<String, Value>,
}

/// Opens a file, or standard input for `-`.
pub(super) fn open(path: &Path) -> Result<Input, String> {
    if path == Path::new("-") {
        return Ok(Input::File(Box::new(std::io::stdin())));
    }
    let file = std::fs::File::open(path);
    let file = file.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(Input::File(Box::new(file)))
}

/// Submits each line of `input` as `item` reads it; prints each result.
pub(super) async fn submit(
    client: &Client,
    input: Input,
    item: impl Fn(&str) -> Item + Send + 'static,
    is_json: bool,
) -> Result<Results, Exit> {
    let mut signals = Signals::listen().map_err(|error| {
        complain(&format!("cannot listen for signals: {error}"));
        Exit::Failed
    })?;
    let unanswered = Unanswered::default();
    let refused = Arc::new(Mutex::new(0));
    let (call, sender) = Call::post(PATH).within(PATIENCE).streaming(NDJSON);
    let (parts, ready) = mpsc::channel(PARTS_MAX);
    let reading = Reading {
        item,
        parts,
        unanswered: Arc::clone(&unanswered),
        refused: Arc::clone(&refused),
    };
    // A thread of its own, which blocks in its reads, and ends with the program.
    thread::spawn(move || reading.run(input));
    let mut results = Results::default();
    let mut sending = JoinSet::new();
    sending.spawn(send(sender, ready));
    let sent = tokio::select! {
        sent = results.read(client, call, &unanswered, is_json) => sent,
        () = interrupted(&mut signals) => {
            note(&format!("{}; sending the same input again is safe", results.accepted()));
            return Err(Exit::Interrupted);
        }
    };
    results.refused += *refused.lock();
    if let Err(error) = sent {
        note(&format!(
            "{}; sending the same input again is safe",
            results.accepted()
        ));
        return Err(error.complain());
    }
    let left = unanswered.lock().len();
    if left > 0 {
        complain(&format!(
            "{left} lines have no result; sending the same input again is safe"
        ));
        return Err(Exit::Failed);
    }
    Ok(results)
}

/// Sends the parts as they come. A connection that broke off is reported where its answer is read.
async fn send(mut sender: BodySender, mut ready: mpsc::Receiver<Bytes>) {
    loop {
        let part = match tokio::time::timeout(KEEP_ALIVE, ready.recv()).await {
            Ok(Some(part)) => part,
            Ok(None) => return,
            Err(_) => Bytes::from_static(b"\n"),
        };
        if sender.send_data(part).await.is_err() {
            return;
        }
    }
}

async fn interrupted(signals: &mut Signals) {
    while signals.next().await != Sign::End {}
}

/// The thread that reads the input.
struct Reading<F> {
    item: F,
    parts: mpsc::Sender<Bytes>,
    unanswered: Unanswered,
    refused: Arc<Mutex<u64>>,
}

impl<F: Fn(&str) -> Item> Reading<F> {
    fn run(self, input: Input) {
        match input {
            Input::Lines(lines) => self.all(&lines),
            Input::File(file) => {
                let reader = BufReader::with_capacity(PART_BYTES, file);
                if let Err(error) = self.file(reader) {
                    // The lines before it are submitted.
                    complain(&format!("cannot read the input: {error}"));
                    *self.refused.lock() += 1;
                }
            }
        }
    }

    fn all(&self, lines: &[String]) {
        let mut part = Vec::new();
        for (number, line) in (1..).zip(lines) {
            self.take(number, line, &mut part);
        }
        self.send(&mut part);
    }

    fn file(&self, mut reader: BufReader<impl Read>) -> std::io::Result<()> {
        let mut part = Vec::new();
        let mut number = 0;
        while let Some(line) = next_line(&mut reader)? {
            number += 1;
            match line {
                Ok(line) => self.take(number, &line, &mut part),
                Err(reason) => self.refuse(number, reason),
            }
            // The next line may be a while in coming.
            let is_waiting = !reader.buffer().contains(&b'\n');
            if (is_waiting || part.len() >= PART_BYTES) && !self.send(&mut part) {
                return Ok(());
            }
        }
        self.send(&mut part);
        Ok(())
    }

    fn take(&self, number: u64, line: &str, part: &mut Vec<u8>) {
        match (self.item)(line) {
            Item::Nothing => {}
            Item::Wrong(reason) => self.refuse(number, &reason),
            Item::Body(body) => {
                self.unanswered.lock().push_back(number);
                part.extend_from_slice(body.as_bytes());
                part.push(b'\n');
            }
        }
    }

    fn refuse(&self, number: u64, reason: &str) {
        complain(&format!("line {number}: {reason}"));
        *self.refused.lock() += 1;
    }

    /// Hands a part over; false once the connection is gone.
    fn send(&self, part: &mut Vec<u8>) -> bool {
        let part = Bytes::from(std::mem::take(part));
        part.is_empty() || self.parts.blocking_send(part).is_ok()
    }
}

/// Reads the next line without its end; `None` at the end of the input.
fn next_line(reader: &mut impl BufRead) -> std::io::Result<Option<Result<String, &'static str>>> {
    let mut line = Vec::new();
    let limit = LINE_BYTES_MAX as u64 + 1;
    if reader.take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && line.len() > LINE_BYTES_MAX {
        reader.skip_until(b'\n')?;
        return Ok(Some(Err("it is longer than 64 KiB")));
    }
    let line = line.strip_suffix(b"\n").unwrap_or(&line).to_vec();
    Ok(Some(String::from_utf8(line).map_err(|_| "it is not UTF-8")))
}

impl Results {
    async fn read(
        &mut self,
        client: &Client,
        call: Call,
        unanswered: &Unanswered,
        is_json: bool,
    ) -> Result<(), CallError> {
        let mut stream = client.stream(call).await?;
        let mut rest: Vec<u8> = Vec::new();
        while let Some(part) = stream.next(PATIENCE).await? {
            rest.extend_from_slice(&part);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                if let Ok(reply) = serde_json::from_slice(&line) {
                    self.took(reply, unanswered, is_json);
                }
            }
            rest.truncate(RESULT_BYTES_MAX);
        }
        Ok(())
    }

    fn took(&mut self, reply: Reply, unanswered: &Unanswered, is_json: bool) {
        let line = unanswered.lock().pop_front().unwrap_or(reply.line);
        let reply = Reply { line, ..reply };
        match reply.status {
            200 => self.existing += 1,
            201 => self.new += 1,
            500.. => self.failed += 1,
            _ => self.refused += 1,
        }
        let id = reply.members.get("id").and_then(Value::as_str);
        let id = id.filter(|_| reply.status < 300).map(str::to_owned);
        if is_json {
            say(&serde_json::to_string(&reply).expect("string keys only"));
        } else if let Some(id) = &id {
            let state = reply.members.get("state").and_then(Value::as_str);
            say(&plain(&format!("{id} {}", state.unwrap_or_default())));
        } else {
            complain(&format!("line {line}: {}", reason(&reply.members)));
        }
        let ignored = reply.members.get("ignored").and_then(Value::as_array);
        let ignored = ignored.into_iter().flatten().filter_map(Value::as_str);
        self.ignored.extend(ignored.map(str::to_owned));
        self.ids.extend(id.filter(|_| self.ids.len() < IDS_MAX));
    }

    /// Returns "3 new, 2 watched already, 1 refused".
    pub(super) fn in_words(&self) -> String {
        let parts = [
            (self.new, "new"),
            (self.existing, "watched already"),
            (self.refused, "refused"),
            (self.failed, "failed"),
        ];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> = parts
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        if parts.is_empty() {
            return "the input has no job".to_owned();
        }
        let counts = parts.join(", ");
        if self.ignored.is_empty() {
            return counts;
        }
        let kept: Vec<&str> = self.ignored.iter().map(String::as_str).collect();
        format!(
            "{counts}; watches that exist already keep their own {}",
            kept.join(", ")
        )
    }

    fn accepted(&self) -> String {
        format!("{} accepted", self.new + self.existing)
    }

    pub(super) fn exit(&self) -> Exit {
        match (self.failed, self.refused) {
            (0, 0) => Exit::Done,
            (0, _) => Exit::Usage,
            _ => Exit::Failed,
        }
    }
}

/// Describes a refusal: the faults of its fields, or its detail.
fn reason(problem: &Map<String, Value>) -> String {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let faults = problem.get("errors").and_then(Value::as_array);
    let faults: Vec<String> = faults
        .into_iter()
        .flatten()
        .map(|fault| format!("{}: {}", text(fault, "field"), text(fault, "message")))
        .collect();
    if !faults.is_empty() {
        return plain(&faults.join("; "));
    }
    let member = |name: &str| {
        problem
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    plain(&format!("{}: {}", member("title"), member("detail")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Vec<Result<String, &'static str>> {
        let mut reader = BufReader::new(input);
        std::iter::from_fn(|| next_line(&mut reader).unwrap()).collect()
    }

    #[test]
    fn lines_end_with_the_input_and_long_ones_are_refused() {
        assert_eq!(
            lines(b"a\n\nb"),
            [Ok("a".into()), Ok(String::new()), Ok("b".into())]
        );
        let long = [vec![b'x'; LINE_BYTES_MAX + 1], b"\nb\n".to_vec()].concat();
        let long = lines(&long);
        assert!(long[0].is_err());
        assert_eq!(long[1], Ok("b".into()));
        let fits = [vec![b'x'; LINE_BYTES_MAX], b"\n".to_vec()].concat();
        assert_eq!(lines(&fits).len(), 1);
        assert!(lines(&fits)[0].is_ok());
        assert!(lines(b"\xff\n")[0].is_err());
    }

    #[test]
    fn a_result_names_the_line_of_the_input() {
        let mut results = Results::default();
        let unanswered = Unanswered::default();
        unanswered.lock().extend([3, 7]);
        for text in [
            r#"{"line":1,"status":201,"id":"a","state":"watching"}"#,
            r#"{"line":2,"status":422,"title":"t","detail":"d","errors":[]}"#,
        ] {
            results.took(serde_json::from_str(text).unwrap(), &unanswered, true);
        }
        assert_eq!(results.in_words(), "1 new, 1 refused");
        assert_eq!(results.exit(), Exit::Usage);
        assert_eq!(results.ids, ["a"]);
        assert!(unanswered.lock().is_empty());
    }

    #[test]
    fn a_refusal_names_its_fields() {
        let problem = serde_json::json!({"title": "t", "detail": "d", "errors": [
            {"field": "job_id", "message": "must not be empty"}]});
        let problem = problem.as_object().unwrap();
        assert_eq!(reason(problem), "job_id: must not be empty");
        let problem = serde_json::json!({"title": "t", "detail": "d"});
        assert_eq!(reason(problem.as_object().unwrap()), "t: d");
    }
}
