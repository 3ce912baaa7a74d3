//! The log: where it goes and in which form.
//!
//! Lines go to standard output, which a service manager or container runtime collects;
//! the log is what `jobwatch run` prints. Levels: `error` means a person should look,
//! `warn` that something is odd, `info` what happened, `debug` each poll.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, LogSettings};

/// Starts logging for the whole process.
///
/// # Errors
/// The filter cannot be used, or logging was started before.
pub fn start(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.filter)?;
    let is_terminal = std::io::stdout().is_terminal();
    let is_human = match settings.format {
        LogFormat::Auto => is_terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    let started = if is_human {
        builder.with_ansi(is_terminal).with_target(false).try_init()
    } else {
        builder
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .try_init()
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}
