//! Ways in which bytes can be wrong.

use proptest::prelude::*;
use proptest::sample::Index;

/// The seal that stands before most values: magic, version, two reserved bytes, then these.
const LENGTH_AT: usize = 8;
const CHECKSUM_AT: usize = 12;
const SEAL_BYTES: usize = 16;

/// One change of some bytes.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    /// A number of four bytes, of which lengths and pointers are made.
    Number(Index, u32),
    Cut(Index),
    Remove(Index, usize),
    Repeat(Index, usize),
}

pub(crate) fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let interesting = prop_oneof![
        Just(0),
        Just(1),
        Just(u32::MAX),
        Just(i32::MAX as u32),
        Just(1 << 31),
        any::<u32>(),
    ];
    let mutation = prop_oneof![
        4 => (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, to)| Mutation::Set(at, to)),
        4 => (any::<Index>(), interesting).prop_map(|(at, to)| Mutation::Number(at, to)),
        1 => any::<Index>().prop_map(Mutation::Cut),
        1 => (any::<Index>(), 1..40usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        1 => (any::<Index>(), 1..40usize).prop_map(|(at, count)| Mutation::Repeat(at, count)),
    ];
    prop::collection::vec(mutation, 1..6)
}

impl Mutation {
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Flip(at, bit) => *at.get_mut(bytes) ^= 1 << bit,
            Self::Set(at, to) => *at.get_mut(bytes) = *to,
            Self::Number(at, to) => {
                let at = at.index(bytes.len());
                for (byte, new) in bytes[at..].iter_mut().zip(to.to_le_bytes()) {
                    *byte = new;
                }
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Self::Remove(at, count) => {
                let at = at.index(bytes.len());
                let end = bytes.len().min(at + count);
                bytes.drain(at..end);
            }
            Self::Repeat(at, count) => {
                let at = at.index(bytes.len());
                let end = bytes.len().min(at + count);
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
        }
    }
}

/// Gives changed bytes a seal that fits, so that what is behind the checksum is looked at too.
pub(crate) fn seal(bytes: &mut [u8]) {
    if bytes.len() < SEAL_BYTES {
        return;
    }
    let length = u32::try_from(bytes.len() - SEAL_BYTES).unwrap();
    bytes[LENGTH_AT..CHECKSUM_AT].copy_from_slice(&length.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
    let checksum = crc32c::crc32c_append(checksum, &bytes[SEAL_BYTES..]);
    bytes[CHECKSUM_AT..SEAL_BYTES].copy_from_slice(&checksum.to_le_bytes());
}
