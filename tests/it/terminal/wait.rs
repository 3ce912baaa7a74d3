//! `wait`, `submit --wait` and `do` in a terminal.

use serde_json::json;

use crate::program::process::PROGRAM;
use crate::terminal::pty::{Site, Terminal};

const USUAL: (u16, u16) = (24, 80);

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_shows_a_live_line_and_then_the_result() {
    let site = Site::start();
    let (job_id, id) = site.submit("1500ms", "succeeded").await;
    let mut terminal = Terminal::start(USUAL, &["wait", &id, "--url", &site.url]);
    terminal.until("the status", |screen| {
        screen.contains("RUNNING") && screen.contains(&job_id[job_id.len() - 8..])
    });
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(0), "{screen}");
    let result = format!("dcs/{job_id} succeeded after ");
    assert!(screen.starts_with(&result), "{screen}");
    assert_eq!(screen.trim_end().lines().count(), 1, "{screen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrow_terminal_gets_two_lines_for_each_job() {
    let site = Site::start();
    let name = "数据库实例扩容任务-数据库实例扩容任务";
    let job = json!({"service": "dcs", "duration": "10s", "outcome": "never", "job_id": name});
    site.simulator.create(&job).await;
    site.daemon().ask_json(&["submit", "dcs", name]);
    let terminal = Terminal::start((10, 40), &["wait", name, "--url", &site.url]);
    let screen = terminal.shows("next poll");
    let lines: Vec<&str> = screen.trim_end().lines().collect();
    assert_eq!(lines.len(), 2, "{screen}");
    assert!(lines[0].starts_with("dcs/数据库") && lines[0].ends_with("RUNNING"));
    assert!(lines[0].contains('…'), "{screen}");
    terminal.resize((10, 200));
    terminal.until("one line", |screen| {
        screen
            .trim_end()
            .lines()
            .filter(|line| line.contains("next poll"))
            .count()
            == 1
            && screen.contains(&format!("dcs/{name}  RUNNING"))
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn many_jobs_fit_a_low_terminal() {
    let site = Site::start();
    for _ in 0..12 {
        site.submit_long().await;
    }
    for columns in [40, 60, 80, 200] {
        let arguments = ["wait", "--service", "dcs", "--url", &site.url];
        let terminal = Terminal::start((10, columns), &arguments);
        let screen = terminal.shows("12 watches: 12 watching");
        assert!(screen.trim_end().lines().count() < 10, "{screen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_follow_no_color() {
    let site = Site::start();
    let (_, id) = site.submit_long().await;
    let arguments = ["wait", &id, "--url", &site.url];
    let plain = Terminal::start_with(USUAL, &arguments, &[("NO_COLOR", "1")]);
    plain.shows("RUNNING");
    assert!(!plain.formatted().contains("\u{1b}[36m"));
    let coloured = Terminal::start(USUAL, &arguments);
    coloured.shows("RUNNING");
    assert!(coloured.formatted().contains("\u{1b}[36m"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_wait_says_how_to_go_on() {
    let site = Site::start();
    let (_, id) = site.submit_long().await;
    let mut terminal = Terminal::start(USUAL, &["wait", &id, "--url", &site.url]);
    terminal.shows("RUNNING");
    terminal.press("\u{3}");
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(130), "{screen}");
    let words: String = screen.split_whitespace().collect();
    assert!(words.contains(&format!("`jobwatchwait{id}`")), "{screen}");
    assert_eq!(site.daemon().ask_json(&["show", &id])["state"], "watching");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_is_stopped_and_continued_by_the_shell() {
    let site = Site::start();
    let (_, id) = site.submit_long().await;
    let terminal = Terminal::shell(USUAL);
    terminal.shows("$ ");
    terminal.press(&format!(
        "{PROGRAM} wait {id} --url {} --timeout 1h\r",
        site.url
    ));
    terminal.shows("next poll");
    terminal.press("\u{1a}");
    terminal.shows("Stopped");
    terminal.press("clear; echo cle''ared; fg\r");
    terminal.until("the view below", |screen| {
        let after = screen.split("cleared").last().unwrap_or_default();
        screen.contains("cleared") && after.contains("next poll")
    });
    terminal.press("\u{3}");
    terminal.shows("waits again");
    terminal.press("stty -a | grep -o ' icanon'; exit\r");
    terminal.shows("icanon");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_daemon_costs_a_wait_nothing() {
    let mut site = Site::start();
    let (job_id, id) = site.submit("2s", "failed").await;
    let mut terminal = Terminal::start(USUAL, &["wait", &id, "--url", &site.url]);
    terminal.shows("RUNNING");
    site.kill();
    terminal.shows("the wait goes on once the daemon answers");
    site.restart();
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(1), "{screen}");
    assert!(screen.contains(&format!("dcs/{job_id} failed")), "{screen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_daemon_costs_a_wait_for_a_group_nothing() {
    let mut site = Site::start();
    let job = json!({"service": "dcs", "duration": "200ms", "outcome": "succeeded"});
    let job_id = site.simulator.create(&job).await;
    let submit = ["submit", "dcs", &job_id, "--group", "night"];
    site.daemon().ask_json(&submit);
    let arguments = ["wait", "--group", "night", "--url", &site.url];
    let mut terminal = Terminal::start(USUAL, &arguments);
    terminal.shows("the group `night` is open");
    site.kill();
    terminal.shows("the wait goes on once the daemon answers");
    site.restart();
    site.daemon().ask_json(&["group", "close", "night"]);
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(0), "{screen}");
    assert!(
        screen.contains(&format!("dcs/{job_id} succeeded")),
        "{screen}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_at_its_time_limit() {
    let site = Site::start();
    let (job_id, id) = site.submit_long().await;
    let arguments = ["wait", &id, "--timeout", "5s", "--url", &site.url];
    let (code, screen) = Terminal::start(USUAL, &arguments).ended();
    assert_eq!(code, Some(3), "{screen}");
    assert!(
        screen.contains(&format!("dcs/{job_id} watching: RUNNING")),
        "{screen}"
    );
}
