//! Making a write durable, in the way that suits as many as are under way.
//!
//! A write can be followed by a sync, or be one operation that completes once it is durable. One
//! operation is less work for the kernel, and so better where many writers keep it busy, and where
//! nothing else does. But where others keep the cores busy, a lone one waits for the scheduler's
//! next tick nearly every time. So many at once are one operation each, and for a few it is found
//! out while writing ([`Ways`]).
//!
//! Direct writes into files that were written in advance, one file for each writer, on Linux 6.18
//! (250 ticks a second), ext4, a virtio disk with a volatile cache, and two cores, idle besides or
//! kept busy by compilers; medians of the time of a write, and of what all writers get through in a
//! second:
//!
//! | | idle: write, sync | idle: one operation | busy: write, sync | busy: one operation |
//! |---|---|---|---|---|
//! | 1 × 4 KiB | 121 µs, 31 MiB | 112 µs, 35 MiB | 110 µs, 5 MiB | 4.0 ms, 1 MiB |
//! | 1 × 64 KiB | 209 µs, 251 MiB | 176 µs, 271 MiB | 128 µs, 76 MiB | 4.0 ms, 13 MiB |
//! | 1 × 1 MiB | 391 µs, 2.4 GiB | 354 µs, 2.7 GiB | 1.0 ms, 419 MiB | 4.0 ms, 266 MiB |
//! | 4 × 4 KiB | 275 µs, 54 MiB | 209 µs, 69 MiB | 305 µs, 44 MiB | 207 µs, 31 MiB |
//! | 4 × 64 KiB | 329 µs, 761 MiB | 263 µs, 939 MiB | 307 µs, 209 MiB | 245 µs, 364 MiB |
//! | 4 × 1 MiB | 2.1 ms, 1.8 GiB | 1.8 ms, 2.1 GiB | 1.8 ms, 2.0 GiB | 1.6 ms, 1.8 GiB |
//! | 32 × 4 KiB | 1.0 ms, 121 MiB | 501 µs, 228 MiB | 805 µs, 129 MiB | 399 µs, 175 MiB |
//! | 32 × 64 KiB | 1.3 ms, 1.4 GiB | 1.2 ms, 1.6 GiB | 1.5 ms, 1.1 GiB | 1.1 ms, 1.5 GiB |
//! | 32 × 1 MiB | 23 ms, 1.3 GiB | 21 ms, 1.5 GiB | 31 ms, 0.9 GiB | 32 ms, 0.9 GiB |
//!
//! A sync that is linked to its write, so that the kernel begins it by itself, was as good as one
//! that follows, and no better. To split a write into parts that are under way at once was a tenth
//! to a fifth faster for 4 MiB, and no better for 256 KiB.

mod ways;

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

use compio::driver::{OpCode, OpEntry, SharedFd, ToSharedFd};
use compio::fs::File;
use compio::io::AsyncWriteAtExt;
use compio_buf::{BufResult, IntoInner, IoBuf};
use io_uring::opcode;
use io_uring::types::Fd;
use rustix::io::ReadWriteFlags;

use self::ways::{Way, Ways};

/// From so many durable writes of a thread on, each is one operation.
const MANY: usize = 4;

/// Writes of so many sizes are told apart, each four times as large as the one before.
const SIZES: usize = 6;
const SMALLEST_BYTES: usize = 4096;

thread_local! {
    static UNDER_WAY: Cell<usize> = const { Cell::new(0) };
    static WAYS: RefCell<[Ways; SIZES]> = const { RefCell::new([Ways::UNKNOWN; SIZES]) };
}

pub(super) async fn write_durable_at<B: IoBuf>(
    file: &File,
    buffer: B,
    position: u64,
) -> BufResult<(), B> {
    let under_way = UnderWay::begin();
    if under_way.are_many() {
        return write_as_one(file, buffer, position).await;
    }
    let size = size_of_bytes(buffer.buf_len());
    let way = WAYS.with_borrow_mut(|ways| ways[size].choose());
    let begun = Instant::now();
    let written = match way {
        Way::Synced => write_and_sync(file, buffer, position).await,
        Way::AsOne => write_as_one(file, buffer, position).await,
    };
    let took = begun.elapsed();
    WAYS.with_borrow_mut(|ways| ways[size].observe(way, took));
    written
}

fn size_of_bytes(bytes: usize) -> usize {
    let quadrupled = (bytes / SMALLEST_BYTES).checked_ilog(4);
    quadrupled.map_or(0, |size| size as usize).min(SIZES - 1)
}

async fn write_and_sync<B: IoBuf>(mut file: &File, buffer: B, position: u64) -> BufResult<(), B> {
    let BufResult(result, buffer) = file.write_all_at(buffer, position).await;
    match result {
        Ok(()) => BufResult(file.sync_data().await, buffer),
        Err(error) => BufResult(Err(error), buffer),
    }
}

async fn write_as_one<B: IoBuf>(file: &File, mut buffer: B, position: u64) -> BufResult<(), B> {
    let len = buffer.buf_len();
    let mut written = 0;
    while written < len {
        let write = DurableWrite {
            file: file.to_shared_fd(),
            buffer: buffer.slice(written..),
            position: position + written as u64,
        };
        let BufResult(result, write) = compio::runtime::submit(write).await;
        buffer = write.into_inner().into_inner();
        match result {
            Ok(0) => return BufResult(Err(io::ErrorKind::WriteZero.into()), buffer),
            // What was written is durable, and so will be the rest.
            Ok(count) => written += count,
            Err(error) => return BufResult(Err(error), buffer),
        }
    }
    BufResult(Ok(()), buffer)
}

/// A durable write that this thread waits for.
struct UnderWay;

impl UnderWay {
    fn begin() -> Self {
        UNDER_WAY.set(UNDER_WAY.get() + 1);
        Self
    }

    fn are_many(&self) -> bool {
        UNDER_WAY.get() >= MANY
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.set(UNDER_WAY.get() - 1);
    }
}

/// Writes a buffer, and is complete once what it has written is durable.
struct DurableWrite<B> {
    file: SharedFd<std::fs::File>,
    buffer: B,
    position: u64,
}

// SAFETY: the entry points into a buffer that the operation owns. Whoever drives the operation
// keeps it where it is, with its file, until the kernel has finished with the entry.
unsafe impl<B: IoBuf> OpCode for DurableWrite<B> {
    type Control = ();

    fn create_entry(&mut self, _: &mut Self::Control) -> OpEntry {
        let bytes = self.buffer.as_init();
        // What does not fit into one operation is left to the next, as after any short write.
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let write = opcode::Write::new(Fd(self.file.as_fd().as_raw_fd()), bytes.as_ptr(), len)
            .offset(self.position)
            .rw_flags(ReadWriteFlags::DSYNC.bits().cast_signed());
        write.build().into()
    }
}

impl<B> IntoInner for DurableWrite<B> {
    type Inner = B;

    fn into_inner(self) -> B {
        self.buffer
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use futures_util::future::join_all;
    use rustix::fs::{CWD, FileType, Mode};

    use super::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at % 251) as u8).collect()
    }

    #[compio::test]
    async fn few_and_many_at_once_are_all_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = File::create(&path).await.unwrap();
        for count in [1, MANY - 1, 3 * MANY] {
            let all = bytes(1000 * count);
            let parts = all.chunks(1000).map(<[u8]>::to_vec).enumerate();
            let writes = parts.map(|(at, part)| write_durable_at(&file, part, 1000 * at as u64));
            for BufResult(result, _) in join_all(writes).await {
                result.unwrap();
            }
            assert!(std::fs::read(&path).unwrap() == all, "{count} at once");
            assert_eq!(UNDER_WAY.get(), 0);
            file.set_len(0).await.unwrap();
        }
    }

    #[compio::test]
    async fn a_write_that_comes_back_short_goes_on_with_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, mode, 0).unwrap();
        let mut options = compio::fs::OpenOptions::new();
        let pipe = options.read(true).write(true).open(&path).await.unwrap();
        // More than a pipe takes at once, so it is taken in several parts.
        let all = bytes(300_000);
        let len = all.len();
        let reader = std::thread::spawn(move || {
            let mut read = vec![0; len];
            let mut pipe = std::fs::File::open(path).unwrap();
            pipe.read_exact(&mut read).unwrap();
            read
        });
        let BufResult(result, written) = write_as_one(&pipe, all, 0).await;
        result.unwrap();
        assert!(reader.join().unwrap() == written);
    }
}
