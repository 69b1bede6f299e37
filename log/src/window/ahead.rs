//! Reading what will be asked for next, while what was asked for is looked at.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use futures_util::poll;
use quorate_platform::{BLOCK_BYTES, File, read_around};

/// What is read at once. A disk is hardly faster with more.
const PIECE_BYTES: usize = 512 << 10;
/// The pieces that are read ahead.
const PIECES_MAX: usize = 2;

/// Reads under way, of pieces that follow one another.
#[derive(Default)]
pub(super) struct Ahead {
    reads: VecDeque<Reading>,
    /// Where the next one begins.
    next: u64,
}

struct Reading {
    position: u64,
    bytes: Pin<Box<dyn Future<Output = io::Result<Bytes>>>>,
}

impl Ahead {
    /// Begins to read from `position` on, or goes on with it, up to `end`.
    pub(super) async fn read_from<F: File>(&mut self, file: &F, position: u64, end: u64) {
        if self.position() != Some(position) {
            self.reads.clear();
            self.next = position;
        }
        while self.reads.len() < PIECES_MAX && self.next < end {
            let (file, position) = (file.clone(), self.next);
            // The next one begins with a whole block.
            let len = PIECE_BYTES - (position % BLOCK_BYTES as u64) as usize;
            let len = len.min(usize::try_from(end - position).unwrap_or(len));
            let read = async move { read_around(&file, position, len).await };
            let mut bytes: Pin<Box<dyn Future<Output = _>>> = Box::pin(read);
            // It is under way from here on, whether somebody waits for it or not.
            if let Poll::Ready(read) = poll!(&mut bytes) {
                bytes = Box::pin(std::future::ready(read));
            }
            self.reads.push_back(Reading { position, bytes });
            self.next += len as u64;
        }
    }

    /// The piece at `position`, if it is the next one.
    pub(super) async fn take(&mut self, position: u64) -> Option<io::Result<Bytes>> {
        if self.position() != Some(position) {
            self.reads.clear();
            return None;
        }
        let reading = self.reads.pop_front()?;
        Some(reading.bytes.await)
    }

    /// Where the first one begins that is under way.
    fn position(&self) -> Option<u64> {
        self.reads.front().map(|reading| reading.position)
    }
}
