//! Ways in which bytes can be wrong.

use proptest::prelude::*;
use proptest::sample::Index;

/// One change of some bytes.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    /// A number of four bytes, of which lengths and positions are made.
    Number(Index, u32),
    Zeros(Index, usize),
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
        2 => (any::<Index>(), 1..600usize).prop_map(|(at, count)| Mutation::Zeros(at, count)),
        1 => any::<Index>().prop_map(Mutation::Cut),
        1 => (any::<Index>(), 1..90usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        1 => (any::<Index>(), 1..90usize).prop_map(|(at, count)| Mutation::Repeat(at, count)),
    ];
    prop::collection::vec(mutation, 1..5)
}

impl Mutation {
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let range = |at: &Index, count: usize, bytes: &[u8]| {
            let at = at.index(bytes.len());
            at..bytes.len().min(at + count)
        };
        match self {
            Self::Flip(at, bit) => *at.get_mut(bytes) ^= 1 << bit,
            Self::Set(at, to) => *at.get_mut(bytes) = *to,
            Self::Number(at, to) => {
                let range = range(at, 4, bytes);
                let len = range.len();
                bytes[range].copy_from_slice(&to.to_be_bytes()[..len]);
            }
            Self::Zeros(at, count) => {
                let range = range(at, *count, bytes);
                bytes[range].fill(0);
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Self::Remove(at, count) => {
                let range = range(at, *count, bytes);
                bytes.drain(range);
            }
            Self::Repeat(at, count) => {
                let again = bytes[range(at, *count, bytes)].to_vec();
                let at = at.index(bytes.len());
                bytes.splice(at..at, again);
            }
        }
    }
}
