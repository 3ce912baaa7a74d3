//! Situations that people who wait for jobs reported in public: a stub answers as the API did, the
//! real binary watches, and the outcome is judged.
//!
//! The cases are data, in `tests/field/`; its README.md describes their format. They run side by
//! side. `JOBWATCH_FIELD=NAME,NAME` plays only these, and prints the log of each that is not right.

mod actions;
mod case;
mod daemon;
mod events;
mod expectations;
mod filler;
mod judge;
mod play;
mod samples;
mod stub;
mod value;

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::Runtime;

use self::case::Case;
use self::play::{Played, play};

/// The number of daemons that run at a time.
const AT_ONCE: usize = 8;

/// The folder of all cases.
fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/field")
}

/// The names of all cases, in order.
fn names() -> Vec<String> {
    let entries = fs::read_dir(home()).unwrap().map(Result::unwrap);
    let cases = entries.filter(|entry| entry.path().join("case.toml").exists());
    let mut names: Vec<String> = cases
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The names that `JOBWATCH_FIELD` lists.
fn chosen() -> Option<Vec<String>> {
    let listed = std::env::var("JOBWATCH_FIELD").ok()?;
    let chosen: Vec<String> = listed.split(',').map(str::to_owned).collect();
    let all = names();
    for name in &chosen {
        assert!(all.contains(name), "tests/field has no case `{name}`");
    }
    Some(chosen)
}

/// Plays one case. A panic counts as wrong, so that it does not end the others.
fn play_named(name: &str, runtime: &Runtime) -> Played {
    let played = panic::catch_unwind(AssertUnwindSafe(|| {
        Case::read(&home(), name).map(|case| play(&case, runtime))
    }));
    match played {
        Ok(Ok(played)) => played,
        Ok(Err(message)) => Played::unplayable(&message),
        Err(_) => Played::unplayable("the runner panicked"),
    }
}

/// Plays the cases, [`AT_ONCE`] at a time, and prints a line for each. Returns the lines of those
/// that are not right.
fn play_all(names: &[String], shows_logs: bool) -> Vec<String> {
    let runtime = Runtime::new().unwrap();
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    let work = || {
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            let played = play_named(name, &runtime);
            let line = format!("{:7} {name}: {}", played.verdict.word(), played.line);
            eprintln!("{line}");
            if !played.verdict.is_right() {
                if shows_logs {
                    eprintln!("{}", played.log);
                }
                wrong.lock().unwrap().push(line);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    wrong.into_inner().unwrap()
}

#[test]
fn cases_come_out_right() {
    let chosen = chosen();
    let shows_logs = chosen.is_some();
    let names = chosen.unwrap_or_else(names);
    assert!(!names.is_empty(), "tests/field has no cases");
    let mut wrong = play_all(&names, shows_logs);
    wrong.sort();
    let (all, count) = (names.len(), wrong.len());
    assert!(
        wrong.is_empty(),
        "{count} of {all} are not right:\n{}",
        wrong.join("\n")
    );
}
