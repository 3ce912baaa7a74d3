//! The whole terminal, for a program that draws frames and reads keys.
//!
//! The terminal is given back in any case: at the end, while the program is stopped (^Z), and
//! when it panics.

use std::io::{Stdout, Write};
use std::sync::Once;
use std::thread;

use crossterm::cursor::{Hide, Show};
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use tokio::sync::mpsc;

use crate::cli::top::state::Key;

/// The keys that may wait to be read.
const KEYS_MAX: usize = 64;

/// Something that the reader did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    Key(Key),
    /// The end of the program: ^C.
    End,
    /// A stop until the shell continues the program: ^Z.
    Stop,
    /// The terminal has another size, or ^L.
    Redraw,
}

/// The terminal, taken until this is dropped.
pub(super) struct Window {
    stdout: Stdout,
    /// False while the shell has the terminal. To leave it twice would move the shell's cursor to
    /// where it was before.
    is_taken: bool,
}

impl Window {
    /// Takes the terminal.
    ///
    /// # Errors
    /// The terminal cannot be changed to this mode.
    pub(super) fn open() -> std::io::Result<Self> {
        give_back_in_panics();
        let mut window = Self {
            stdout: std::io::stdout(),
            is_taken: false,
        };
        window.take_again()?;
        Ok(window)
    }

    /// Takes the terminal again, after another program had it.
    ///
    /// # Errors
    /// The terminal cannot be changed to this mode.
    pub(super) fn take_again(&mut self) -> std::io::Result<()> {
        self.give_back();
        self.is_taken = true;
        enter(&mut self.stdout)
    }

    fn give_back(&mut self) {
        if std::mem::take(&mut self.is_taken) {
            leave(&mut self.stdout);
        }
    }

    /// Gives the terminal to the shell, and stops the program until the shell continues it.
    pub(super) fn stop(&mut self) {
        self.give_back();
        // Without a shell that controls jobs, the system ignores this.
        let _ = rustix::process::kill_current_process_group(rustix::process::Signal::TSTP);
    }

    /// Draws a frame in one write, so that no half of one is ever seen.
    ///
    /// # Errors
    /// The terminal has gone away.
    pub(super) fn draw(&self, lines: &[String]) -> std::io::Result<()> {
        let text = lines.join("\u{1b}[K\r\n");
        let mut stdout = self.stdout.lock();
        write!(stdout, "\u{1b}[H{text}\u{1b}[K\u{1b}[J")?;
        stdout.flush()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn enter(stdout: &mut Stdout) -> std::io::Result<()> {
    enable_raw_mode()?;
    execute!(stdout, EnterAlternateScreen, Hide)
}

fn leave(stdout: &mut Stdout) {
    // A terminal that has gone away needs nothing.
    let _ = execute!(stdout, Show, LeaveAlternateScreen);
    let _ = disable_raw_mode();
}

/// Makes a panic give the terminal back before its message is printed.
fn give_back_in_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            leave(&mut std::io::stdout());
            before(info);
        }));
    });
}

/// Reads keys in a thread of its own, since a terminal is read by blocking calls. The thread
/// ends with the program, or once the receiver is gone.
pub(super) fn inputs() -> mpsc::Receiver<Input> {
    let (sender, inputs) = mpsc::channel(KEYS_MAX);
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            let input = match event {
                Event::Key(key) if key.kind != KeyEventKind::Release => of_key(key),
                Event::Resize(..) => Some(Input::Redraw),
                _ => None,
            };
            if let Some(input) = input
                && sender.blocking_send(input).is_err()
            {
                return;
            }
        }
    });
    inputs
}

fn of_key(key: KeyEvent) -> Option<Input> {
    let with_control = key.modifiers.contains(KeyModifiers::CONTROL);
    let key = match key.code {
        KeyCode::Char('c' | 'd') if with_control => return Some(Input::End),
        KeyCode::Char('z') if with_control => return Some(Input::Stop),
        KeyCode::Char('l') if with_control => return Some(Input::Redraw),
        KeyCode::Char(_) if with_control => return None,
        KeyCode::Char(c) => Key::Text(c),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::First,
        KeyCode::End => Key::Last,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Erase,
        _ => return None,
    };
    Some(Input::Key(key))
}
