use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use quorate_wire::{ClusterId, Refusal, Response};

/// What went wrong, where, and what can be done.
///
/// Cheap to clone: one failed connection tells all who waited for it.
#[derive(Clone, Debug)]
pub enum Error {
    /// A setting cannot be used.
    Config {
        /// The setting's name.
        setting: &'static str,
        /// What is wrong with it and what is allowed.
        reason: String,
    },
    /// No bootstrap address led to a cluster.
    Bootstrap {
        /// Each address that was tried, and why it failed.
        failures: Vec<(String, Error)>,
    },
    /// A host name has no address.
    Resolve {
        /// As it was given.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// It is not known yet whom to ask; nothing was sent.
    NoRoute {
        /// What was to be asked for, for people.
        what: String,
        /// What is not known.
        reason: String,
    },
    /// Nobody answers at an address.
    Connect {
        /// The address.
        address: SocketAddr,
        /// What the network said.
        reason: String,
    },
    /// A connection ended before the answer came.
    Disconnected {
        /// The other end.
        address: SocketAddr,
        /// Why it ended.
        reason: String,
        /// Whether any byte of the request may have left: if not, it certainly had no effect.
        sent: bool,
    },
    /// A node took a request and did not answer it in time. The connection may live on.
    Silent {
        /// The node.
        address: SocketAddr,
        /// How long it was waited for.
        after: Duration,
    },
    /// What came is not an answer of a Quorate node to this request.
    Protocol {
        /// The other end.
        address: SocketAddr,
        /// What is wrong with it.
        reason: String,
    },
    /// The node belongs to another cluster than the one this client talks to.
    ForeignCluster {
        /// The node.
        address: SocketAddr,
        /// The cluster of this client.
        expected: ClusterId,
        /// The cluster of the node.
        found: ClusterId,
    },
    /// The cluster said no.
    Refused {
        /// What was asked for, for people.
        what: String,
        /// The reason, with a code for programs.
        refusal: Refusal,
    },
    /// The time given to an operation ran out while it was being retried.
    Deadline {
        /// What was asked for, for people.
        what: String,
        /// The time given.
        after: Duration,
        /// Whether it certainly had no effect.
        certainty: Certainty,
        /// Why the last try failed.
        last: Option<Box<Error>>,
    },
    /// A record could not be written.
    Produce(Box<ProduceError>),
    /// A record is too large to be written at all.
    RecordTooLarge {
        /// Its size in a batch, in bytes.
        bytes: usize,
        /// The largest allowed, in bytes.
        bytes_max: usize,
    },
    /// The offset to start from is not in the log.
    OffsetOutOfRange {
        /// The topic.
        topic: String,
        /// The partition's index.
        partition: u32,
        /// The offset asked for.
        offset: u64,
        /// The first offset that is there.
        log_start: u64,
        /// The first offset that is not there yet.
        high_watermark: u64,
    },
    /// The records that came fail their checks; none of them was given out.
    CorruptRecords {
        /// The topic.
        topic: String,
        /// The partition's index.
        partition: u32,
        /// The offset that was asked for.
        offset: u64,
        /// The node that sent them.
        address: SocketAddr,
        /// Which check failed.
        reason: String,
    },
}

/// Whether a failed write had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// It certainly had none, and will have none.
    Definite,
    /// Unknown: it may have happened, or may yet happen.
    Indefinite,
}

/// Why a record was not acknowledged.
#[derive(Clone, Debug)]
pub struct ProduceError {
    /// The topic.
    pub topic: String,
    /// The partition's index.
    pub partition: u32,
    /// The leader that was last asked, if one was known.
    pub leader: Option<u16>,
    /// Whether the record is certainly not written.
    pub certainty: Certainty,
    /// What happened last.
    pub reason: String,
}

impl Error {
    /// Whether the operation certainly had no effect.
    pub fn certainty(&self) -> Certainty {
        let is_definite = match self {
            Self::Config { .. }
            | Self::Bootstrap { .. }
            | Self::Resolve { .. }
            | Self::NoRoute { .. }
            | Self::Connect { .. }
            | Self::RecordTooLarge { .. }
            | Self::OffsetOutOfRange { .. }
            | Self::CorruptRecords { .. }
            | Self::ForeignCluster { .. } => true,
            Self::Disconnected { sent, .. } => !sent,
            Self::Protocol { .. } | Self::Silent { .. } => false,
            Self::Refused { refusal, .. } => refusal.code.is_definite(),
            Self::Deadline { certainty, .. } => *certainty == Certainty::Definite,
            Self::Produce(error) => error.certainty == Certainty::Definite,
        };
        if is_definite {
            Certainty::Definite
        } else {
            Certainty::Indefinite
        }
    }
}

impl Error {
    /// Whether the same may succeed a little later, or elsewhere.
    pub(crate) fn is_retriable(&self) -> bool {
        match self {
            Self::Bootstrap { .. }
            | Self::NoRoute { .. }
            | Self::Connect { .. }
            | Self::Disconnected { .. }
            | Self::Silent { .. }
            | Self::Protocol { .. }
            | Self::Deadline { .. } => true,
            Self::Refused { refusal, .. } => refusal.code.is_retriable(),
            Self::Config { .. }
            | Self::Resolve { .. }
            | Self::ForeignCluster { .. }
            | Self::Produce(_)
            | Self::RecordTooLarge { .. }
            | Self::OffsetOutOfRange { .. }
            | Self::CorruptRecords { .. } => false,
        }
    }

    /// The node at `address` answered with something that does not fit the question.
    pub(crate) fn unexpected(address: SocketAddr, response: &Response) -> Self {
        let name = match response {
            Response::Refused(_) => "a refusal",
            Response::Metadata(_) => "metadata",
            Response::Status(_) => "its status",
            Response::Registered { .. } => "a session",
            Response::Control(_) => "the outcome of a control operation",
            Response::TransferBegun => "the word that its successor was asked",
            Response::Produced { .. } => "the acknowledgement of a batch",
            Response::Fetched { .. } => "records",
            Response::RecordsDeleted { .. } => "the beginning of a partition",
            Response::Partition(_) => "the state of a partition",
            Response::Found { .. } => "the place of a record",
        };
        let reason = format!("it answered with {name}, which was not asked for");
        Self::Protocol { address, reason }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config { setting, reason } => write!(f, "{setting}: {reason}"),
            Self::Bootstrap { failures } => fmt_bootstrap(f, failures),
            Self::Resolve { host, reason } => {
                write!(f, "\"{}\" has no address: {reason}", host.escape_debug())
            }
            Self::NoRoute { what, reason } => write!(f, "{what}: {reason}"),
            Self::Connect { address, reason } => {
                write!(f, "cannot connect to {address}: {reason}")
            }
            Self::Disconnected {
                address,
                reason,
                sent,
            } => {
                write!(f, "the connection to {address} ended: {reason}")?;
                f.write_str(if *sent {
                    ""
                } else {
                    " (the request had not been sent)"
                })
            }
            Self::Silent { address, after } => {
                write!(
                    f,
                    "{address} took the request and did not answer within {after:?}"
                )
            }
            Self::Protocol { address, reason } => {
                write!(f, "{address} does not answer like a Quorate node: {reason}")
            }
            Self::ForeignCluster {
                address,
                expected,
                found,
            } => fmt_foreign_cluster(f, *address, *expected, *found),
            Self::Refused { what, refusal } => write!(f, "{what}: {refusal}"),
            Self::Deadline {
                what,
                after,
                certainty,
                last,
            } => fmt_deadline(f, what, *after, *certainty, last.as_deref()),
            Self::Produce(error) => error.fmt(f),
            Self::RecordTooLarge { bytes, bytes_max } => write!(
                f,
                "a record makes a batch of {bytes} bytes, over the limit of {bytes_max}: split \
                 it, or store it elsewhere and send a reference"
            ),
            Self::OffsetOutOfRange {
                topic,
                partition,
                offset,
                log_start,
                high_watermark,
            } => fmt_out_of_range(f, topic, *partition, *offset, *log_start..*high_watermark),
            Self::CorruptRecords {
                topic,
                partition,
                offset,
                address,
                reason,
            } => {
                write!(f, "{address} sent damaged records of topic \"{topic}\" ")?;
                write!(f, "partition {partition} at offset {offset}: {reason}")
            }
        }
    }
}

fn fmt_bootstrap(f: &mut fmt::Formatter<'_>, failures: &[(String, Error)]) -> fmt::Result {
    f.write_str("no node of the cluster could be reached:")?;
    for (address, error) in failures {
        write!(f, "\n  {address}: {error}")?;
    }
    f.write_str("\nis the cluster running? `quorate up` starts one on this machine")
}

fn fmt_out_of_range(
    f: &mut fmt::Formatter<'_>,
    topic: &str,
    partition: u32,
    offset: u64,
    held: Range<u64>,
) -> fmt::Result {
    let Range { start, end } = held;
    write!(
        f,
        "topic \"{topic}\" partition {partition} has no offset {offset}: it holds {start} up to \
         {end} (exclusive); start from there, or from `beginning` or `end`"
    )
}

fn fmt_foreign_cluster(
    f: &mut fmt::Formatter<'_>,
    address: SocketAddr,
    expected: ClusterId,
    found: ClusterId,
) -> fmt::Result {
    write!(
        f,
        "{address} belongs to cluster {found}, this client to {expected}: "
    )?;
    f.write_str("check the bootstrap addresses, they must all name one cluster")
}

fn fmt_deadline(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    after: Duration,
    certainty: Certainty,
    last: Option<&Error>,
) -> fmt::Result {
    write!(f, "{what}: gave up after {after:?}")?;
    f.write_str(match certainty {
        Certainty::Definite => "; nothing has changed",
        Certainty::Indefinite => "; it may or may not have happened",
    })?;
    match last {
        Some(last) => write!(f, ". The last try failed: {last}"),
        None => Ok(()),
    }
}

impl std::error::Error for Error {}

impl fmt::Display for ProduceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            topic,
            partition,
            leader,
            certainty,
            reason,
        } = self;
        write!(f, "topic \"{topic}\" partition {partition}")?;
        if let Some(leader) = leader {
            write!(f, " (leader node-{leader})")?;
        }
        f.write_str(match certainty {
            Certainty::Definite => ": the records are certainly not written: ",
            Certainty::Indefinite => {
                ": the records may or may not be written (read the partition's end to find out): "
            }
        })?;
        f.write_str(reason)
    }
}

impl std::error::Error for ProduceError {}

impl From<ProduceError> for Error {
    fn from(error: ProduceError) -> Self {
        Self::Produce(Box::new(error))
    }
}
