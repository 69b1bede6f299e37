//! Reading around what a disk cannot read any more.

use std::io;

use bytes::Bytes;
use compio_buf::BufResult;

use crate::{AlignedBuffer, BLOCK_BYTES, File};

/// What stands in the place of bytes that cannot be read. Not zero: zeros are what was never
/// written.
const FILLER: [u8; BLOCK_BYTES] = [0xbd; BLOCK_BYTES];
/// The system's number for an error of the device.
const DEVICE_ERROR: i32 = rustix::io::Errno::IO.raw_os_error();

/// Reads at most `len` bytes at `position`; fewer only at the file's end.
///
/// Whole blocks are read, so that it may be any part of any file, direct ones too.
///
/// Where the disk reports an error of its own, other bytes stand in the place of those that it
/// cannot read. So they fail their checksums, and are what they are: damage to these bytes, and to
/// no others.
///
/// # Errors
///
/// Any other failure.
pub async fn read_around<F: File>(file: &F, position: u64, len: usize) -> io::Result<Bytes> {
    if len == 0 {
        return Ok(Bytes::new());
    }
    let before = position % BLOCK_BYTES as u64;
    let start = position - before;
    let from = usize::try_from(before).expect("a block is small");
    let to = from + len;
    let blocks = match read(file, start, to).await {
        Err(error) if is_device_error(&error) => read_by_block(file, start, to).await?,
        other => other?,
    };
    let to = to.min(blocks.len());
    Ok(Bytes::from(blocks).slice(from.min(to)..to))
}

/// Reads the blocks that hold the `len` bytes at `start`, each on its own.
async fn read_by_block<F: File>(file: &F, start: u64, len: usize) -> io::Result<AlignedBuffer> {
    let end = (start + len as u64).min(file.len().await?);
    let mut blocks = AlignedBuffer::with_capacity(len);
    let mut at = start;
    while at < end {
        let left = usize::try_from(end - at).unwrap_or(usize::MAX);
        let block_len = left.min(BLOCK_BYTES);
        match read(file, at, block_len).await {
            Ok(block) => {
                blocks.extend_from_slice(&block);
                if block.len() < block_len {
                    // Somebody cuts the file meanwhile.
                    break;
                }
            }
            Err(error) if is_device_error(&error) => {
                blocks.extend_from_slice(&FILLER[..block_len]);
            }
            Err(error) => return Err(error),
        }
        at += BLOCK_BYTES as u64;
    }
    Ok(blocks)
}

/// Reads the blocks that hold the `len` bytes at `start`.
async fn read<F: File>(file: &F, start: u64, len: usize) -> io::Result<AlignedBuffer> {
    let buffer = AlignedBuffer::with_capacity(len);
    let BufResult(result, blocks) = file.read_at(buffer, start).await;
    result.map(|_| blocks)
}

fn is_device_error(error: &io::Error) -> bool {
    error.raw_os_error() == Some(DEVICE_ERROR)
}

#[cfg(test)]
mod tests {
    use compio_buf::{IoBuf, IoBufMut};

    use super::*;
    use crate::{Compio, CompioFile, Disk, OpenMode};

    const FILLED: u8 = FILLER[0];

    /// A file of which some blocks cannot be read.
    #[derive(Clone)]
    struct Worn {
        file: CompioFile,
        bad: Vec<u64>,
        error: i32,
    }

    impl File for Worn {
        async fn read_at<B: IoBufMut>(&self, mut buffer: B, position: u64) -> BufResult<usize, B> {
            let end = position + buffer.buf_capacity() as u64;
            let meets = |block: &u64| {
                let start = block * BLOCK_BYTES as u64;
                start < end && position < start + BLOCK_BYTES as u64
            };
            if self.bad.iter().any(meets) {
                return BufResult(Err(io::Error::from_raw_os_error(self.error)), buffer);
            }
            self.file.read_at(buffer, position).await
        }

        async fn write_all_at<B: IoBuf>(&self, buffer: B, position: u64) -> BufResult<(), B> {
            self.file.write_all_at(buffer, position).await
        }

        async fn sync_data(&self) -> io::Result<()> {
            self.file.sync_data().await
        }

        fn is_direct(&self) -> bool {
            self.file.is_direct()
        }

        async fn len(&self) -> io::Result<u64> {
            self.file.len().await
        }

        async fn set_len(&self, len: u64) -> io::Result<()> {
            self.file.set_len(len).await
        }
    }

    async fn worn(folder: &std::path::Path, bad: &[u64], error: i32) -> (Worn, Vec<u8>) {
        let path = folder.join("file");
        let bytes: Vec<u8> = (0..20_000u32).map(|at| at as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = Compio.open(&path, OpenMode::Write).await.unwrap();
        let bad = bad.to_vec();
        (Worn { file, bad, error }, bytes)
    }

    #[compio::test]
    async fn what_can_be_read_is_read_around_what_cannot() {
        let folder = tempfile::tempdir().unwrap();
        let (file, mut expected) = worn(folder.path(), &[1, 4], DEVICE_ERROR).await;
        expected[4096..8192].fill(FILLED);
        expected[16_384..].fill(FILLED);
        for (position, len) in [(0, 20_000), (0, 99_999), (100, 5000), (8192, 10), (5000, 3)] {
            let end = (position + len).min(expected.len());
            let read = read_around(&file, position as u64, len).await.unwrap();
            assert!(read == expected[position..end], "{len} bytes at {position}");
        }
    }

    #[compio::test]
    async fn any_other_failure_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = worn(folder.path(), &[1], 23).await;
        assert!(read_around(&file, 0, 20_000).await.is_err());
        assert_eq!(read_around(&file, 0, 100).await.unwrap().len(), 100);
    }
}
