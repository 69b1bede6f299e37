//! The blocks that a journal file consists of, each of which speaks for itself.
//!
//! A *write* is what is handed to the disk and made durable in one go: one or more entries. Each
//! entry begins with a new block, and each block says to which write and entry it belongs, how long
//! both are, and where in them it stands; its checksum covers all of it. So a block that is not
//! good costs the entry that it belongs to and no other, and any one good block tells where its
//! write begins and ends.
//!
//! A block has 512 bytes. That is the least that any disk writes as a whole, and no block reaches
//! over the edge of a larger unit. So what a write leaves that was interrupted by a power cut is,
//! block by block, either exactly what was written or nothing: zeros, or the end of the file.
//! Larger blocks would take less room for their heads, but on a disk that writes 512 bytes as a
//! whole half of one could be written, which looks like damage.

use bytes::{Buf, BufMut};
use quorate_vsr::OpNumber;
use quorate_vsr::sabotage::{self, Sabotage};

/// The bytes of a block.
pub(super) const BLOCK_BYTES: usize = 512;
/// Magic (4), checksum of all that follows (4), write (8), op (8), turns (8), bytes of the entry
/// (4), blocks of the write (4), block within the write (4), block within the entry (4), kind (1),
/// reserved (3).
const HEAD_BYTES: usize = 52;
const BODY_BYTES: usize = BLOCK_BYTES - HEAD_BYTES;
const MAGIC: [u8; 4] = *b"QRJB";

/// What an entry does to those that were written before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It continues them.
    Next,
    /// It takes the place of the one of its number and of all behind that.
    Turn,
    /// It takes the place of all of them: a checkpoint covers what lies between.
    Begin,
    /// It takes the place of the one of its number alone, which was damaged.
    Mend,
}

impl Kind {
    /// Whether entries that counted until then do not count any more.
    pub(super) fn is_turn(self) -> bool {
        match self {
            Self::Turn | Self::Begin => true,
            Self::Next | Self::Mend => false,
        }
    }

    fn to_byte(self) -> u8 {
        match self {
            Self::Next => 1,
            Self::Turn => 2,
            Self::Begin => 3,
            Self::Mend => 4,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Next),
            2 => Some(Self::Turn),
            3 => Some(Self::Begin),
            4 => Some(Self::Mend),
            _ => None,
        }
    }
}

/// An entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) op: OpNumber,
    pub(super) kind: Kind,
    /// How many entries up to this one, itself included, were turns.
    ///
    /// If it is more than what the entries before it make, then a turn among them was lost, and
    /// with it the knowledge which of them still count.
    pub(super) turns: u64,
    pub(super) body: Vec<u8>,
}

/// What stands at the beginning of each block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) write: u64,
    pub(super) op: OpNumber,
    pub(super) turns: u64,
    pub(super) entry_bytes: usize,
    pub(super) write_blocks: usize,
    pub(super) block_of_write: usize,
    pub(super) block_of_entry: usize,
    pub(super) kind: Kind,
}

impl Head {
    /// The blocks of the entry that this block belongs to.
    pub(super) fn entry_blocks(&self) -> usize {
        blocks_of(self.entry_bytes)
    }

    /// The head of the block that follows this one in the same entry.
    pub(super) fn next(self) -> Self {
        Self {
            block_of_write: self.block_of_write + 1,
            block_of_entry: self.block_of_entry + 1,
            ..self
        }
    }
}

/// A block as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Good(Head),
    /// Nothing but zeros.
    Zero,
    /// Neither as it was written nor untouched.
    Bad,
}

/// The bytes of one write.
pub(super) fn encode_write(write: u64, entries: &[Entry]) -> Vec<u8> {
    let blocks = entries.iter().map(|entry| blocks_of(entry.body.len()));
    let write_blocks: usize = blocks.sum();
    let mut bytes = Vec::with_capacity(write_blocks * BLOCK_BYTES);
    for entry in entries {
        let mut head = Head {
            write,
            op: entry.op,
            turns: entry.turns,
            entry_bytes: entry.body.len(),
            write_blocks,
            block_of_write: bytes.len() / BLOCK_BYTES,
            block_of_entry: 0,
            kind: entry.kind,
        };
        for _ in 0..head.entry_blocks() {
            encode_block(&mut bytes, &head, &entry.body);
            head = head.next();
        }
    }
    bytes
}

fn encode_block(bytes: &mut Vec<u8>, head: &Head, body: &[u8]) {
    let start = bytes.len();
    bytes.put_slice(&MAGIC);
    bytes.put_u32_le(0);
    bytes.put_u64_le(head.write);
    bytes.put_u64_le(head.op.0);
    bytes.put_u64_le(head.turns);
    for number in [
        head.entry_bytes,
        head.write_blocks,
        head.block_of_write,
        head.block_of_entry,
    ] {
        bytes.put_u32_le(u32::try_from(number).expect("a write is far below 4 GiB"));
    }
    bytes.put_u8(head.kind.to_byte());
    bytes.put_bytes(0, 3);
    bytes.put_slice(piece(body, head.block_of_entry));
    bytes.resize(start + BLOCK_BYTES, 0);
    let checksum = crc32c::crc32c(&bytes[start + 8..]);
    bytes[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
}

/// What `block`, which is one whole block, holds.
pub(super) fn read(block: &[u8]) -> Found {
    if block.iter().all(|byte| *byte == 0) {
        return Found::Zero;
    }
    let (mut head, checked) = (block, &block[8..]);
    let (magic, checksum) = (head.get_u32(), head.get_u32_le());
    let is_damaged = crc32c::crc32c(checked) != checksum && !sabotage::is(Sabotage::DamageTrusted);
    if magic.to_be_bytes() != MAGIC || is_damaged {
        return Found::Bad;
    }
    let (write, op, turns) = (head.get_u64_le(), head.get_u64_le(), head.get_u64_le());
    let [entry_bytes, write_blocks, block_of_write, block_of_entry] =
        std::array::from_fn(|_| head.get_u32_le() as usize);
    let Some(kind) = Kind::from_byte(head.get_u8()) else {
        return Found::Bad;
    };
    Found::Good(Head {
        write,
        op: OpNumber(op),
        turns,
        entry_bytes,
        write_blocks,
        block_of_write,
        block_of_entry,
        kind,
    })
}

/// The part of an entry that the good block `block` with this head holds.
pub(super) fn body<'a>(block: &'a [u8], head: &Head) -> &'a [u8] {
    let before = head.block_of_entry * BODY_BYTES;
    let bytes = head.entry_bytes.saturating_sub(before).min(BODY_BYTES);
    &block[HEAD_BYTES..HEAD_BYTES + bytes]
}

fn piece(body: &[u8], block_of_entry: usize) -> &[u8] {
    let start = (block_of_entry * BODY_BYTES).min(body.len());
    let end = (start + BODY_BYTES).min(body.len());
    &body[start..end]
}

fn blocks_of(entry_bytes: usize) -> usize {
    entry_bytes.div_ceil(BODY_BYTES).max(1)
}
