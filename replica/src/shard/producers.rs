//! What is known of idempotent producers where a log begins anew.
//!
//! The table of producers is a function of the batches in the log, and of a log that begins anew at
//! its leader's log start the first ones are gone. Who leads without what they tell would append a
//! batch once more that was committed and deleted before its producer had heard of it. So whoever
//! lacks that asks the other members, until one of them knows all or nobody knows more. While it
//! leads and does not know, it refuses batches of producers: they come again a moment later.
//!
//! **Why an answer is right.** It tells of batches before the log start that was asked about, and
//! of no others. A member answers only once it knows all of them to be committed: so they are in
//! every log that a later leader may have, or stand before its beginning. Of what was pushed out of
//! the answering table by newer batches the producer has heard, for it has five under way at most.
//! That an answer is late or comes twice does no harm: what it tells stays true.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use quorate_log::ProducerTable;
use quorate_platform::Platform;
use quorate_vsr::NodeId;
use quorate_wire::{Code, Refusal};
use rkyv::{Archive, Deserialize, Serialize};

use super::Shard;
use super::state::State;

const ASK_AGAIN: Duration = Duration::from_millis(300);
/// How often a leader asks, before it does without those of whom nothing is heard. A minute: they
/// may be gone for good.
const ASKED_MAX: u32 = 200;

/// What members of a partition say to each other of its producers.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(super) enum OfProducers {
    /// What have batches before this offset told?
    Asked { before: u64 },
    /// This; an encoded [`ProducerTable`].
    Told {
        before: u64,
        table: Vec<u8>,
        /// Whether the sender does not lack anything itself.
        is_complete: bool,
    },
}

/// What a replica has to find out.
#[derive(Debug)]
pub(super) struct Inquiry {
    before: u64,
    /// Those who have told what they know, and lack something as well.
    told: BTreeSet<NodeId>,
    asked_as_leader: u32,
}

/// Asks until nothing is left to be asked, again and again until the shard is over.
pub(super) async fn run<P: Platform>(shard: Rc<Shard<P>>) {
    while !shard.is_over() {
        let is_asking = shard.state.borrow_mut().inquire();
        match is_asking {
            true => shard.platform.sleep(ASK_AGAIN).await,
            false => shard.signals.inquiries.wait().await,
        }
    }
}

impl<P: Platform> State<P> {
    /// Takes note if there is something to be found out for a partition. To be called whenever its
    /// log was opened, dropped or cut.
    pub(super) fn note_inquiry(&mut self, id: u64) {
        let partition = self.partitions.get(&id);
        let before = partition.and_then(|partition| partition.log.producers_unknown_before());
        let Some(before) = before else {
            self.inquiries.remove(&id);
            return;
        };
        let known = self.inquiries.get(&id);
        if known.is_none_or(|inquiry| inquiry.before != before) {
            let inquiry = Inquiry {
                before,
                told: BTreeSet::new(),
                asked_as_leader: 0,
            };
            self.inquiries.insert(id, inquiry);
            self.signals.inquiries.notify();
        }
    }

    /// Asks for all partitions; whether something remains to be found out.
    fn inquire(&mut self) -> bool {
        let ids: Vec<_> = self.inquiries.keys().copied().collect();
        ids.into_iter().for_each(|id| self.ask(id));
        !self.inquiries.is_empty()
    }

    fn ask(&mut self, id: u64) {
        let Some(partition) = self.partitions.get(&id) else {
            self.inquiries.remove(&id);
            return;
        };
        let metadata = self.metadata.load();
        // Before the control plane has told of the partition nobody knows whom to ask.
        let Some(record) = metadata.catalog.partitions.get(&id) else {
            return;
        };
        let members = record.since.keys().copied();
        let others: Vec<_> = members.filter(|node| *node != self.node).collect();
        let leads = partition.replica.is_open();
        let inquiry = self.inquiries.get_mut(&id).expect("it is being asked for");
        let before = inquiry.before;
        if others.iter().all(|node| inquiry.told.contains(node)) {
            return self.end_inquiry(id, "nobody knows more");
        }
        inquiry.asked_as_leader += u32::from(leads);
        if inquiry.asked_as_leader > ASKED_MAX {
            return self.end_inquiry(id, "those who may know more are away");
        }
        for node in others {
            if let Some(queue) = self.link(id, node) {
                queue.say_of_producers(id, OfProducers::Asked { before });
            }
        }
    }

    /// Hears a question or an answer of another member.
    pub(super) fn hear_of_producers(&mut self, id: u64, from: NodeId, said: &OfProducers) {
        match said {
            OfProducers::Asked { before } => {
                if let Some(answer) = self.answer(id, *before)
                    && let Some(queue) = self.link(id, from)
                {
                    queue.say_of_producers(id, answer);
                }
            }
            OfProducers::Told {
                before,
                table,
                is_complete,
            } => self.learn(id, from, *before, table, *is_complete),
        }
    }

    /// What is known here of batches before the offset; nothing while some of them may be missing.
    fn answer(&self, id: u64, before: u64) -> Option<OfProducers> {
        let partition = self.partitions.get(&id)?;
        let (log, replica) = (&partition.log, &partition.replica);
        let has_all = before <= replica.high_watermark().0
            && before <= log.next_offset()
            && !replica.is_beginning_anew()
            && !log.lacks_producers();
        has_all.then(|| {
            let mut table = Vec::new();
            log.producers().before(before).encode(&mut table);
            OfProducers::Told {
                before,
                table,
                is_complete: log.producers_unknown_before().is_none(),
            }
        })
    }

    fn learn(&mut self, id: u64, from: NodeId, before: u64, table: &[u8], is_complete: bool) {
        let inquiry = self.inquiries.get_mut(&id);
        let Some(inquiry) = inquiry.filter(|inquiry| inquiry.before == before) else {
            return;
        };
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        let Some(table) = ProducerTable::decode(table) else {
            let node = from.0;
            tracing::error!(
                partition = id,
                node,
                "told of producers what cannot be read"
            );
            return;
        };
        partition.log.learn_producers(&table.before(before));
        inquiry.told.insert(from);
        if is_complete {
            self.end_inquiry(id, "all is known again");
        }
    }

    fn end_inquiry(&mut self, id: u64, outcome: &str) {
        let Some(inquiry) = self.inquiries.remove(&id) else {
            return;
        };
        if let Some(partition) = self.partitions.get_mut(&id) {
            partition.log.settle_producers();
            let (before, producers) = (inquiry.before, partition.log.producers().len());
            tracing::info!(
                partition = id,
                before,
                producers,
                outcome,
                "asked what deleted records had told of producers"
            );
        }
    }
}

/// Whether a batch was sent before cannot be told for now.
pub(super) fn unknown_producers(id: u64) -> Refusal {
    let detail = format!(
        "whether partition {id} holds the batch already cannot be told yet, for some of its \
         records are damaged or were deleted on this node: it asks the other replicas; try again \
         later"
    );
    Refusal::new(Code::DamagedRecords, detail)
}
