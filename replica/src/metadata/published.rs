use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::Metadata;

/// The newest [`Metadata`], written by the control thread, read by everybody without waiting.
#[derive(Debug)]
pub struct Published {
    current: ArcSwap<Metadata>,
    // Taken by a publication and by a subscription, never by a reader.
    subscribers: Mutex<Vec<flume::Sender<()>>>,
}

impl Published {
    /// Publishes `metadata` as the first.
    pub fn new(metadata: Metadata) -> Self {
        Self {
            current: ArcSwap::from_pointee(metadata),
            subscribers: Mutex::new(Vec::new()),
        }
    }

    /// The newest metadata.
    pub fn load(&self) -> Arc<Metadata> {
        self.current.load_full()
    }

    /// A receiver that gets a token whenever something new is published.
    ///
    /// Tokens do not add up: one stands for everything that came since the last was taken. So take
    /// the token first and [`load`](Self::load) afterwards.
    pub fn subscribe(&self) -> flume::Receiver<()> {
        let (sender, receiver) = flume::bounded(1);
        self.subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sender);
        receiver
    }

    /// Publishes `metadata` and wakes all subscribers.
    pub fn publish(&self, metadata: Metadata) {
        self.current.store(Arc::new(metadata));
        let mut subscribers = self
            .subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // A full channel already holds the token that leads to this metadata.
        subscribers.retain(|sender| {
            !matches!(
                sender.try_send(()),
                Err(flume::TrySendError::Disconnected(()))
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use quorate_vsr::{NodeId, ViewNumber};
    use quorate_wire::ClusterId;

    use super::*;

    #[test]
    fn a_subscriber_is_woken_once_for_all_it_missed() {
        let metadata = Metadata::empty(ClusterId(1), NodeId(1));
        let published = Published::new(metadata.clone());
        let subscription = published.subscribe();
        published.publish(Metadata {
            view: ViewNumber(1),
            ..metadata.clone()
        });
        published.publish(Metadata {
            view: ViewNumber(2),
            ..metadata
        });
        assert_eq!(subscription.try_recv(), Ok(()));
        assert_eq!(subscription.try_recv(), Err(flume::TryRecvError::Empty));
        assert_eq!(published.load().view, ViewNumber(2));
    }
}
