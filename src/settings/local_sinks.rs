//! Sinks on this machine: the settings of a file and of a command.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::settings::reader::Reader;
use crate::settings::{SinkKind, SinkSettings};
use crate::sink::{exec, file};

const COMMAND_USUAL: Duration = Duration::from_secs(15);
/// Sizes of a file that can be told apart from mistakes, in bytes.
const BYTES: std::ops::RangeInclusive<u32> = 4096..=u32::MAX;
const BYTES_USUAL: u64 = 100 * 1024 * 1024;
const KEPT_USUAL: u32 = 5;

pub(super) fn lines(section: &Reader<'_>) -> Option<SinkKind> {
    let path = section.expanded("path").map(PathBuf::from);
    if !section.has("path") {
        section.required_text("path");
    }
    let path = path.filter(|path| match unfit(path) {
        Some(message) => {
            section.report("path", message);
            false
        }
        None => true,
    });
    let max_bytes = section.whole("max_bytes", BYTES).map(u64::from);
    let keep_files = section.whole("keep_files", 0..=1000);
    let fsync = section.flag("fsync") || !section.has("fsync");
    Some(SinkKind::File(file::FileSettings {
        path: path?,
        max_bytes: max_bytes.unwrap_or(BYTES_USUAL),
        keep_files: keep_files.unwrap_or(KEPT_USUAL),
        fsync,
    }))
}

/// What keeps `path` from being a file to append to, if anything.
fn unfit(path: &Path) -> Option<String> {
    if !path.is_absolute() {
        return Some("must be an absolute path".to_owned());
    }
    if path.exists() && !path.is_file() {
        return Some(format!("{} is not a file", path.display()));
    }
    let folder = path.parent()?;
    (!folder.is_dir()).then(|| format!("the folder {} does not exist", folder.display()))
}

/// Two sinks must not write, and rotate, one file.
pub(super) fn check_paths(root: &Reader<'_>, sinks: &BTreeMap<String, SinkSettings>) {
    let mut writers: BTreeMap<&Path, &str> = BTreeMap::new();
    for (name, sink) in sinks {
        let SinkKind::File(plan) = &sink.kind else {
            continue;
        };
        if let Some(other) = writers.insert(&plan.path, name) {
            let message = format!("writes the same file as the sink `{other}`");
            root.section("sinks").report(name, message);
        }
    }
}

pub(super) fn command(section: &Reader<'_>) -> Option<SinkKind> {
    let command = section.list("command");
    if !section.has("command") {
        section.report("command", "is missing and has no default");
    }
    let timeout = section.duration("timeout", Duration::from_millis(1));
    if timeout.is_some_and(|timeout| timeout > exec::COMMAND_MAX) {
        section.report("timeout", "must be at most 45s");
    }
    let concurrency = section.whole("concurrency", 1..=64);
    let Some((program, arguments)) = command.split_first() else {
        if section.has("command") {
            section.report("command", "must name a program");
        }
        return None;
    };
    if let Err(message) = runnable(Path::new(program)) {
        section.report("command", message);
    }
    Some(SinkKind::Exec(exec::ExecSettings {
        program: program.clone(),
        arguments: arguments.to_vec(),
        timeout: timeout.unwrap_or(COMMAND_USUAL),
        concurrency: concurrency.unwrap_or(1) as usize,
    }))
}

fn runnable(program: &Path) -> Result<(), String> {
    let shown = program.display();
    if !program.is_absolute() {
        return Err(format!(
            "the program {shown} must be an absolute path; there is no shell that would look for it"
        ));
    }
    let file =
        std::fs::metadata(program).map_err(|error| format!("cannot run {shown}: {error}"))?;
    if !file.is_file() || file.permissions().mode() & 0o111 == 0 {
        return Err(format!("{shown} is no program (`chmod +x` makes it one)"));
    }
    if file.permissions().mode() & 0o002 != 0 {
        return Err(format!(
            "everybody can change {shown}; `chmod o-w` it before it is run"
        ));
    }
    Ok(())
}
