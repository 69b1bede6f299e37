//! Input cut into lines.
//!
//! A thread of its own reads the input, which may block, in large pieces and hands whole lines on,
//! many at a time. The channel between is short, so a cluster that is slower than the input makes
//! the reading wait.

use std::io::{self, BufRead as _, Read};

use bytes::{Buf as _, Bytes, BytesMut};
use quorate_wire::BATCH_BYTES_MAX;

use super::Failure;

/// Bytes asked of the input at once.
const READ_BYTES: usize = 256 << 10;
/// Blocks that may wait to be taken.
const BLOCKS_MAX: usize = 4;

/// Whole lines, each with its end, but for the last of an input that does not end with one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    bytes: Bytes,
    /// The number of the first line, from 1.
    first: u64,
}

/// Reads `input` on a thread of its own; the channel ends after the last block or an error.
pub(crate) fn read_blocks(
    input: impl Read + Send + 'static,
) -> Result<flume::Receiver<Result<Block, Failure>>, Failure> {
    let (sender, receiver) = flume::bounded(BLOCKS_MAX);
    let reader = std::thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || {
            let mut blocks = Blocks::new(input);
            while let Some(block) = blocks.next().transpose() {
                let is_last = block.is_err();
                if sender.send(block).is_err() || is_last {
                    break;
                }
            }
        });
    reader.map_err(|error| Failure::failed(format!("a thread cannot be started: {error}")))?;
    Ok(receiver)
}

struct Blocks<R> {
    input: R,
    buffer: BytesMut,
    next_line: u64,
}

impl<R: Read> Blocks<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            buffer: BytesMut::new(),
            next_line: 1,
        }
    }

    /// The next whole lines; `None` at the end.
    fn next(&mut self) -> Result<Option<Block>, Failure> {
        loop {
            let searched = self.buffer.len();
            let is_end = self.fill()? == 0;
            let whole = if is_end {
                self.buffer.len()
            } else {
                let newline = self.buffer[searched..]
                    .iter()
                    .rposition(|byte| *byte == b'\n');
                newline.map_or(0, |at| searched + at + 1)
            };
            // No record of this size can be stored: the rest of the line need not be read.
            if self.buffer.len() - whole > BATCH_BYTES_MAX {
                let line = self.next_line + count_lines(&self.buffer[..whole]);
                return Err(too_long(line));
            }
            if whole > 0 {
                let bytes = self.buffer.split_to(whole).freeze();
                let first = self.next_line;
                self.next_line += count_lines(&bytes);
                return Ok(Some(Block { bytes, first }));
            }
            if is_end {
                return Ok(None);
            }
        }
    }

    fn fill(&mut self) -> Result<usize, Failure> {
        let filled = self.buffer.len();
        self.buffer.resize(filled + READ_BYTES, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.buffer.truncate(filled + *read.as_ref().unwrap_or(&0));
        read.map_err(|error| Failure::failed(format!("the input cannot be read: {error}")))
    }
}

/// What a line is refused with that no record can hold.
pub(crate) fn too_long(line: u64) -> Failure {
    Failure::failed(format!(
        "line {line} is too long for a record, of which a batch of {BATCH_BYTES_MAX} bytes must \
         hold at least one: split the line"
    ))
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Each line with its number, without its end.
impl Iterator for Block {
    type Item = (u64, Bytes);

    fn next(&mut self) -> Option<(u64, Bytes)> {
        if self.bytes.is_empty() {
            return None;
        }
        let read = self
            .bytes
            .as_ref()
            .skip_until(b'\n')
            .unwrap_or(self.bytes.len());
        let has_end = self.bytes[read - 1] == b'\n';
        let line = self.bytes.slice(..read - usize::from(has_end));
        self.bytes.advance(read);
        let number = self.first;
        self.first += 1;
        Some((number, line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives at most `step` bytes at a time.
    struct Trickle<'a> {
        bytes: &'a [u8],
        step: usize,
    }

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let limit = self.step.min(buffer.len());
            self.bytes.read(&mut buffer[..limit])
        }
    }

    fn lines(bytes: &[u8], step: usize) -> Vec<(u64, Vec<u8>)> {
        let mut blocks = Blocks::new(Trickle { bytes, step });
        let mut lines = Vec::new();
        while let Some(block) = blocks.next().unwrap() {
            lines.extend(block.map(|(number, line)| (number, line.to_vec())));
        }
        lines
    }

    #[test]
    fn lines_are_the_same_however_the_input_comes() {
        let input = b"one\n\n\xff\xfe\r\n\0three\nlast without an end";
        let expected: Vec<(u64, Vec<u8>)> = input
            .split(|byte| *byte == b'\n')
            .enumerate()
            .map(|(index, line)| (index as u64 + 1, line.to_vec()))
            .collect();
        for step in 1..=input.len() {
            assert_eq!(lines(input, step), expected, "in steps of {step}");
        }
    }

    #[test]
    fn an_end_of_line_at_the_end_makes_no_further_line() {
        assert_eq!(
            lines(b"a\nb\n", 3),
            [(1, b"a".to_vec()), (2, b"b".to_vec())]
        );
        assert_eq!(lines(b"\n", 1), [(1, Vec::new())]);
        assert_eq!(lines(b"", 1), []);
    }

    #[test]
    fn a_line_that_no_batch_can_hold_is_refused_by_number() {
        let mut input = b"short\nshort\n".to_vec();
        input.resize(input.len() + BATCH_BYTES_MAX + 1, b'x');
        let mut blocks = Blocks::new(Trickle {
            bytes: &input,
            step: 1 << 16,
        });
        let error = loop {
            match blocks.next() {
                Ok(block) => assert!(block.is_some(), "the end comes only after the error"),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("line 3"), "{error}");
    }

    #[test]
    fn an_input_that_fails_is_told_of() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        let blocks = read_blocks(Broken).unwrap();
        let error = blocks.recv().unwrap().unwrap_err();
        assert!(error.to_string().contains("gone"), "{error}");
        assert!(blocks.recv().is_err());
    }
}
