//! `jobwatch man`: prints manual pages, or writes all of them to a folder.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man as Page;

use crate::cli::complaint::complain_of_usage;
use crate::cli::output::{complain, say};
use crate::cli::{Cli, Exit};
use crate::suggest;

const HELP: &str = "\
Examples:
  jobwatch man | man -l -                     read the page of jobwatch
  jobwatch man sink test | man -l -           read the page of one command
  jobwatch man --dir /usr/share/man/man1      write the pages of all commands";

/// Prints a manual page (roff), or writes all pages.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Man {
    /// The command that the page is about [default: jobwatch itself]
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    path: Vec<String>,
    /// Write the pages of all commands to this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn execute(&self) -> Exit {
        let mut whole = Cli::command().disable_help_subcommand(true);
        whole.build();
        if let Some(folder) = &self.dir {
            return match write_all(&whole, folder) {
                Ok(count) => {
                    say(&format!("wrote {count} pages to {}", folder.display()));
                    Exit::Done
                }
                Err(error) => {
                    complain(&format!("cannot write to {}: {error}", folder.display()));
                    Exit::Failed
                }
            };
        }
        match find(&whole, &self.path) {
            Ok(command) => {
                say(page(command).trim_end());
                Exit::Done
            }
            Err(message) => complain_of_usage(&message),
        }
    }
}

/// Finds a command by its names, such as `sink test`.
fn find<'a>(whole: &'a Command, path: &[String]) -> Result<&'a Command, String> {
    let mut command = whole;
    for name in path {
        let known = || command.get_subcommands().map(Command::get_name);
        command = command.find_subcommand(name).ok_or_else(|| {
            let suggestion = suggest::did_you_mean(name, known());
            format!("unknown command `{name}`{suggestion}")
        })?;
    }
    Ok(command)
}

/// Writes a page for each command to a folder; returns their number.
fn write_all(command: &Command, folder: &Path) -> io::Result<usize> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    std::fs::write(folder.join(format!("{name}.1")), page(command))?;
    let mut count = 1;
    for inner in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        count += write_all(inner, folder)?;
    }
    Ok(count)
}

/// Composes a page. The text after the help has examples, so its lines are kept as they are.
fn page(command: &Command) -> String {
    let after = command.get_after_help().map(ToString::to_string);
    let mut page = Vec::new();
    let rendered = Page::new(command.clone().after_help(None::<&str>)).render(&mut page);
    rendered.expect("a page in memory can be written");
    let mut page = String::from_utf8_lossy(&page).into_owned();
    if let Some(after) = after {
        page.push_str(".SH NOTES\n.nf\n");
        for line in after.lines() {
            let _ = writeln!(page, "{}", escaped(line));
        }
        page.push_str(".fi\n");
    }
    page
}

/// Writes a line so that roff shows it as it is.
fn escaped(line: &str) -> String {
    let text = line.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_keeps_the_lines_of_its_examples() {
        let command = Command::new("tool").after_help("First:\n  .x -y \\\n'z'");
        let page = page(&command);
        assert!(
            page.ends_with(".SH NOTES\n.nf\nFirst:\n  .x \\-y \\e\n\\&'z'\n.fi\n"),
            "{page}"
        );
        assert!(page.contains(".TH tool 1"), "{page}");
    }

    #[test]
    fn every_command_has_a_page_under_its_whole_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut whole = Cli::command().disable_help_subcommand(true);
        whole.build();
        let count = write_all(&whole, folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), count);
        let page = std::fs::read_to_string(folder.path().join("jobwatch-sink-test.1")).unwrap();
        assert!(page.contains("jobwatch\\-sink\\-test"), "{page}");
    }

    #[test]
    fn an_unknown_command_gets_the_nearest_name() {
        let whole = Cli::command();
        let path = ["sink".to_owned(), "tset".to_owned()];
        let message = find(&whole, &path).unwrap_err();
        assert_eq!(message, "unknown command `tset`; did you mean `test`?");
    }
}
