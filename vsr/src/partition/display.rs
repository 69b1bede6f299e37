//! How messages read: one line each, for transcripts, counter-examples and logs.

use std::fmt;

use super::{Ack, Adopt, Event, Facts, Marks, Message, Promise, RecordsHead};
use crate::{NodeId, Offset};

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequestPromise { epoch } => write!(f, "RequestPromise of epoch {epoch}"),
            Self::Promise(promise) => promise.fmt(f),
            Self::Pull { epoch, from } => {
                write!(f, "Pull in epoch {epoch} from offset {from}")
            }
            Self::Adopt(adopt) => adopt.fmt(f),
            Self::Lost { epoch, loss } => {
                write!(f, "Lost in epoch {epoch}: loss {loss}")
            }
            Self::RequestRepair {
                epoch,
                from,
                to,
                compacted,
            } => {
                write!(
                    f,
                    "RequestRepair in epoch {epoch} from offset {from} to {to}"
                )?;
                told_compacted(f, ", compacted up to", *compacted)
            }
            Self::Ack(ack) => ack.fmt(f),
            Self::Commit { epoch, sent, marks } => {
                write!(
                    f,
                    "Commit in epoch {epoch}: sent up to offset {sent}, {marks}"
                )
            }
        }
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Promise to epoch {}: the log of epoch {} up to offset {}, committed up to {}",
            self.epoch, self.log_epoch, self.next_offset, self.high_watermark
        )?;
        expired(f, self.log_start)?;
        f.write_str(if self.is_uncertain { ", uncertain" } else { "" })
    }
}

impl fmt::Display for Adopt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Adopt in epoch {}: the log up to offset {}, committed up to {}",
            self.epoch, self.opening_offset, self.high_watermark
        )?;
        expired(f, self.log_start)?;
        match self.loss {
            0 => Ok(()),
            loss => write!(f, ", after loss {loss}"),
        }
    }
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Ack in epoch {}: received up to offset {}, durable up to {}, committed up to {}",
            self.epoch, self.received, self.durable, self.high_watermark
        )?;
        expired(f, self.log_start)?;
        told_compacted(f, ", compacted up to", self.compacted)?;
        told_compacted(f, ", knows of", self.compacted_everywhere)?;
        f.write_str(if self.adopted { ", adopted" } else { "" })?;
        f.write_str(if self.rewind { "; send again" } else { "" })
    }
}

impl fmt::Display for RecordsHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "records in epoch {} from offset {}, {}",
            self.epoch, self.base_offset, self.marks
        )
    }
}

impl fmt::Display for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "committed up to {}", self.high_watermark)?;
        expired(f, self.log_start)?;
        told_compacted(f, ", compacted everywhere up to", self.compacted_everywhere)
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "promise to epoch {}, log of epoch {}, committed up to offset {}",
            self.promised, self.log_epoch, self.high_watermark
        )?;
        expired(f, self.log_start)?;
        told_compacted(f, ", compacted up to", self.compacted)?;
        if self.begins_anew {
            f.write_str(", begins anew")?;
        }
        f.write_str(if self.is_uncertain() {
            ", uncertain"
        } else {
            ""
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Assign {
                epoch,
                leader,
                voters,
                previous,
                learners,
            } => {
                write!(f, "is assigned epoch {epoch} of leader {leader}, voters")?;
                list(f, voters)?;
                if !previous.is_empty() {
                    f.write_str(", before")?;
                    list(f, previous)?;
                }
                if !learners.is_empty() {
                    f.write_str(", learners")?;
                    list(f, learners)?;
                }
                Ok(())
            }
            Self::Message { from, message } => write!(f, "hears {from}: {message}"),
            Self::Records {
                from,
                head,
                next_offset,
                ..
            } => write!(f, "hears {from}: {head}, up to offset {next_offset}"),
            Self::FactsDurable(facts) => write!(f, "has on stable storage: {facts}"),
            Self::LogDurable { next_offset } => {
                write!(
                    f,
                    "has its log on stable storage up to offset {next_offset}"
                )
            }
            Self::Truncated { next_offset } => write!(f, "has cut its log to offset {next_offset}"),
            Self::Expire { before } => write!(f, "is to drop what is before offset {before}"),
            Self::BegunAnew { at } => write!(f, "has a new log that begins at offset {at}"),
            Self::Compacted { to } => write!(f, "has compacted its log up to offset {to}"),
            Self::Damaged { from, to } => {
                write!(f, "finds its log damaged from offset {from} to {to}")
            }
            Self::Repair {
                base_offset,
                next_offset,
                ..
            } => write!(
                f,
                "gets records to repair offset {base_offset} to {next_offset}"
            ),
            Self::Repaired { from, to } => {
                write!(f, "has repaired its log from offset {from} to {to}")
            }
            Self::RecordsSent {
                to,
                head,
                next_offset,
            } => write!(f, "sends {to}: {head}, up to offset {next_offset}"),
            Self::Timeout(timer) => write!(f, "{timer:?} runs out"),
        }
    }
}

fn expired(f: &mut fmt::Formatter<'_>, log_start: Offset) -> fmt::Result {
    match log_start {
        Offset(0) => Ok(()),
        log_start => write!(f, ", expired up to {log_start}"),
    }
}

fn told_compacted(f: &mut fmt::Formatter<'_>, what: &str, to: Offset) -> fmt::Result {
    match to {
        Offset(0) => Ok(()),
        to => write!(f, "{what} {to}"),
    }
}

fn list(f: &mut fmt::Formatter<'_>, nodes: &[NodeId]) -> fmt::Result {
    nodes.iter().try_for_each(|node| write!(f, " {node}"))
}
