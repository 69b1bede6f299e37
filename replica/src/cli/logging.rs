use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::{Failure, Global};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Human,
    /// One JSON object per line
    Json,
}

/// Starts logging, to `file` or else to stderr; `default` is the filter where none is given.
pub(crate) fn start(global: &Global, default: &str, file: Option<&Path>) -> Result<(), Failure> {
    let text = global.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(text).map_err(|error| {
        Failure::usage(format!(
            "--log \"{text}\": {error}; allowed: error, warn, info, debug, trace, off, or a list \
             such as \"info,quorate_client=debug\""
        ))
    })?;
    let is_terminal = file.is_none() && io::IsTerminal::is_terminal(&io::stderr());
    let writer = match file {
        None => BoxMakeWriter::new(io::stderr),
        Some(path) => {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .map_err(|error| {
                    Failure::failed(format!(
                        "the log file {} cannot be written: {error}",
                        path.display()
                    ))
                })?;
            BoxMakeWriter::new(file)
        }
    };
    // A line that cannot be written is lost. To complain of that on stderr is worse: it may be on
    // the same full disk, and then the complaint ends the process.
    let lines = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_ansi(is_terminal)
        .with_writer(writer);
    match global.log_format {
        LogFormat::Human => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}
