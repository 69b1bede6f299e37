use std::fmt;

use rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Failure;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};

/// The bytes of a body.
pub fn encode<T>(value: &T) -> AlignedVec
where
    T: for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, Failure>>,
{
    rkyv::to_bytes::<Failure>(value).expect("writing to memory cannot fail")
}

/// Reads a body that came from outside: validated, then taken out of its archive.
pub fn decode<T>(bytes: &[u8]) -> Result<T, Invalid>
where
    T: Archive,
    T::Archived:
        for<'a> CheckBytes<HighValidator<'a, Failure>> + Deserialize<T, HighDeserializer<Failure>>,
{
    rkyv::from_bytes::<T, Failure>(bytes).map_err(|Failure| Invalid)
}

/// The bytes are not a value of the type that the frame's kind promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body of a frame is not what its kind promises")
    }
}

impl std::error::Error for Invalid {}
