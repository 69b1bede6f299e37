//! The seal around everything that this crate writes to disk or wire.
//!
//! A sealed value is a fixed header and a body. The header is written by hand, byte by byte, so
//! that it stays readable whatever becomes of the body's encoding: a magic that says what the body
//! is, the version of the body's shape, the body's length, and a CRC-32C over the header's other
//! fields and the body. Only when all of that fits is the body looked at, and then it is validated
//! as well: a checksum guards against damage, validation against a writer that was wrong.

use std::fmt;

use rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Failure;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};

/// Magic (4), version (2), reserved (2), body length (4), checksum (4).
const HEADER_BYTES: usize = 16;

/// Which kind of value is sealed, and in which version of its shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seal {
    pub(crate) magic: [u8; 4],
    pub(crate) version: u16,
}

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damaged {
    /// Fewer bytes than a header, or fewer or more than the header announces.
    Length,
    /// Another kind of value, or none at all.
    Magic,
    /// A version that this program does not know; most likely a newer program wrote it.
    Version(u16),
    /// The checksum does not fit the bytes.
    Checksum,
    /// The checksum fits, but the body is not a value of its kind.
    Body,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => f.write_str("cut short, or longer than it says"),
            Self::Magic => f.write_str("not the kind of value that was expected here"),
            Self::Version(version) => {
                write!(
                    f,
                    "written in format version {version}, which this program does not know"
                )
            }
            Self::Checksum => f.write_str("the checksum does not fit the bytes"),
            Self::Body => f.write_str("the checksum fits, but the content makes no sense"),
        }
    }
}

impl std::error::Error for Damaged {}

impl Seal {
    /// Header and body of `value`.
    pub(crate) fn encode<T>(self, value: &T) -> Vec<u8>
    where
        T: for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, Failure>>,
    {
        let body = rkyv::to_bytes::<Failure>(value).expect("writing to memory cannot fail");
        let length = u32::try_from(body.len()).expect("nothing sealed comes near four gigabytes");
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
        bytes.extend_from_slice(&self.magic);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&length.to_le_bytes());
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes), &body);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// The value in `bytes`, which are exactly one sealed value.
    pub(crate) fn decode<T>(self, bytes: &[u8]) -> Result<T, Damaged>
    where
        T: Archive,
        T::Archived: for<'a> CheckBytes<HighValidator<'a, Failure>>
            + Deserialize<T, HighDeserializer<Failure>>,
    {
        let Some((header, body)) = bytes.split_at_checked(HEADER_BYTES) else {
            return Err(Damaged::Length);
        };
        let (covered, checksum) = header.split_at(HEADER_BYTES - 4);
        if covered[..4] != self.magic {
            return Err(Damaged::Magic);
        }
        // The checksum is asked before the version and the length are believed.
        if crc32c::crc32c_append(crc32c::crc32c(covered), body).to_le_bytes() != *checksum {
            let announced = u32::from_le_bytes([covered[8], covered[9], covered[10], covered[11]]);
            let fits = u32::try_from(body.len()) == Ok(announced);
            return Err(if fits {
                Damaged::Checksum
            } else {
                Damaged::Length
            });
        }
        let version = u16::from_le_bytes([covered[4], covered[5]]);
        if version != self.version {
            return Err(Damaged::Version(version));
        }
        rkyv::from_bytes::<T, Failure>(body).map_err(|Failure| Damaged::Body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAL: Seal = Seal {
        magic: *b"TEST",
        version: 3,
    };

    #[test]
    fn a_sealed_value_reads_back() {
        let value = vec![1u64, 2, 3];
        assert_eq!(SEAL.decode::<Vec<u64>>(&SEAL.encode(&value)), Ok(value));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = SEAL.encode(&vec![1u64, 2, 3]);
        for position in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[position / 8] ^= 1 << (position % 8);
            assert!(SEAL.decode::<Vec<u64>>(&damaged).is_err(), "bit {position}");
        }
        for length in 0..bytes.len() {
            assert!(
                SEAL.decode::<Vec<u64>>(&bytes[..length]).is_err(),
                "length {length}"
            );
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let newer = Seal { version: 4, ..SEAL }.encode(&vec![1u64]);
        assert_eq!(SEAL.decode::<Vec<u64>>(&newer), Err(Damaged::Version(4)));
    }

    #[test]
    fn a_checksum_does_not_replace_validation() {
        let foreign = SEAL.encode(&7u8);
        assert_eq!(SEAL.decode::<Vec<u64>>(&foreign), Err(Damaged::Body));
    }
}
