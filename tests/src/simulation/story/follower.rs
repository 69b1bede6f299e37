use std::cell::RefCell;
use std::rc::Rc;

use quorate_client::{ConsumerConfig, Start};

use super::{PATIENCE, Story, TOPIC};

/// A consumer that follows the topic for the rest of the story.
#[derive(Clone, Debug, Default)]
pub struct Follower(Rc<RefCell<Followed>>);

#[derive(Debug, Default)]
struct Followed {
    is_open: bool,
    /// The offsets that came, in their order.
    offsets: Vec<u64>,
    /// What it was told instead of a record.
    errors: Vec<String>,
}

impl Follower {
    /// The offsets that came so far.
    pub fn offsets(&self) -> Vec<u64> {
        self.0.borrow().offsets.clone()
    }
}

impl Story {
    /// Has a consumer follow the topic from now on.
    #[track_caller]
    pub fn follow(&mut self, start: Start) -> Follower {
        let follower = Follower::default();
        let (told, client) = (follower.clone(), Rc::clone(&self.client));
        self.cluster.spawn(move |_| async move {
            let config = ConsumerConfig {
                start,
                ..ConsumerConfig::default()
            };
            let consumer = client.consumer(TOPIC, config).await;
            let mut consumer = consumer.expect("the topic can be read when this begins");
            told.0.borrow_mut().is_open = true;
            loop {
                let next = consumer.next().await;
                let mut followed = told.0.borrow_mut();
                match next {
                    Ok(Some(record)) => followed.offsets.push(record.offset),
                    Ok(None) => unreachable!("it reads for ever"),
                    Err(error) => followed.errors.push(error.to_string()),
                }
            }
        });
        self.wait_until("a consumer begins", |_| follower.0.borrow().is_open);
        follower
    }

    /// The consumer gets exactly the offsets of `range`, one after the other, without a word of
    /// trouble.
    #[track_caller]
    pub fn expect_followed(&mut self, follower: &Follower, range: std::ops::Range<u64>) {
        let expected: Vec<u64> = range.collect();
        self.pass(PATIENCE, |_| {
            follower.0.borrow().offsets.len() >= expected.len()
        });
        let followed = follower.0.borrow();
        let is_so = followed.offsets == expected && followed.errors.is_empty();
        self.require(is_so, format!("{followed:?} is not {expected:?}"));
    }
}
