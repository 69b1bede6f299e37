use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use bytes::Bytes;

use crate::Error;
use crate::signal::Signal;

/// What the fetchers have read ahead: at most one response of each.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    items: RefCell<VecDeque<(u32, Item)>>,
    arrived: Signal,
    taken: Signal,
    closing: Signal,
    is_closed: Cell<bool>,
}

#[derive(Debug)]
pub(super) enum Item {
    Fetched(Fetched),
    /// Nothing came for long; the fetcher goes on.
    Trouble(Error),
    /// The fetcher has ended: all was read, or it cannot go on.
    End(Option<Error>),
}

/// Verified batches, of which only the records at `from..until` were asked for.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) batches: VecDeque<Bytes>,
    pub(super) from: u64,
    pub(super) until: u64,
    pub(super) address: std::net::SocketAddr,
}

impl Inbox {
    /// Waits until the item before of the same partition is taken, and puts this one behind all
    /// others. `false` once nobody reads any more.
    pub(super) async fn put(&self, partition: u32, item: Item) -> bool {
        let mut item = Some(item);
        let put = self.taken.wait_until(|| {
            if self.is_closed.get() {
                return Some(false);
            }
            let mut items = self.items.borrow_mut();
            if items.iter().any(|(other, _)| *other == partition) {
                return None;
            }
            items.push_back((partition, item.take()?));
            Some(true)
        });
        let was_put = put.await;
        self.arrived.notify();
        was_put
    }

    pub(super) async fn take(&self) -> (u32, Item) {
        let item = self
            .arrived
            .wait_until(|| self.items.borrow_mut().pop_front())
            .await;
        self.taken.notify();
        item
    }

    /// Nobody reads any more: the fetchers may go.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        self.taken.notify();
        self.closing.notify();
    }

    pub(super) async fn closed(&self) {
        self.closing
            .wait_until(|| self.is_closed.get().then_some(()))
            .await;
    }
}
