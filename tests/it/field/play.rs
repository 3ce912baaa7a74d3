//! Plays one case: a stub, a daemon, the actions of the case, and a judge.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jobwatch::clock::{SharedClock, SystemClock};
use reqwest::Method;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::actions::{Action, Cli, Get, Submit};
use super::case::Case;
use super::daemon::{Daemon, NotStarted};
use super::filler::{Filler, replace};
use super::judge::{Findings, judge};
use super::stub::{Origin, Stub};
use super::value::dig;
use crate::program::process::Folder;

/// The time that a whole case may take.
const CASE_LIMIT: Duration = Duration::from_secs(40);
/// The time that a watch may take to end.
const END_LIMIT: Duration = Duration::from_secs(25);
/// The time that the stub may wait for its requests.
const HITS_LIMIT: Duration = Duration::from_secs(12);

/// How a case came out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    /// The daemon did not start with this definition or setting.
    Refused,
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::Refused => "refused",
        }
    }

    pub(super) fn is_right(self) -> bool {
        self == Self::Right
    }
}

/// A case after it was played.
pub(super) struct Played {
    pub(super) verdict: Verdict,
    /// Expected and seen.
    pub(super) line: String,
    pub(super) log: String,
}

impl Played {
    /// A case that could not be played at all.
    pub(super) fn unplayable(message: &str) -> Self {
        let line = format!("the case cannot be played: {message}");
        Self {
            verdict: Verdict::Wrong,
            line,
            log: String::new(),
        }
    }
}

/// A case while it is played.
pub(super) struct Stage<'a> {
    pub(super) case: &'a Case,
    pub(super) stub: Stub,
    pub(super) daemon: Daemon<'a>,
    pub(super) found: Findings,
    /// The ids of the watches by their names in the case.
    ids: BTreeMap<String, String>,
    folder: &'a Folder,
    clock: SharedClock,
    runtime: &'a Runtime,
}

/// Plays a case from start to end.
pub(super) fn play(case: &Case, runtime: &Runtime) -> Played {
    let (clock, folder) = (SystemClock::shared(), Folder::new());
    let stub = set_up(case, folder.path(), &clock, runtime);
    let daemon = match Daemon::start(case, &folder, stub.filler(), &clock, runtime) {
        Ok(daemon) => daemon,
        Err(NotStarted::Failed(message)) => return Played::unplayable(&message),
        Err(NotStarted::Refused(words)) => return refused(case, &words),
    };
    let ids = BTreeMap::new();
    let found = Findings::default();
    let mut stage = Stage {
        case,
        stub,
        daemon,
        found,
        ids,
        folder: &folder,
        clock,
        runtime,
    };
    let played = stage.act().and_then(|()| judge(&mut stage));
    stage.found.check(
        played.is_ok(),
        "the play",
        || "an end",
        || played.clone().err().unwrap_or_default(),
    );
    let ended = stage.daemon.stop();
    stage
        .found
        .check(ended == "0", "SIGTERM", || "exit code 0", || ended.clone());
    if let Some(words) = &case.refused {
        stage
            .found
            .wrong
            .push(format!("start: refused with {words:?} / accepted"));
    }
    finish(&stage)
}

fn set_up(case: &Case, folder: &Path, clock: &SharedClock, runtime: &Runtime) -> Stub {
    let origins = [Origin::bind(runtime), Origin::bind(runtime)];
    let filler = Filler::new(clock.now(), &origins[0].url, &origins[1].url, folder);
    Stub::serve(&case.stub, origins, filler, clock.clone(), runtime)
}

fn refused(case: &Case, words: &str) -> Played {
    let (verdict, line) = match &case.refused {
        None => (Verdict::Refused, words.to_owned()),
        Some(wanted) => match wanted.iter().find(|word| !words.contains(*word)) {
            None => (Verdict::Right, words.to_owned()),
            Some(absent) => (
                Verdict::Wrong,
                format!("refusal: `{absent}` in it / {words}"),
            ),
        },
    };
    Played {
        verdict,
        line,
        log: String::new(),
    }
}

fn finish(stage: &Stage<'_>) -> Played {
    let log = stage.daemon.log();
    if stage.found.wrong.is_empty() {
        let line = stage.found.came.join(", ");
        return Played {
            verdict: Verdict::Right,
            line,
            log,
        };
    }
    Played {
        verdict: Verdict::Wrong,
        line: stage.found.wrong.join("; "),
        log,
    }
}

impl Stage<'_> {
    fn act(&mut self) -> Result<(), String> {
        for action in &self.case.play {
            if self.clock.uptime() > CASE_LIMIT {
                return Err(format!("the case takes longer than {CASE_LIMIT:?}"));
            }
            match action {
                Action::Submit(submit) => self.submit(submit)?,
                Action::Wait(wait) => drop(self.last_view(&wait.wait)?),
                Action::Stop(stop) => self.stop(&stop.stop)?,
                Action::Pause(pause) => {
                    self.daemon.read_log(Duration::from_secs_f64(pause.pause));
                }
                Action::Hits(hits) => self.stub.wait(&hits.at, hits.hits, HITS_LIMIT),
                Action::Next(next) => self.stub.next(&next.next)?,
                Action::Cli(cli) => self.command(cli)?,
                Action::Get(get) => self.get(get)?,
                Action::Restart => self.restart()?,
            }
        }
        Ok(())
    }

    /// Fills placeholders; `{id NAME}` is the id of a watch, or `none`.
    fn fill(&self, text: &str) -> String {
        let text = self.stub.filler().fill(text);
        replace(&text, |name| {
            let id = self.ids.get(name.strip_prefix("id ")?);
            Some(id.cloned().unwrap_or_else(|| "none".to_owned()))
        })
    }

    fn submit(&mut self, action: &Submit) -> Result<(), String> {
        let body = serde_json::to_string(&action.request).map_err(|error| error.to_string())?;
        let body = self.fill(&body);
        let (status, answer) = self.daemon.ask(&Method::POST, "/v1/watches", Some(body))?;
        self.found.check(
            status == action.http,
            &format!("submitting {}", action.name),
            || format!("HTTP {}", action.http),
            || format!("HTTP {status} {answer}"),
        );
        if status >= 300 {
            return Ok(());
        }
        for (path, wanted) in &action.answer {
            let what = format!("{path} in the answer to {}", action.name);
            self.found.value(&what, wanted, dig(&answer, path));
        }
        self.know(&action.name, &answer, action.is.as_deref())
    }

    /// Gives a watch its name; `same` is the name of the earlier watch that it must be.
    fn know(&mut self, name: &str, answer: &Value, same: Option<&str>) -> Result<(), String> {
        let id = dig(answer, "id")
            .as_str()
            .ok_or(format!("no id in {answer}"))?;
        let twin = self
            .ids
            .iter()
            .find(|(other, known)| *other != name && *known == id);
        let twin = twin.map(|(other, _)| other.clone());
        let what = format!("watch {name}");
        let (is_right, wanted) = match same {
            Some(same) => (self.ids.get(same).is_some_and(|known| known == id), same),
            None => (twin.is_none(), "a new one"),
        };
        let came = || twin.unwrap_or_else(|| "another one".to_owned());
        self.found.check(is_right, &what, || wanted, came);
        self.ids.insert(name.to_owned(), id.to_owned());
        Ok(())
    }

    /// The watch as the API shows it now; `None` if there is none of this name.
    pub(super) fn view(&self, name: &str) -> Result<Option<Value>, String> {
        self.ids
            .get(name)
            .map(|id| self.daemon.view(id))
            .transpose()
    }

    /// The watch after its end, or as it is when nothing more comes of it.
    pub(super) fn last_view(&mut self, name: &str) -> Result<Option<Value>, String> {
        let Some(id) = self.ids.get(name).cloned() else {
            return Ok(None);
        };
        let ended = self.daemon.look(END_LIMIT, |daemon| {
            let watch = daemon.view(&id)?;
            Ok((watch["state"] != "watching").then_some(watch))
        })?;
        match ended {
            Some(watch) => Ok(Some(watch)),
            None => self.view(name),
        }
    }

    fn stop(&mut self, name: &str) -> Result<(), String> {
        let id = self
            .ids
            .get(name)
            .ok_or(format!("stop: there is no watch {name}"))?;
        let (status, _) = self
            .daemon
            .ask(&Method::DELETE, &format!("/v1/watches/{id}"), None)?;
        let what = format!("stopping {name}");
        self.found.check(
            status == 200,
            &what,
            || "HTTP 200",
            || format!("HTTP {status}"),
        );
        Ok(())
    }

    fn restart(&mut self) -> Result<(), String> {
        let ended = self.daemon.stop();
        self.found
            .check(ended == "0", "SIGTERM", || "exit code 0", || &ended);
        let filler = self.stub.filler();
        let again = Daemon::start(self.case, self.folder, filler, &self.clock, self.runtime);
        let mut again = again.map_err(|error| format!("restart: {error}"))?;
        again.remember(&self.daemon);
        self.daemon = again;
        Ok(())
    }

    fn command(&mut self, action: &Cli) -> Result<(), String> {
        let arguments: Vec<String> = action.arguments.iter().map(|it| self.fill(it)).collect();
        let ran = self.daemon.command(&arguments, self.folder);
        let what = format!("`jobwatch {}`", action.arguments.join(" "));
        self.found.check(
            ran.exit == Some(action.exit),
            &what,
            || format!("exit code {}", action.exit),
            || format!("{:?}: {}", ran.exit, ran.all),
        );
        self.found.text(&what, &ran.all, &action.out, &action.lacks);
        match &action.name {
            Some(name) if ran.exit == Some(0) => {
                let answer = serde_json::from_str(&ran.stdout)
                    .map_err(|error| format!("{what}: {error} in {}", ran.stdout))?;
                self.know(name, &answer, action.is.as_deref())
            }
            _ => Ok(()),
        }
    }

    fn get(&mut self, action: &Get) -> Result<(), String> {
        let path = self.fill(&action.path);
        let (status, answer) = self.daemon.ask(&Method::GET, &path, None)?;
        let what = format!("GET {}", action.path);
        self.found.check(
            status == action.http,
            &what,
            || format!("HTTP {}", action.http),
            || format!("HTTP {status}"),
        );
        if status == action.http {
            let text = answer
                .as_str()
                .map_or_else(|| answer.to_string(), str::to_owned);
            self.found.text(&what, &text, &action.has, &action.lacks);
        }
        Ok(())
    }
}
