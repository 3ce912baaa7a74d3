//! Commands: their input, the meaning of their exit status, and their time limit.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jobwatch::sink::kinds::exec::{Exec, ExecSettings};
use jobwatch::sink::{ANSWER_BYTES_MAX, AttemptResult, Sink};

use crate::sinks::{failed, failure, now};

/// Longer than any of these commands runs.
const AMPLE: Duration = Duration::from_secs(20);

/// A shell script; the configured program is the shell.
fn script(text: &str) -> ExecSettings {
    ExecSettings {
        program: "/bin/sh".to_owned(),
        arguments: ["-c", text].map(str::to_owned).to_vec(),
        timeout: AMPLE,
        concurrency: 1,
    }
}

#[tokio::test]
async fn a_command_gets_the_event_and_a_small_environment() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let sink = Exec::new(script(&format!(
        "cat >'{}'; env >'{}'; pwd; ls /proc/self/fd | wc -l >&2",
        at("input"),
        at("env")
    )));
    let delivery = failed();
    let attempt = sink.deliver(&delivery, now()).await;
    assert_eq!(attempt.result, AttemptResult::Delivered);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("input"), format!("{}\n", delivery.body));
    let mut names: Vec<String> = read("env")
        .lines()
        .filter_map(|line| line.split_once('=').map(|(name, _)| name.to_owned()))
        // Set by the shell.
        .filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(&name.as_str()))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["JOBWATCH_EVENT_ID", "JOBWATCH_EVENT_TYPE", "PATH"]);
    let variables = read("env");
    assert!(variables.contains(&format!("JOBWATCH_EVENT_ID={}", delivery.event_id)));
    assert!(variables.contains("JOBWATCH_EVENT_TYPE=dev.jobwatch.job.failed"));
    assert!(attempt.answer.unwrap().starts_with('/'));
}

#[tokio::test]
async fn arguments_are_not_expanded_by_a_shell() {
    let sink = Exec::new(ExecSettings {
        program: "/bin/echo".to_owned(),
        arguments: ["$HOME", "`id`", "a b", "; exit 1"]
            .map(str::to_owned)
            .to_vec(),
        ..script("")
    });
    let attempt = sink.deliver(&failed(), now()).await;
    assert_eq!(
        attempt.result,
        AttemptResult::Delivered,
        "though it reads no input"
    );
    assert_eq!(attempt.answer.unwrap(), "$HOME `id` a b ; exit 1");
}

#[tokio::test]
async fn a_nonzero_exit_status_fails_with_the_output() {
    let sink = Exec::new(script("echo out; printf 'no \\033[31mqueue' >&2; exit 3"));
    let attempt = sink.deliver(&failed(), now()).await;
    assert!(
        matches!(&attempt.result, AttemptResult::Failed { reason, .. } if reason.contains("exit status: 3")),
        "{attempt:?}"
    );
    assert_eq!(attempt.answer.unwrap(), "out  no  [31mqueue");
    let absent = Exec::new(ExecSettings {
        program: "/nowhere/program".to_owned(),
        ..script("")
    });
    assert!(
        failure(&absent, &failed())
            .await
            .contains("cannot run /nowhere/program")
    );
}

#[tokio::test]
async fn long_output_is_read_and_its_beginning_kept() {
    let sink = Exec::new(script("head -c 3000000 /dev/zero | tr '\\0' x; exit 0"));
    let attempt = sink.deliver(&failed(), now()).await;
    assert_eq!(attempt.result, AttemptResult::Delivered);
    assert_eq!(attempt.answer.unwrap().len(), ANSWER_BYTES_MAX);
}

/// A script that holds a pipe open for ever, together with its child; and that pipe.
fn endless(folder: &Path, timeout: Duration) -> (Exec, PathBuf) {
    let pipe = folder.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let text = format!("exec 9>'{}'; sleep 600 & wait", pipe.display());
    let sink = Exec::new(ExecSettings {
        timeout,
        ..script(&text)
    });
    (sink, pipe)
}

#[tokio::test]
async fn a_slow_command_is_killed_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let (sink, pipe) = endless(folder.path(), Duration::from_millis(500));
    // The pipe ends once no process holds it open.
    let held = tokio::time::timeout(AMPLE, tokio::fs::read(&pipe));
    let delivery = failed();
    let (reason, held) = tokio::join!(failure(&sink, &delivery), held);
    assert!(
        reason.contains("took longer than 500ms and was killed"),
        "{reason}"
    );
    held.expect("a process lives on").unwrap();
}

#[tokio::test]
async fn an_abandoned_attempt_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let (sink, pipe) = endless(folder.path(), AMPLE);
    let held = tokio::time::timeout(AMPLE, tokio::fs::read(&pipe));
    let delivery = failed();
    let delivery = tokio::time::timeout(Duration::from_millis(500), sink.deliver(&delivery, now()));
    let (abandoned, held) = tokio::join!(delivery, held);
    assert!(abandoned.is_err());
    held.expect("a process lives on").unwrap();
}

#[tokio::test]
async fn a_background_process_does_not_delay_the_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let ids = folder.path().join("ids");
    let sink = Exec::new(script(&format!(
        "sleep 600 & echo $! >'{}'; echo done",
        ids.display()
    )));
    let attempt = tokio::time::timeout(AMPLE, sink.deliver(&failed(), now())).await;
    let attempt = attempt.unwrap();
    assert_eq!(attempt.result, AttemptResult::Delivered);
    assert_eq!(attempt.answer.as_deref(), Some("done"));
    let id = std::fs::read_to_string(&ids).unwrap();
    let id = rustix::process::Pid::from_raw(id.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
}
