use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use quorate_platform::{BufResult, Instant, IoBufMut, Platform, Reader};
use quorate_wire::{Frame, HEADER_BYTES};

/// A frame that has begun must be whole within this time, and so must the first frame of a stream.
/// Even the largest frame then needs less than a megabyte a second.
const FRAME_TIMEOUT: Duration = Duration::from_secs(30);

/// Knows whether a stream is in the middle of a frame.
#[derive(Debug, Default)]
pub(super) struct FrameWatch {
    received: Cell<u64>,
    consumed: Cell<u64>,
    begun: Cell<Option<Instant>>,
}

impl FrameWatch {
    /// The time for the next frame counts from now: what was not read before is not the sender's
    /// fault.
    pub(super) fn begin(&self, now: Instant) {
        self.begun.set(Some(now));
    }

    /// `frame` has arrived whole.
    pub(super) fn end(&self, frame: &Frame) {
        let frame_len = HEADER_BYTES + frame.body.len() + frame.payload.len();
        self.consumed.set(self.consumed.get() + frame_len as u64);
    }

    /// The deadline of the next bytes; `None` if they may take for ever, because a stream may be
    /// silent between two frames.
    fn deadline(&self, now: Instant) -> Option<Instant> {
        let is_first = self.consumed.get() == 0;
        if !is_first && self.received.get() == self.consumed.get() {
            self.begun.set(None);
            return None;
        }
        let begun = self.begun.get().unwrap_or(now);
        self.begun.set(Some(begun));
        Some(begun + FRAME_TIMEOUT)
    }
}

/// The receiving half of a stream that is closed when a frame does not arrive in time.
///
/// A read is never abandoned, since the bytes that it may already hold would be lost: closing the
/// stream ends it.
pub(super) struct WatchedReader<P: Platform> {
    pub(super) platform: P,
    pub(super) reader: P::Reader,
    pub(super) watch: Rc<FrameWatch>,
    pub(super) close: Box<dyn Fn()>,
}

impl<P: Platform> Reader for WatchedReader<P> {
    async fn read<B: IoBufMut>(&mut self, buffer: B) -> BufResult<usize, B> {
        let now = self.platform.now();
        let result = match self.watch.deadline(now) {
            None => self.reader.read(buffer).await,
            Some(deadline) => {
                let read = pin!(self.reader.read(buffer));
                let sleep = pin!(self.platform.sleep(deadline - now));
                match select(read, sleep).await {
                    Either::Left((result, _)) => result,
                    Either::Right(((), read)) => {
                        (self.close)();
                        read.await
                    }
                }
            }
        };
        let received = *result.0.as_ref().unwrap_or(&0) as u64;
        self.watch
            .received
            .set(self.watch.received.get() + received);
        result
    }

    async fn read_exact<B: IoBufMut>(&mut self, buffer: B) -> BufResult<(), B> {
        // Frames are cut out of `read`; this only has to be there.
        self.reader.read_exact(buffer).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_secs(seconds)
    }

    fn frame() -> Frame {
        let head = Frame::head(
            quorate_wire::Kind::Request,
            quorate_wire::ClusterId(1),
            0,
            &[],
            0,
        );
        let header = head.first_chunk().expect("a head holds a header");
        let header = quorate_wire::Header::decode(header).expect("this header is ours");
        Frame {
            header,
            body: Default::default(),
            payload: Default::default(),
        }
    }

    #[test]
    fn only_a_first_or_begun_frame_has_a_deadline() {
        let watch = FrameWatch::default();
        watch.begin(at(100));
        assert_eq!(watch.deadline(at(110)), Some(at(130)), "nothing came yet");
        watch.received.set(HEADER_BYTES as u64);
        watch.end(&frame());
        watch.begin(at(120));
        assert_eq!(watch.deadline(at(120)), None, "between two frames");
        watch.received.set(watch.received.get() + 7);
        assert_eq!(watch.deadline(at(500)), Some(at(530)), "a frame began");
        assert_eq!(
            watch.deadline(at(510)),
            Some(at(530)),
            "a drop does not help"
        );
    }
}
