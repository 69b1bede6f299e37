//! What a journal file holds, and what can be told of what it should hold.
//!
//! Writes are made one after the other, each only when the one before is durable. So only the last
//! write of the last file can have been interrupted, and everything before it was durable once.
//! What was interrupted was never reported as durable, and is cut, all of it. That it was
//! interrupted takes a proof: each block of it is either as it was written or was never written
//! (see [`block`](super::block)), and nobody remembers it to have been durable. Anything else may
//! have been acknowledged and damaged since. It is not cut and not passed over: whoever reads the
//! file is told that something may be missing.

use std::ops::Range;

use super::block::{self, Entry, Found, Head};
use super::file_header::{block_at, blocks, position_of};

/// What is known of a file before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It is the last one, and was durable at least up to this position.
    Last { durable: u64 },
    /// A later file exists, so that everything in it was durable.
    Followed {
        /// The position up to which it counts, if that can be told.
        counts: Option<u64>,
    },
}

/// An entry with the position at which it ends.
pub(super) type PlacedEntry = (Entry, u64);

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// The whole entries, in order.
    pub(super) entries: Vec<PlacedEntry>,
    /// Where what counts ends.
    pub(super) end: u64,
    /// Bytes that were durable or may have been, and do not belong to a whole entry.
    pub(super) damaged: Vec<Range<u64>>,
    pub(super) tail: Tail,
    /// The greatest number of a write.
    pub(super) last_write: u64,
}

/// What stands behind what counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing.
    Clean,
    /// Remains of a write that certainly never became durable.
    Torn,
    /// Something that may have been durable.
    Uncertain,
}

/// Reads a whole file.
pub(super) fn read(bytes: &[u8], known: Known) -> Content {
    let blocks = FoundBlocks::new(bytes);
    let (limit, mut tail) = match known {
        Known::Last { durable } => blocks.judge(durable, bytes.len() as u64),
        Known::Followed { counts: Some(end) } => (block_at(end), Tail::Clean),
        Known::Followed { counts: None } => (blocks.used(), Tail::Clean),
    };
    let entries = blocks.entries(limit.min(blocks.found.len()));
    let last_end = entries.last().map_or(0, |placed| placed.blocks.end);
    let mut damaged = Vec::new();
    let mut good_until = 0;
    let places = entries.iter().map(|placed| placed.blocks.clone());
    for entry in places.chain(std::iter::once(limit..limit)) {
        if good_until < entry.start {
            damaged.push(position_of(good_until)..position_of(entry.start));
        }
        good_until = entry.end;
    }
    let is_something_behind = last_end < limit.max(blocks.used());
    match (known, tail) {
        // What was given up for lost when the next file was begun.
        (Known::Followed { .. }, _) if is_something_behind => tail = Tail::Uncertain,
        // The damage lies before the last entry: nothing is missing behind it.
        (Known::Last { .. }, Tail::Uncertain) if !is_something_behind => tail = Tail::Clean,
        (Known::Followed { .. } | Known::Last { .. }, _) => {}
    }
    let end = match tail {
        Tail::Clean | Tail::Torn => limit,
        Tail::Uncertain => last_end,
    };
    Content {
        end: position_of(end),
        damaged,
        tail,
        last_write: blocks.last_write(),
        entries: entries
            .into_iter()
            .map(|placed| (placed.entry, position_of(placed.blocks.end)))
            .collect(),
    }
}

struct Placed {
    entry: Entry,
    blocks: Range<usize>,
}

struct FoundBlocks<'a> {
    bytes: Vec<&'a [u8]>,
    found: Vec<Found>,
}

impl<'a> FoundBlocks<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let bytes: Vec<_> = blocks(bytes).collect();
        let mut found: Vec<_> = bytes.iter().map(|block| block::read(block)).collect();
        let mut write = 0;
        for (place, block) in found.iter_mut().enumerate() {
            let Found::Good(head) = *block else { continue };
            // A block of an older write, or of another place, was not written here last.
            if head.write < write || head.block_of_write > place {
                *block = Found::Bad;
            }
            write = write.max(head.write);
        }
        Self { bytes, found }
    }

    fn head(&self, block: usize) -> Option<Head> {
        match self.found.get(block)? {
            Found::Good(head) => Some(*head),
            Found::Zero | Found::Bad => None,
        }
    }

    fn last_good(&self) -> Option<(usize, Head)> {
        let mut places = (0..self.found.len()).rev();
        places.find_map(|block| Some((block, self.head(block)?)))
    }

    fn last_write(&self) -> u64 {
        self.last_good().map_or(0, |(_, head)| head.write)
    }

    /// The blocks up to the last one that is not zero.
    fn used(&self) -> usize {
        let last = self.found.iter().rposition(|found| *found != Found::Zero);
        last.map_or(0, |last| last + 1)
    }

    /// How many blocks of the last file of a journal count, and what comes behind.
    fn judge(&self, durable: u64, length: u64) -> (usize, Tail) {
        let last_write = self.last_good().map_or(0..0, |(block, head)| {
            let start = block - head.block_of_write;
            start..start + head.write_blocks
        });
        let number = self.last_write();
        let is_as_written = |block| self.head(block).is_some_and(|head| head.write == number);
        let is_whole = last_write.clone().all(is_as_written);
        let end = if is_whole {
            last_write.end
        } else {
            last_write.start
        };
        let was_durable = durable > position_of(end);
        if was_durable || self.found[end..].contains(&Found::Bad) {
            return (self.used().max(block_at(durable)), Tail::Uncertain);
        }
        match length == position_of(end) {
            true => (end, Tail::Clean),
            false => (end, Tail::Torn),
        }
    }

    /// The whole entries among the first `limit` blocks.
    fn entries(&self, limit: usize) -> Vec<Placed> {
        let mut entries = Vec::new();
        let mut block = 0;
        while block < limit {
            match self.entry_at(block, limit) {
                Some(placed) => {
                    block = placed.blocks.end;
                    entries.push(placed);
                }
                None => block += 1,
            }
        }
        entries
    }

    fn entry_at(&self, start: usize, limit: usize) -> Option<Placed> {
        let first = self.head(start).filter(|head| head.block_of_entry == 0)?;
        let blocks = start..start + first.entry_blocks();
        if blocks.end > limit {
            return None;
        }
        let mut body = Vec::new();
        let mut expected = first;
        for block in blocks.clone() {
            if self.head(block)? != expected {
                return None;
            }
            body.extend_from_slice(block::body(self.bytes[block], &expected));
            expected = expected.next();
        }
        let entry = Entry {
            op: first.op,
            kind: first.kind,
            turns: first.turns,
            body,
        };
        Some(Placed { entry, blocks })
    }
}

#[cfg(test)]
mod tests;
