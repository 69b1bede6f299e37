use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use bytes::Bytes;

/// The most frames that wait for one peer.
const FRAMES_MAX: usize = 1024;
/// The most bytes that wait for one peer: a few snapshots of the largest catalog.
const BYTES_MAX: usize = 32 << 20;

/// Frames that wait to be sent to one peer, in order.
///
/// When it is full the oldest frames are lost: whoever waits for them asks again, and what is newer
/// is more likely to still matter.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: RefCell<Waiting>,
    is_closed: Cell<bool>,
    signal: flume::Sender<()>,
    signalled: flume::Receiver<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbox {
    pub(super) fn new() -> Self {
        let (signal, signalled) = flume::bounded(1);
        Self {
            waiting: RefCell::default(),
            is_closed: Cell::new(false),
            signal,
            signalled,
        }
    }

    pub(super) fn push(&self, frame: Bytes) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.bytes += frame.len();
        waiting.frames.push_back(frame);
        while waiting.frames.len() > FRAMES_MAX || waiting.bytes > BYTES_MAX {
            let Some(lost) = waiting.frames.pop_front() else {
                break;
            };
            waiting.bytes -= lost.len();
        }
        // A full channel already holds the signal that leads to this frame.
        let _ = self.signal.try_send(());
    }

    pub(super) fn clear(&self) {
        *self.waiting.borrow_mut() = Waiting::default();
    }

    /// Nothing is sent to this peer any more.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        let _ = self.signal.try_send(());
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Completes once it is closed. Only the task that takes the frames may wait.
    pub(super) async fn closed(&self) {
        while !self.is_closed.get() {
            // The sender is held by this very value, so the channel stays connected.
            let _ = self.signalled.recv_async().await;
        }
    }

    /// Takes all frames, waiting for the first one; none if it is closed. Only one task may wait.
    pub(super) async fn take(&self) -> Vec<Bytes> {
        loop {
            if self.is_closed.get() {
                return Vec::new();
            }
            let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
            if !waiting.frames.is_empty() {
                return waiting.frames.into();
            }
            // The sender is held by this very value, so the channel stays connected.
            let _ = self.signalled.recv_async().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[compio::test]
    async fn a_full_outbox_loses_the_oldest() {
        let outbox = Outbox::new();
        for number in 0..FRAMES_MAX + 3 {
            outbox.push(Bytes::from(number.to_string()));
        }
        let frames = outbox.take().await;
        assert_eq!((frames.len(), &frames[0][..]), (FRAMES_MAX, &b"3"[..]));
        outbox.push(Bytes::from(vec![0; BYTES_MAX]));
        outbox.push(Bytes::from_static(b"new"));
        assert_eq!(outbox.take().await, ["new"]);
        outbox.push(Bytes::from_static(b"too late"));
        outbox.close();
        assert!(outbox.take().await.is_empty() && outbox.is_closed());
        outbox.closed().await;
    }
}
