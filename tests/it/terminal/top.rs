//! `top` in a terminal.

use crate::program::process::{PROGRAM, run, stderr};
use crate::terminal::pty::{Site, Terminal};

const USUAL: (u16, u16) = (24, 80);

fn top(shape: (u16, u16), at: &Site) -> Terminal {
    Terminal::start(shape, &["top", "--url", &at.url])
}

#[tokio::test(flavor = "multi_thread")]
async fn top_shows_services_and_watches_and_gives_the_terminal_back() {
    let site = Site::start();
    let (job_id, _) = site.submit_long().await;
    for (keys, expected) in [("q", 0), ("\u{3}", 130)] {
        let mut terminal = top(USUAL, &site);
        terminal.until("both", |screen| {
            screen.contains("SERVICE") && screen.contains(&format!("dcs/{job_id}"))
        });
        assert!(terminal.has_second_screen() && terminal.hides_cursor());
        terminal.press(keys);
        let (code, screen) = terminal.ended();
        assert_eq!(code, Some(expected), "{screen}");
        assert!(!terminal.has_second_screen() && !terminal.hides_cursor());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn top_fits_every_size_of_terminal() {
    let site = Site::start();
    for _ in 0..12 {
        site.submit_long().await;
    }
    for size in [(10, 40), (10, 60), (24, 80), (50, 200), (3, 30)] {
        let terminal = top(size, &site);
        let screen = terminal.shows("12 watching");
        assert!(screen.lines().count() <= size.0.into(), "{screen}");
    }
    let terminal = top((10, 200), &site);
    terminal.shows("filter");
    terminal.resize((10, 40));
    terminal.until("the new size", |screen| {
        screen.contains("dcs/") && screen.lines().all(|line| line.chars().count() <= 40)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_scroll_and_filter_the_watches() {
    let site = Site::start();
    let (first, _) = site.submit_long().await;
    let mut last = String::new();
    for _ in 0..20 {
        (last, _) = site.submit_long().await;
    }
    let terminal = top((10, 100), &site);
    terminal.shows(&first);
    terminal.press("G");
    terminal.shows(&last);
    terminal.press("g");
    terminal.shows(&first);
    terminal.press("\u{1b}[B\u{1b}[B");
    terminal.until("two lines further", |screen| !screen.contains(&first));
    terminal.press(&format!("/{last}\r"));
    let screen = terminal.shows("1 shown");
    assert!(screen.contains(&last), "{screen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn top_is_stopped_and_continued_by_the_shell() {
    let site = Site::start();
    site.submit_long().await;
    let terminal = Terminal::shell(USUAL);
    terminal.shows("$ ");
    terminal.press(&format!("{PROGRAM} top --url {}\r", site.url));
    terminal.shows("1 watching");
    terminal.press("\u{1a}");
    terminal.shows("Stopped");
    assert!(!terminal.has_second_screen() && !terminal.hides_cursor());
    terminal.press("fg\r");
    terminal.has_second_screen_with("1 watching");
    terminal.press("q");
    // Keys typed before the prompt may still be read by `top`.
    terminal.until("the prompt", |screen| screen.trim_end().ends_with('$'));
    terminal.press("stty -a | grep -o ' icanon'\r");
    terminal.shows("icanon");
}

#[tokio::test(flavor = "multi_thread")]
async fn top_goes_on_after_a_restart_of_the_daemon() {
    let mut site = Site::start();
    site.submit_long().await;
    let terminal = top(USUAL, &site);
    terminal.shows("1 watching");
    site.kill();
    let screen = terminal.shows("reconnecting");
    assert!(screen.contains("dcs/"), "the last reading stays: {screen}");
    site.restart();
    terminal.until("no trouble", |screen| {
        screen.contains("1 watching") && !screen.contains("reconnecting")
    });
}

#[test]
fn top_without_a_terminal_names_other_commands() {
    let output = run(&["top", "--url", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("jobwatch list"),
        "{}",
        stderr(&output)
    );
}
