//! A disk of one replica: what is written may be lost in a crash until its completion is reported.

use std::collections::{BTreeMap, VecDeque};

use quorate_vsr::OpNumber;
use quorate_vsr::group::{Checkpoint, Event, Prepare, Recovered, Superblock};
use rand::RngExt;
use rand::rngs::ChaCha8Rng;

/// The three files of a replica. Each completes its writes in order; among each other they do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File {
    Journal,
    Superblock,
    Checkpoint,
}

#[derive(Clone, Debug)]
pub(crate) enum Write {
    Append(Prepare),
    Trim(OpNumber),
    Persist(Superblock),
    Checkpoint(Checkpoint),
}

#[derive(Debug, Default)]
pub(crate) struct Disk {
    superblock: Option<Superblock>,
    checkpoints: BTreeMap<OpNumber, Checkpoint>,
    journal: Vec<Prepare>,
    journal_writes: VecDeque<Write>,
    superblock_writes: VecDeque<Write>,
    checkpoint_writes: VecDeque<Write>,
    /// Whether the end of the journal is gone, and the superblock does not say so yet.
    is_rotten: bool,
}

impl Disk {
    pub(crate) fn submit(&mut self, write: Write) -> File {
        let file = match &write {
            Write::Append(_) | Write::Trim(_) => File::Journal,
            Write::Persist(_) => File::Superblock,
            Write::Checkpoint(_) => File::Checkpoint,
        };
        self.queue(file).push_back(write);
        file
    }

    /// Carries out the oldest write of a file and says what there is to report.
    pub(crate) fn complete(&mut self, file: File) -> Option<Event> {
        let write = self.queue(file).pop_front()?;
        self.apply(&write);
        match write {
            Write::Append(prepare) => Some(Event::PrepareDurable {
                op: prepare.op,
                checksum: prepare.checksum,
            }),
            Write::Trim(_) => None,
            Write::Persist(superblock) => Some(Event::SuperblockDurable {
                sequence: superblock.sequence,
            }),
            Write::Checkpoint(checkpoint) => Some(Event::CheckpointDurable {
                op: checkpoint.op(),
            }),
        }
    }

    /// Each file keeps some of what was under way, without a report, and loses the rest.
    pub(crate) fn crash(&mut self, random: &mut ChaCha8Rng) {
        for file in [File::Journal, File::Superblock, File::Checkpoint] {
            let kept = random.random_range(0..=self.queue(file).len());
            for _ in 0..kept {
                self.complete(file);
            }
            self.queue(file).clear();
        }
    }

    /// Loses prepares from the end of the journal although they were durable, or the checkpoint.
    pub(crate) fn rot(&mut self, random: &mut ChaCha8Rng) {
        let kept = random.random_range(0..=self.journal.len());
        self.journal.truncate(kept);
        if random.random_bool(0.3) {
            self.checkpoints.clear();
        }
        self.is_rotten = true;
    }

    pub(crate) fn is_whole(&self) -> bool {
        let is_marked = self
            .superblock
            .as_ref()
            .is_some_and(|superblock| superblock.is_tail_uncertain);
        !self.is_rotten && !is_marked
    }

    /// What a driver would read: all of it once through its bytes.
    pub(crate) fn recover(&self) -> Recovered {
        let read = |prepare: &Prepare| Prepare::decode(&prepare.encode()).unwrap();
        let superblock = self.superblock.as_ref();
        let named = superblock.and_then(|block| self.checkpoints.get(&block.checkpoint.op));
        Recovered {
            superblock: superblock.map(|block| Superblock::decode(&block.encode()).unwrap()),
            checkpoint: named.map(|found| Checkpoint::decode(found.bytes()).unwrap()),
            journal: self.journal.iter().map(read).collect(),
            is_tail_uncertain: self.is_rotten,
        }
    }

    pub(crate) fn is_used(&self) -> bool {
        self.superblock.is_some()
    }

    fn apply(&mut self, write: &Write) {
        match write {
            Write::Append(prepare) => {
                self.journal.retain(|entry| entry.op < prepare.op);
                if let Some(last) = self.journal.last() {
                    assert_eq!(last.op.next(), prepare.op, "the journal on disk has no gap");
                }
                self.journal.push(prepare.clone());
            }
            Write::Trim(below) => self.journal.retain(|entry| entry.op >= *below),
            Write::Persist(superblock) => {
                let named = superblock.checkpoint.op;
                assert!(named.0 == 0 || self.checkpoints.contains_key(&named));
                // What a superblock still to be written may name is newer than what this one names.
                self.checkpoints.retain(|op, _| *op >= named);
                self.superblock = Some(superblock.clone());
                self.is_rotten &= !superblock.is_tail_uncertain;
            }
            Write::Checkpoint(checkpoint) => {
                self.checkpoints.insert(checkpoint.op(), checkpoint.clone());
            }
        }
    }

    fn queue(&mut self, file: File) -> &mut VecDeque<Write> {
        match file {
            File::Journal => &mut self.journal_writes,
            File::Superblock => &mut self.superblock_writes,
            File::Checkpoint => &mut self.checkpoint_writes,
        }
    }
}
