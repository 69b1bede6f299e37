use std::{fmt, io};

use bytes::BytesMut;
use quorate_platform::{BufResult, IntoInner, IoBuf, Reader};

use crate::{Frame, FrameError, HEADER_BYTES, Header};

/// Free space kept at the end of the buffer: one read takes in this many bytes of small frames.
const READ_BYTES: usize = 64 << 10;

/// Cuts a stream into frames, without copying them once they are read.
#[derive(Debug)]
pub struct FrameReader<R> {
    reader: R,
    buffer: BytesMut,
}

impl<R: Reader> FrameReader<R> {
    /// Reads frames from `reader`.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: BytesMut::new(),
        }
    }

    /// The next frame; `None` when the stream ends between frames.
    ///
    /// After an error the stream cannot be used any further. Not safe to cancel: own this in a
    /// task of its own.
    pub async fn next(&mut self) -> Result<Option<Frame>, ReadError> {
        let Some(header) = self.next_header().await? else {
            return Ok(None);
        };
        let body_len = header.body_len as usize;
        let frame_len = HEADER_BYTES + body_len + header.payload_len as usize;
        while self.buffer.len() < frame_len {
            if self.fill(frame_len - self.buffer.len()).await? == 0 {
                return Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        let mut body = self.buffer.split_to(frame_len).split_off(HEADER_BYTES);
        let payload = body.split_off(body_len);
        if crc32c::crc32c(&body) != header.body_checksum {
            return Err(ReadError::Frame(FrameError::BodyChecksum));
        }
        Ok(Some(Frame {
            header,
            body,
            payload,
        }))
    }

    async fn next_header(&mut self) -> Result<Option<Header>, ReadError> {
        loop {
            if let Some(bytes) = self.buffer.first_chunk::<HEADER_BYTES>() {
                return Ok(Some(Header::decode(bytes)?));
            }
            if self.fill(HEADER_BYTES).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into()))
                };
            }
        }
    }

    /// Reads what has arrived behind the buffered bytes, with room for at least `wanted` more.
    async fn fill(&mut self, wanted: usize) -> Result<usize, ReadError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let buffered = buffer.len();
        if buffer.capacity() - buffered < wanted {
            buffer.reserve(wanted.max(READ_BYTES));
        }
        let BufResult(result, slice) = self.reader.read(buffer.slice(buffered..)).await;
        self.buffer = slice.into_inner();
        Ok(result?)
    }
}

/// Why a stream gives no further frame.
#[derive(Debug)]
pub enum ReadError {
    /// The stream failed, or ended within a frame.
    Io(io::Error),
    /// The bytes are not a frame.
    Frame(FrameError),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<FrameError> for ReadError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the connection failed: {error}"),
            Self::Frame(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Frame(error) => Some(error),
        }
    }
}
