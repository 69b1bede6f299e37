//! Reading around what a disk cannot read any more.

use std::io;

use compio_buf::BufResult;

use crate::File;

/// What stands in the place of a byte that cannot be read. Not zero: zeros are what was never
/// written.
const FILLER: u8 = 0xbd;
/// A disk loses no less than this.
const BLOCK_BYTES: u64 = 4096;
/// The system's number for an error of the device.
const DEVICE_ERROR: i32 = rustix::io::Errno::IO.raw_os_error();

/// Reads at most `len` bytes at `position`; fewer only at the file's end.
///
/// Where the disk reports an error of its own, other bytes stand in the place of those that it
/// cannot read. So they fail their checksums, and are what they are: damage to these bytes, and to
/// no others.
///
/// # Errors
///
/// Any other failure.
pub async fn read_around<F: File>(file: &F, position: u64, len: usize) -> io::Result<Vec<u8>> {
    match read(file, position, len).await {
        Err(error) if is_device_error(&error) => {}
        other => return other,
    }
    let end = (position + len as u64).min(file.len().await?);
    let mut bytes = Vec::with_capacity(len);
    let mut at = position;
    while at < end {
        let block_end = ((at / BLOCK_BYTES + 1) * BLOCK_BYTES).min(end);
        let block_len = usize::try_from(block_end - at).expect("a block is small");
        match read(file, at, block_len).await {
            Ok(block) if block.len() == block_len => bytes.extend(block),
            // Somebody cuts the file meanwhile.
            Ok(block) => {
                bytes.extend(block);
                break;
            }
            Err(error) if is_device_error(&error) => {
                bytes.resize(bytes.len() + block_len, FILLER);
            }
            Err(error) => return Err(error),
        }
        at = block_end;
    }
    Ok(bytes)
}

async fn read<F: File>(file: &F, position: u64, len: usize) -> io::Result<Vec<u8>> {
    let BufResult(result, mut bytes) = file.read_at(Vec::with_capacity(len), position).await;
    result?;
    // The allocator may have given more room than was asked for.
    bytes.truncate(len);
    Ok(bytes)
}

fn is_device_error(error: &io::Error) -> bool {
    error.raw_os_error() == Some(DEVICE_ERROR)
}

#[cfg(test)]
mod tests {
    use compio_buf::{IoBuf, IoBufMut};

    use super::*;
    use crate::{Compio, CompioFile, Disk, OpenMode};

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
                let start = block * BLOCK_BYTES;
                start < end && position < start + BLOCK_BYTES
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
        expected[4096..8192].fill(FILLER);
        expected[16_384..].fill(FILLER);
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
