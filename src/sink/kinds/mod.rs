//! The kinds of sinks, one file each. A new kind needs a file and a row in [`KINDS`].

pub mod exec;
pub mod file;
pub mod log;
pub mod webhook;

use std::sync::Arc;

use crate::sink::{ConfiguredSink, SinkSettings, filter};
use crate::tree::reader::Reader;

/// Reads the keys of one kind; `None` after it reported an error.
type Read = fn(&Reader<'_>) -> Option<Box<dyn ConfiguredSink>>;

/// The word for each kind in the configuration, and the function that reads its section.
const KINDS: &[(&str, Read)] = &[
    (log::KIND, log::read),
    (webhook::KIND, webhook::read),
    (file::KIND, file::read),
    (exec::KIND, exec::read),
];

/// Reads a section `[sinks.NAME]`; `None` after it reported an error.
pub(crate) fn read(section: &Reader<'_>) -> Option<SinkSettings> {
    let kinds: Vec<_> = KINDS.iter().map(|row| (row.0, *row)).collect();
    // Without the kind, the allowed keys of the section are not known.
    let (kind, read) = section.choice("kind", &kinds)?;
    let sink = read(section);
    let filter = filter::read(section);
    section.finish();
    Some(SinkSettings {
        kind,
        sink: Arc::from(sink?),
        filter,
    })
}
