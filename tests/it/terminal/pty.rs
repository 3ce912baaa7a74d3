//! A command in a pseudo-terminal, and the screen that a person would see.
//!
//! Nothing waits for a fixed time: a test waits until the screen shows something.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};

use crate::program::process::{Daemon, Folder, PATIENCE, PROGRAM, Process, Simulator};

/// The lines above the screen that are kept.
const SCROLLBACK: usize = 1000;

/// A terminal with a program in it.
pub(crate) struct Terminal {
    pty: Arc<Pty>,
    child: Child,
    shown: Arc<Shown>,
}

/// The screen; a reader thread keeps it up to date.
struct Shown {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    parser: vt100::Parser,
    /// True once the program has closed the terminal.
    is_over: bool,
}

fn size(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

impl Terminal {
    /// Starts `jobwatch` with these arguments on a screen with so many rows and columns.
    pub(crate) fn start((rows, columns): (u16, u16), arguments: &[&str]) -> Self {
        Self::start_with((rows, columns), arguments, &[])
    }

    /// As [`start`](Self::start), with these variables too.
    pub(crate) fn start_with(
        (rows, columns): (u16, u16),
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let command = Command::new(PROGRAM).args(arguments);
        Self::spawn((rows, columns), command, environment)
    }

    /// Starts a shell with job control.
    pub(crate) fn shell((rows, columns): (u16, u16)) -> Self {
        let command = Command::new("bash").args(["--norc", "--noprofile", "-i"]);
        Self::spawn(
            (rows, columns),
            command,
            &[("PS1", "$ "), ("PATH", "/usr/bin:/bin")],
        )
    }

    fn spawn((rows, columns): (u16, u16), command: Command, environment: &[(&str, &str)]) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(rows, columns)).unwrap();
        let child = command
            .env_clear()
            .env("TERM", "xterm-256color")
            .envs(environment.iter().copied())
            .spawn(pts)
            .unwrap();
        let pty = Arc::new(pty);
        let shown = Arc::new(Shown {
            state: Mutex::new(State {
                parser: vt100::Parser::new(size(rows), size(columns), SCROLLBACK),
                is_over: false,
            }),
            changed: Condvar::new(),
        });
        thread::spawn({
            let (pty, shown) = (Arc::clone(&pty), Arc::clone(&shown));
            move || shown.read(&pty)
        });
        Self { pty, child, shown }
    }

    /// Waits until the screen shows these words.
    #[track_caller]
    pub(crate) fn shows(&self, words: &str) -> String {
        self.until(&format!("{words:?}"), |screen| screen.contains(words))
    }

    /// Waits until the screen is as it should be, and returns it.
    #[track_caller]
    pub(crate) fn until(&self, wanted: &str, is_so: impl Fn(&str) -> bool) -> String {
        match self.shown.wait(PATIENCE, |state| is_so(&state.screen())) {
            Ok(screen) => screen,
            Err(screen) => panic!("the screen never had {wanted}:\n{screen}"),
        }
    }

    /// Waits until the program has the whole screen for itself and shows these words.
    #[track_caller]
    pub(crate) fn has_second_screen_with(&self, words: &str) {
        let is_so = |state: &State| {
            state.parser.screen().alternate_screen() && state.screen().contains(words)
        };
        if let Err(screen) = self.shown.wait(PATIENCE, is_so) {
            panic!("the second screen never had {words:?}:\n{screen}");
        }
    }

    /// Returns the screen with its colours.
    pub(crate) fn formatted(&self) -> String {
        let state = self.shown.lock();
        state.parser.screen().contents_formatted()
    }

    /// True if the program has the whole screen for itself.
    pub(crate) fn has_second_screen(&self) -> bool {
        self.shown.lock().parser.screen().alternate_screen()
    }

    pub(crate) fn hides_cursor(&self) -> bool {
        self.shown.lock().parser.screen().hide_cursor()
    }

    /// Types these keys.
    pub(crate) fn press(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn resize(&self, (rows, columns): (u16, u16)) {
        let mut state = self.shown.lock();
        state
            .parser
            .screen_mut()
            .set_size(size(rows), size(columns));
        drop(state);
        self.pty.resize(Size::new(rows, columns)).unwrap();
    }

    /// Waits for the end of the program; returns its exit code and the last screen.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> (Option<i32>, String) {
        let screen = match self.shown.wait(PATIENCE, |state| state.is_over) {
            Ok(screen) | Err(screen) => screen,
        };
        let status = self.status(&screen);
        (status.code(), screen)
    }

    #[track_caller]
    fn status(&mut self, screen: &str) -> ExitStatus {
        assert!(self.shown.lock().is_over, "still running:\n{screen}");
        self.child.wait().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The program may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Shown {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, mut pty: &Pty) {
        let mut part = [0; 4096];
        loop {
            // Linux reports the end of a terminal as an error.
            let count = pty.read(&mut part).unwrap_or_default();
            let mut state = self.lock();
            state.parser.process(&part[..count]);
            state.is_over |= count == 0;
            drop(state);
            self.changed.notify_all();
            if count == 0 {
                return;
            }
        }
    }

    /// Waits until the state is so.
    ///
    /// # Errors
    /// The screen, if it never was.
    fn wait(&self, limit: Duration, is_so: impl Fn(&State) -> bool) -> Result<String, String> {
        let state = self.lock();
        let (state, waited) = self
            .changed
            .wait_timeout_while(state, limit, |state| !is_so(state) && !state.is_over)
            .unwrap_or_else(PoisonError::into_inner);
        let is_so = !waited.timed_out() && is_so(&state);
        let screen = state.screen();
        if is_so { Ok(screen) } else { Err(screen) }
    }
}

impl State {
    /// Returns the rows down to the last with text. Not `contents`, which joins two rows if the
    /// first was once too narrow for its line.
    fn screen(&self) -> String {
        let screen = self.parser.screen();
        let (_, columns) = screen.size();
        let rows: Vec<String> = screen.rows(0, columns.get()).collect();
        rows.join("\n").trim_end_matches('\n').to_owned()
    }
}

/// A daemon at a simulator, that can be killed and started again at the same address.
pub(crate) struct Site {
    pub(crate) simulator: Simulator,
    pub(crate) url: String,
    _folder: Folder,
    config: String,
    daemon: Option<Daemon>,
}

impl Site {
    pub(crate) fn start() -> Self {
        let simulator = Simulator::start(&[]);
        let folder = Folder::new();
        let config = folder.configure(&simulator.url, "");
        // Polls are far enough apart that a person can see when the next one comes.
        let text = std::fs::read_to_string(&config).unwrap();
        folder.write(
            "jobwatch.toml",
            &text.replace("max = \"100ms\"", "max = \"3s\""),
        );
        let daemon = Daemon::start(&config);
        let url = daemon.url.clone();
        // The next start listens at the same address.
        let address = url.trim_start_matches("http://");
        let text = std::fs::read_to_string(&config).unwrap();
        folder.write("jobwatch.toml", &text.replace("127.0.0.1:0", address));
        Self {
            simulator,
            url,
            _folder: folder,
            config,
            daemon: Some(daemon),
        }
    }

    pub(crate) fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    /// Kills the daemon with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.daemon.take().unwrap().process.kill();
    }

    pub(crate) fn restart(&mut self) {
        let process = Process::start(&["run", "--config", &self.config]);
        self.daemon = Some(Daemon::ready(process));
    }

    /// Creates a job that takes so long, and submits it; returns the ids of job and watch.
    pub(crate) async fn submit(&self, duration: &str, outcome: &str) -> (String, String) {
        let job = serde_json::json!({"service": "dcs", "duration": duration, "outcome": outcome});
        let job_id = self.simulator.create(&job).await;
        let submitted = self.daemon().ask_json(&["submit", "dcs", &job_id]);
        (job_id, submitted["id"].as_str().unwrap().to_owned())
    }

    /// Submits a job that does not end during a test.
    pub(crate) async fn submit_long(&self) -> (String, String) {
        self.submit("10s", "never").await
    }
}
