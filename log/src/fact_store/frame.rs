//! The bytes of a file of facts: a head, then frames.
//!
//! ```text
//! head    magic, 8 bytes | version, u32 | CRC-32C of these, u32
//! frame   CRC-32C of the rest, u32 | length of the value, or 2^32 - 1 for a removal, u32
//!         | number of the frame in the file from 0, u64 | number of the first frame that was
//!         written together with it, u64 | key, u64 | value
//! ```
//!
//! All numbers are little-endian. The frame's number ties it to its place.
//!
//! Whatever is written in one go is written *twice*, one copy behind the other, each from the
//! beginning of a block on. Damage to one copy so leaves the other. And what is missing in both was
//! never written as a whole, and so never acknowledged: no single fault can make a change that was
//! durable look like one that was interrupted.

use std::collections::BTreeMap;

use super::VALUE_BYTES_MAX;

/// The least that any disk writes as a whole, or loses.
pub(super) const BLOCK_BYTES: usize = 512;
const HEAD_BYTES: usize = 16;
const FRAME_BYTES: usize = 32;
pub(super) const VERSION: u32 = 2;
const MAGIC: [u8; 8] = *b"QUORFACT";
const REMOVAL: u32 = u32::MAX;

/// A frame that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) number: u64,
    /// The first frame of the same write.
    pub(super) first: u64,
    pub(super) key: u64,
    /// `None` removes the fact.
    pub(super) value: Option<&'a [u8]>,
}

/// Why a head is not one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeadError {
    Damaged,
    /// Another version wrote it.
    Version(u32),
}

/// The bytes of a frame with a value of this length.
pub(super) fn bytes(value_len: usize) -> u64 {
    (FRAME_BYTES + value_len) as u64
}

pub(super) fn encode(out: &mut Vec<u8>, frame: &Frame<'_>) {
    let Frame {
        number,
        first,
        key,
        value,
    } = *frame;
    let start = out.len();
    let len = value.map_or(REMOVAL, |value| value.len() as u32);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&key.to_le_bytes());
    out.extend_from_slice(value.unwrap_or_default());
    let crc = crc32c::crc32c(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

/// A whole file with just these facts, and the number of its frames.
pub(super) fn encode_file(facts: &BTreeMap<u64, Vec<u8>>) -> (Vec<u8>, u64) {
    let mut out = Vec::with_capacity(HEAD_BYTES);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    let mut out = twice(&out);
    let mut all = Vec::new();
    let mut frames = 0;
    for (key, value) in facts {
        let frame = Frame {
            number: frames,
            first: 0,
            key: *key,
            value: Some(value),
        };
        encode(&mut all, &frame);
        frames += 1;
    }
    out.extend(twice(&all));
    (out, frames)
}

/// Two copies of `bytes`, each filled up to the end of a block.
pub(super) fn twice(bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len().next_multiple_of(BLOCK_BYTES);
    let mut out = Vec::with_capacity(2 * len);
    out.extend_from_slice(bytes);
    out.resize(len, 0);
    out.extend_from_within(..len);
    out
}

/// Whether both copies of the head are good; an error if neither is.
pub(super) fn check_heads(file: &[u8]) -> Result<bool, HeadError> {
    let first = check_head(file);
    let second = check_head(file.get(BLOCK_BYTES..).unwrap_or_default());
    match (first, second) {
        (Ok(()), Ok(())) => Ok(true),
        (Ok(()), Err(HeadError::Damaged)) | (Err(HeadError::Damaged), Ok(())) => Ok(false),
        (Err(error), Err(HeadError::Damaged)) | (_, Err(error)) | (Err(error), Ok(())) => {
            Err(error)
        }
    }
}

fn check_head(file: &[u8]) -> Result<(), HeadError> {
    let mut rest = file;
    let head = (take::<8>(&mut rest), take(&mut rest), take(&mut rest));
    let (Some(magic), Some(version), Some(crc)) = head else {
        return Err(HeadError::Damaged);
    };
    let is_sound = crc32c::crc32c(&file[..12]) == u32::from_le_bytes(crc);
    if magic != MAGIC || !is_sound {
        return Err(HeadError::Damaged);
    }
    match u32::from_le_bytes(version) {
        VERSION => Ok(()),
        version => Err(HeadError::Version(version)),
    }
}

/// The frame at the start of `bytes`, and how many bytes it has; `None` if there is none.
pub(super) fn decode(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let mut rest = bytes;
    let crc = u32::from_le_bytes(take(&mut rest)?);
    let len = u32::from_le_bytes(take(&mut rest)?);
    let number = u64::from_le_bytes(take(&mut rest)?);
    let first = u64::from_le_bytes(take(&mut rest)?);
    let key = u64::from_le_bytes(take(&mut rest)?);
    let value_len = if len == REMOVAL { 0 } else { len as usize };
    if value_len > VALUE_BYTES_MAX {
        return None;
    }
    let value = rest.get(..value_len)?;
    let frame_bytes = FRAME_BYTES + value_len;
    let is_sound = crc32c::crc32c(&bytes[4..frame_bytes]) == crc;
    let value = (len != REMOVAL).then_some(value);
    let frame = Frame {
        number,
        first,
        key,
        value,
    };
    is_sound.then_some((frame, frame_bytes))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}
