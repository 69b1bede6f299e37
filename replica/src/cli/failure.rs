use std::process::ExitCode;
use std::{fmt, io};

use quorate_client::{Certainty, Error};

use crate::config::ConfigError;
use crate::error::NodeError;

/// Why a command did not do its work, and with it the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ClosedPipe,
    Failed,
    Usage,
    Refused,
    Unknown,
    Damaged,
}

impl Failure {
    /// Something went wrong; what was asked for is certainly not (or not wholly) done.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Failed,
            message: message.into(),
        }
    }

    /// The command line or a configuration is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Usage,
            message: message.into(),
        }
    }

    /// What was asked for makes no sense as things are.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Refused,
            message: message.into(),
        }
    }

    /// Damage was looked for, and found.
    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Damaged,
            message: message.into(),
        }
    }

    /// Something could not be written to stdout.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::BrokenPipe => Kind::ClosedPipe,
            _ => Kind::Failed,
        };
        Self {
            kind,
            message: format!("cannot write to stdout: {error}"),
        }
    }

    /// Whether the reader of our output has had enough, which is no failure of ours.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        self.kind == Kind::ClosedPipe
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::ClosedPipe => 0,
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Refused => 3,
            Kind::Unknown => 4,
            Kind::Damaged => 5,
        })
    }

    /// The same failure, told of with `context` in front.
    pub(crate) fn within(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Config { .. } => Kind::Usage,
            Error::RecordTooLarge { .. } | Error::OffsetOutOfRange { .. } => Kind::Refused,
            Error::Refused { refusal, .. } if !refusal.code.is_retriable() => Kind::Refused,
            error => match error.certainty() {
                Certainty::Definite => Kind::Failed,
                Certainty::Indefinite => Kind::Unknown,
            },
        };
        Self {
            kind,
            message: error.to_string(),
        }
    }
}
