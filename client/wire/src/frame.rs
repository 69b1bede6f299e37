use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

/// The length of the fixed header, in bytes.
pub const HEADER_BYTES: usize = 48;
/// The version of everything in this crate; nodes and clients must agree on it.
pub const PROTOCOL_VERSION: u16 = 2;
/// The longest body: metadata of some ten thousand partitions, or a piece of a snapshot.
pub const BODY_BYTES_MAX: u32 = 8 << 20;
/// The longest payload: several of the largest batches.
pub const PAYLOAD_BYTES_MAX: u32 = 8 << 20;

const MAGIC: [u8; 4] = *b"QRTF";

/// Names a cluster; drawn at random when it is created. [`ClusterId::UNKNOWN`] is sent by clients
/// that have not yet heard it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ClusterId(pub u128);

impl ClusterId {
    /// Stands for "whichever you are", allowed only in a client's first metadata request.
    pub const UNKNOWN: Self = Self(0);
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a frame's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// A client's [`Request`](crate::Request).
    Request = 1,
    /// The [`Response`](crate::Response) with the request's correlation.
    Response = 2,
    /// The first frame of a link between nodes: who calls, and whom it means to reach.
    PeerHello = 3,
    /// A message of the control-plane group.
    Group = 4,
    /// A node's heartbeat.
    Heartbeat = 5,
    /// Messages of partition replication, for many partitions; record batches as payload.
    Partitions = 6,
}

impl Kind {
    const fn from_u16(kind: u16) -> Option<Self> {
        Some(match kind {
            1 => Self::Request,
            2 => Self::Response,
            3 => Self::PeerHello,
            4 => Self::Group,
            5 => Self::Heartbeat,
            6 => Self::Partitions,
            _ => return None,
        })
    }
}

/// The fixed header. All integers are little-endian:
///
/// | at | bytes | field |
/// |---|---|---|
/// | 0 | 4 | magic `QRTF` |
/// | 4 | 4 | CRC-32C of bytes 8 to 47 |
/// | 8 | 2 | protocol version |
/// | 10 | 2 | kind |
/// | 12 | 4 | body length |
/// | 16 | 4 | payload length |
/// | 20 | 4 | CRC-32C of the body |
/// | 24 | 16 | cluster id |
/// | 40 | 8 | correlation |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the body is.
    pub kind: Kind,
    /// Whose cluster the sender belongs to.
    pub cluster: ClusterId,
    /// Pairs a response with its request; 0 between nodes.
    pub correlation: u64,
    /// Bytes of body behind the header.
    pub body_len: u32,
    /// Bytes of payload behind the body.
    pub payload_len: u32,
    /// CRC-32C of the body.
    pub body_checksum: u32,
}

impl Header {
    /// The bytes on the wire.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut out = &mut bytes[8..];
        out.put_u16_le(PROTOCOL_VERSION);
        out.put_u16_le(self.kind as u16);
        out.put_u32_le(self.body_len);
        out.put_u32_le(self.payload_len);
        out.put_u32_le(self.body_checksum);
        out.put_u128_le(self.cluster.0);
        out.put_u64_le(self.correlation);
        let checksum = crc32c::crc32c(&bytes[8..]);
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header; every length in the result is within its limit.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        if bytes[..4] != MAGIC {
            return Err(FrameError::Magic([bytes[0], bytes[1], bytes[2], bytes[3]]));
        }
        if u32_at(4) != crc32c::crc32c(&bytes[8..]) {
            return Err(FrameError::HeaderChecksum);
        }
        if u16_at(8) != PROTOCOL_VERSION {
            return Err(FrameError::Version(u16_at(8)));
        }
        let kind = Kind::from_u16(u16_at(10)).ok_or(FrameError::Kind(u16_at(10)))?;
        let (body_len, payload_len) = (u32_at(12), u32_at(16));
        if body_len > BODY_BYTES_MAX || payload_len > PAYLOAD_BYTES_MAX {
            return Err(FrameError::TooLarge {
                body_len,
                payload_len,
            });
        }
        let mut cluster = [0; 16];
        cluster.copy_from_slice(&bytes[24..40]);
        let mut correlation = [0; 8];
        correlation.copy_from_slice(&bytes[40..48]);
        Ok(Self {
            kind,
            cluster: ClusterId(u128::from_le_bytes(cluster)),
            correlation: u64::from_le_bytes(correlation),
            body_len,
            payload_len,
            body_checksum: u32_at(20),
        })
    }
}

/// One frame, received whole, its body's checksum verified.
#[derive(Debug)]
pub struct Frame {
    /// The header.
    pub header: Header,
    /// The body, to be read with [`decode`](crate::decode).
    pub body: BytesMut,
    /// Raw record batches; the receiver is the only owner, so it may stamp them in place.
    pub payload: BytesMut,
}

impl Frame {
    /// The bytes of header and body, to be sent before `payload_len` bytes of payload.
    ///
    /// Panics if body or payload are over their limit: the sender must have asked for less.
    pub fn head(
        kind: Kind,
        cluster: ClusterId,
        correlation: u64,
        body: &[u8],
        payload_len: usize,
    ) -> Bytes {
        let body_len = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let payload_len = u32::try_from(payload_len).unwrap_or(u32::MAX);
        assert!(body_len <= BODY_BYTES_MAX, "a body of {body_len} bytes");
        assert!(
            payload_len <= PAYLOAD_BYTES_MAX,
            "a payload of {payload_len} bytes"
        );
        let body_checksum = crc32c::crc32c(body);
        let header = Header {
            kind,
            cluster,
            correlation,
            body_len,
            payload_len,
            body_checksum,
        };
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + body.len());
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(body);
        bytes.freeze()
    }
}

/// Why bytes from a stream are not a frame of ours. The stream cannot be used any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Not our protocol at all; the four bytes that stood in the magic's place.
    Magic([u8; 4]),
    /// The header was damaged on its way.
    HeaderChecksum,
    /// The sender speaks another version.
    Version(u16),
    /// A kind that this version does not have.
    Kind(u16),
    /// A length over its limit.
    TooLarge {
        /// The length of the body, in bytes.
        body_len: u32,
        /// The length of the payload, in bytes.
        payload_len: u32,
    },
    /// The body was damaged on its way.
    BodyChecksum,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic(bytes) => write!(
                f,
                "not a Quorate frame (it starts with {:?}): is this the right port?",
                bytes.escape_ascii().to_string()
            ),
            Self::HeaderChecksum => f.write_str("the header of a frame was damaged on its way"),
            Self::Version(version) => write!(
                f,
                "the other side speaks protocol version {version}, this one {PROTOCOL_VERSION}: \
                 use binaries of the same release"
            ),
            Self::Kind(kind) => write!(f, "frames of kind {kind} do not exist"),
            Self::TooLarge {
                body_len,
                payload_len,
            } => write!(
                f,
                "a frame with a body of {body_len} and a payload of {payload_len} bytes; the \
                 limits are {BODY_BYTES_MAX} and {PAYLOAD_BYTES_MAX}"
            ),
            Self::BodyChecksum => f.write_str("the body of a frame was damaged on its way"),
        }
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            kind: Kind::Partitions,
            cluster: ClusterId(0x0123_4567_89ab_cdef_0011_2233_4455_6677),
            correlation: 42,
            body_len: 100,
            payload_len: 61,
            body_checksum: 0xdead_beef,
        }
    }

    #[test]
    fn header_survives_its_encoding() {
        assert_eq!(Header::decode(&header().encode()), Ok(header()));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = header().encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn lengths_over_the_limit_are_refused() {
        let long = Header {
            body_len: BODY_BYTES_MAX + 1,
            ..header()
        };
        let error = Header::decode(&long.encode()).unwrap_err();
        assert!(matches!(error, FrameError::TooLarge { .. }), "{error}");
    }
}
