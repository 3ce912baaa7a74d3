//! The log of a tracer: the calls that open, write, sync, remove and answer, in order.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// The system calls that are traced.
pub(super) const CALLS: &str = "openat,pwrite64,pwritev,write,writev,sendto,sendmsg,fdatasync,fsync,ftruncate,unlink,unlinkat,rename,renameat,renameat2,fallocate";

/// One relevant call.
#[derive(Debug)]
pub(super) enum Call {
    /// A file was opened, and created if it did not exist.
    Opened(String),
    Wrote {
        file: String,
        at: usize,
        data: Vec<u8>,
    },
    Truncated(String, usize),
    Removed(String),
    /// Writes before the begin of a sync are durable once it has ended.
    SyncBegan(String),
    SyncEnded(String),
    /// Bytes were sent to a client.
    Sent(Vec<u8>),
}

/// Reads a log, call by call.
pub(super) fn read(log: &Path, mut take: impl FnMut(Call)) {
    let log = BufReader::new(std::fs::File::open(log).unwrap());
    let mut unfinished: BTreeMap<String, String> = BTreeMap::new();
    for line in log.lines() {
        let line = line.unwrap();
        let (thread, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            began(begun, &mut take);
            unfinished.insert(thread.to_owned(), begun.trim_end().to_owned());
        } else if rest.starts_with("<... ") {
            let begun = unfinished.remove(thread).unwrap_or_default();
            let (_, end) = rest.split_once(" resumed>").unwrap();
            ended(&format!("{begun}{end}"), &mut take);
        } else {
            began(rest, &mut take);
            ended(rest, &mut take);
        }
    }
}

/// From its begin on, a client may have the answer, and a sync may write earlier changes.
fn began(call: &str, take: &mut impl FnMut(Call)) {
    let name = call.split('(').next().unwrap_or_default();
    match name {
        "fdatasync" | "fsync" => take(Call::SyncBegan(file_of(call))),
        "sendto" | "sendmsg" | "write" | "writev" if is_socket(call) => {
            take(Call::Sent(strings(call).concat()));
        }
        _ => {}
    }
}

fn ended(call: &str, take: &mut impl FnMut(Call)) {
    let name = call.split('(').next().unwrap_or_default();
    let Some((arguments, result)) = call.rsplit_once(" = ") else {
        return;
    };
    if result.starts_with('-') {
        return;
    }
    match name {
        "openat" => take(Call::Opened(text(strings(arguments).remove(0)))),
        "fdatasync" | "fsync" => take(Call::SyncEnded(file_of(call))),
        "pwrite64" => {
            let at = last_number(arguments);
            let data = strings(arguments).concat();
            assert_eq!(data.len().to_string(), result, "a write was cut short");
            let file = file_of(call);
            take(Call::Wrote { file, at, data });
        }
        "ftruncate" => take(Call::Truncated(file_of(call), last_number(arguments))),
        "unlink" | "unlinkat" => take(Call::Removed(text(strings(arguments).remove(0)))),
        "sendto" | "sendmsg" | "write" | "writev" => {}
        other => assert!(
            !file_of(call).contains("jobwatch.db"),
            "{other} is not expected of the database"
        ),
    }
}

fn is_socket(call: &str) -> bool {
    file_of(call).starts_with("socket:")
}

/// The path in `4<\x2f\x74…>`.
fn file_of(call: &str) -> String {
    let descriptor = call
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    descriptor.map_or_else(String::new, |(path, _)| text(bytes(path)))
}

/// All quoted parts.
fn strings(call: &str) -> Vec<Vec<u8>> {
    call.split('"').skip(1).step_by(2).map(bytes).collect()
}

/// The bytes of `\x2f\x74`.
fn bytes(escaped: &str) -> Vec<u8> {
    let digit = |it: u8| char::from(it).to_digit(16).unwrap_or_default();
    let escaped = escaped.as_bytes().chunks_exact(4);
    escaped
        .map(|four| u8::try_from(digit(four[2]) * 16 + digit(four[3])).unwrap())
        .collect()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn last_number(arguments: &str) -> usize {
    let number = arguments
        .trim_end()
        .trim_end_matches(')')
        .rsplit(", ")
        .next();
    number.unwrap().parse().unwrap()
}
