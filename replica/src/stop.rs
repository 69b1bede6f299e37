use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

/// A request to stop, made once, seen by every thread that holds a clone.
#[derive(Clone, Debug)]
pub struct Stop {
    // Nothing is ever sent: dropping the only sender wakes all who wait, on whichever thread.
    sender: Arc<Mutex<Option<flume::Sender<Infallible>>>>,
    receiver: flume::Receiver<Infallible>,
}

impl Stop {
    /// A request that has not been made yet.
    pub fn new() -> Self {
        let (sender, receiver) = flume::bounded(0);
        Self {
            sender: Arc::new(Mutex::new(Some(sender))),
            receiver,
        }
    }

    /// Makes the request. Doing so again changes nothing.
    pub fn set(&self) {
        drop(
            self.sender
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }

    /// Whether the request has been made.
    pub fn is_set(&self) -> bool {
        self.receiver.is_disconnected()
    }

    /// Completes once the request has been made.
    pub async fn wait(&self) {
        // The only result is that the sender is gone.
        let _ = self.receiver.recv_async().await;
    }

    /// Blocks the thread until the request has been made.
    pub fn wait_blocking(&self) {
        let _ = self.receiver.recv();
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_reaches_every_clone_and_thread() {
        let stop = Stop::new();
        assert!(!stop.is_set());
        let clone = stop.clone();
        let waiting = std::thread::spawn(move || {
            clone.wait_blocking();
            clone.is_set()
        });
        stop.set();
        stop.set();
        assert!(stop.is_set());
        assert!(waiting.join().unwrap());
    }
}
