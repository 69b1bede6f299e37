use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::rc::Rc;

use quorate_vsr::partition::{Message, RepairWish};

use super::peer_frame::Wish;
use super::producers::OfProducers;
use super::signal::Signal;

/// Messages that wait for a link. While the other side is slow or away the rest is dropped: every
/// message is said again by a timer if it matters.
const MESSAGES_MAX: usize = 65_536;

/// What one link still has to send.
///
/// Messages are few and small, and those that a broken link leaves behind are dropped. Of records
/// only the wish to send them is kept, at most one for each partition, and they are read when their
/// turn comes; so a peer that takes nothing costs no memory. A wish stays until it is fulfilled or
/// out of date, for the protocol does not repeat it. Partitions take turns in the order of their
/// wishes.
#[derive(Debug, Default)]
pub(super) struct LinkQueue {
    messages: VecDeque<(u64, Message)>,
    /// At most one question and one answer for each partition: what is lost is asked again.
    of_producers: BTreeMap<(u64, bool), OfProducers>,
    wishes: BTreeMap<u64, Wish>,
    turns: VecDeque<u64>,
    /// Damaged records of the peer, at most one range for each partition.
    repairs: BTreeMap<u64, RepairWish>,
    /// Whether somebody's records on disk were passed over and come before more messages.
    is_read_due: bool,
    is_reset: bool,
    changed: Rc<Signal>,
}

impl LinkQueue {
    pub(super) fn say(&mut self, partition: u64, message: Message) {
        if self.messages.len() < MESSAGES_MAX {
            self.messages.push_back((partition, message));
            self.changed.notify();
        }
    }

    /// Takes the place of an earlier one of the same partition.
    pub(super) fn say_of_producers(&mut self, partition: u64, said: OfProducers) {
        let is_answer = matches!(said, OfProducers::Told { .. });
        self.of_producers.insert((partition, is_answer), said);
        self.changed.notify();
    }

    /// A table may be large, so each has a frame that it shares with nothing of its kind.
    pub(super) fn take_of_producers(&mut self) -> Option<(u64, OfProducers)> {
        let ((partition, _), said) = self.of_producers.pop_first()?;
        Some((partition, said))
    }

    /// Takes the place of an earlier wish of the same partition, and its turn.
    pub(super) fn wish(&mut self, partition: u64, wish: Wish) {
        if self.wishes.insert(partition, wish).is_none() {
            self.turns.push_back(partition);
        }
        self.changed.notify();
    }

    /// Takes the place of an earlier one of the same partition. It may get lost: the peer asks
    /// again.
    pub(super) fn wish_repair(&mut self, partition: u64, repair: RepairWish) {
        self.repairs.insert(partition, repair);
        self.changed.notify();
    }

    /// Repairs are rare, and each peer waits for one before it asks for the next: so they come
    /// first, and nobody waits long.
    pub(super) fn take_repair(&mut self) -> Option<(u64, RepairWish)> {
        self.repairs.pop_first()
    }

    /// Gives back a wish that could not be fulfilled yet, unless a newer one has come.
    pub(super) fn postpone(&mut self, partition: u64, wish: Wish) {
        if let Entry::Vacant(place) = self.wishes.entry(partition) {
            place.insert(wish);
            self.turns.push_front(partition);
            self.changed.notify();
        }
    }

    /// Gives back wishes in the order in which they were taken.
    pub(super) fn postpone_all(&mut self, wishes: Vec<(u64, Wish)>) {
        for (partition, wish) in wishes.into_iter().rev() {
            self.postpone(partition, wish);
        }
    }

    /// Has the first wish fulfilled next, though its records are on disk: otherwise its turn would
    /// never come while messages keep coming.
    pub(super) const fn owe_read(&mut self) {
        self.is_read_due = true;
    }

    /// Takes the wish whose records shall be read from disk before anything else is sent.
    pub(super) fn take_due_read(&mut self) -> Option<(u64, Wish)> {
        match std::mem::take(&mut self.is_read_due) {
            true => self.take_wish(),
            false => None,
        }
    }

    /// Takes messages of together about `bytes_max` bytes.
    pub(super) fn take_messages(&mut self, bytes_max: usize) -> Vec<(u64, Message)> {
        let mut bytes = 0;
        let fitting = self.messages.iter().take_while(|(_, message)| {
            let fits = bytes < bytes_max;
            bytes += estimated_bytes(message);
            fits
        });
        let count = fitting.count();
        self.messages.drain(..count).collect()
    }

    pub(super) fn take_wish(&mut self) -> Option<(u64, Wish)> {
        let partition = self.turns.pop_front()?;
        let wish = self.wishes.remove(&partition);
        Some((partition, wish.expect("each turn belongs to a wish")))
    }

    pub(super) fn is_empty(&self) -> bool {
        let Self {
            messages,
            of_producers,
            turns,
            repairs,
            ..
        } = self;
        messages.is_empty() && of_producers.is_empty() && turns.is_empty() && repairs.is_empty()
    }

    /// The link is down: drops what was to be said on it.
    pub(super) fn drop_messages(&mut self) {
        self.messages.clear();
        self.of_producers.clear();
        self.repairs.clear();
    }

    /// A new link begins.
    pub(super) const fn renew(&mut self) {
        self.is_reset = false;
    }

    /// Has the link closed and opened again: the other side is not who it was.
    pub(super) fn reset(&mut self) {
        self.is_reset = true;
        self.changed.notify();
    }

    pub(super) const fn is_reset(&self) -> bool {
        self.is_reset
    }

    /// Tells the link's task of everything new.
    pub(super) fn changed(&self) -> Rc<Signal> {
        Rc::clone(&self.changed)
    }
}

/// The size of a message in a frame, roughly; only histories have no fixed size.
fn estimated_bytes(message: &Message) -> usize {
    let starts = match message {
        Message::Promise(promise) => promise.history.starts().len(),
        Message::Adopt(adopt) => adopt.history.starts().len(),
        Message::RequestPromise { .. }
        | Message::Pull { .. }
        | Message::Lost { .. }
        | Message::RequestRepair { .. }
        | Message::Ack(_)
        | Message::Commit { .. } => 0,
    };
    96 + starts * 12
}

#[cfg(test)]
mod tests {
    use quorate_vsr::{Epoch, NodeId, Offset};

    use super::*;

    fn wish(from: u64) -> Wish {
        Wish {
            to: NodeId(2),
            epoch: Epoch(1),
            from: Offset(from),
        }
    }

    #[test]
    fn a_newer_wish_keeps_the_turn_of_the_older() {
        let mut queue = LinkQueue::default();
        queue.wish(7, wish(0));
        queue.wish(3, wish(0));
        queue.wish(7, wish(10));
        assert_eq!(queue.take_wish(), Some((7, wish(10))));
        assert_eq!(queue.take_wish(), Some((3, wish(0))));
        assert_eq!(queue.take_wish(), None);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_postponed_wish_is_first_unless_it_is_out_of_date() {
        let mut queue = LinkQueue::default();
        queue.wish(7, wish(0));
        queue.wish(3, wish(0));
        let (partition, taken) = queue.take_wish().unwrap();
        queue.postpone(partition, taken);
        assert_eq!(queue.take_wish(), Some((7, wish(0))));
        queue.wish(7, wish(5));
        queue.postpone(7, wish(0));
        assert_eq!(queue.take_wish(), Some((3, wish(0))));
        assert_eq!(queue.take_wish(), Some((7, wish(5))));
    }

    #[test]
    fn wishes_passed_over_keep_their_turns_and_the_first_is_due_once() {
        let mut queue = LinkQueue::default();
        for partition in [7, 3, 5] {
            queue.wish(partition, wish(0));
        }
        assert_eq!(queue.take_due_read(), None);
        let passed_over = [queue.take_wish(), queue.take_wish()];
        assert_eq!(queue.take_wish(), Some((5, wish(0))));
        // The partition that was served wants to send more, which comes after the others.
        queue.wish(5, wish(10));
        queue.postpone_all(passed_over.into_iter().flatten().collect());
        assert_eq!(queue.take_due_read(), None);
        queue.owe_read();
        assert_eq!(queue.take_due_read(), Some((7, wish(0))));
        assert_eq!(queue.take_due_read(), None);
        assert_eq!(queue.take_wish(), Some((3, wish(0))));
        assert_eq!(queue.take_wish(), Some((5, wish(10))));
    }

    #[test]
    fn messages_for_a_peer_that_takes_none_are_bounded() {
        let mut queue = LinkQueue::default();
        let message = Message::RequestPromise { epoch: Epoch(1) };
        for partition in 0..2 * MESSAGES_MAX as u64 {
            queue.say(partition, message.clone());
        }
        assert_eq!(queue.take_messages(usize::MAX).len(), MESSAGES_MAX);
        queue.say(1, message.clone());
        queue.say(2, message.clone());
        assert_eq!(queue.take_messages(64), vec![(1, message)]);
    }
}
