use super::SMALL_AREA_BYTES;
use crate::shard::RESERVE_BYTES;

/// How much room measuring may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Full,
    /// Enough to measure with.
    Little,
    TooLittle,
}

impl Room {
    pub(crate) const fn of(available_bytes: u64) -> Self {
        match available_bytes {
            0..LITTLE_MIN => Self::TooLittle,
            LITTLE_MIN..FULL_MIN => Self::Little,
            FULL_MIN.. => Self::Full,
        }
    }

    /// How much is written in advance.
    pub(crate) const fn area_bytes(self) -> u64 {
        match self {
            Self::Full => 64 << 20,
            Self::Little => SMALL_AREA_BYTES,
            Self::TooLittle => 0,
        }
    }
}

/// The file that is written in advance, two small ones, and what a file system adds.
const FULL_BYTES: u64 = 128 << 20;
/// Nothing is taken from what a node keeps free for what it has accepted.
const FULL_MIN: u64 = RESERVE_BYTES + FULL_BYTES;
/// Where that is used up already nothing is accepted any more, and a part of it can be had: three
/// small files, and as much again that is left alone.
pub(crate) const LITTLE_MIN: u64 = 6 * SMALL_AREA_BYTES;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_is_measured_where_less_is_free() {
        assert_eq!(Room::of(10 << 30), Room::Full);
        assert_eq!(Room::of(300 << 20), Room::Little);
        assert_eq!(Room::of(LITTLE_MIN), Room::Little);
        assert_eq!(Room::of(LITTLE_MIN - 1), Room::TooLittle);
        assert_eq!(Room::of(0), Room::TooLittle);
    }
}
