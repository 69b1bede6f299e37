use bytes::Bytes;
use quorate_platform::Platform;
use quorate_wire::{Request, Response};

use crate::backoff::Backoff;
use crate::client::Inner;
use crate::{Client, Error};

/// Where the records of a partition since some time begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// The offset of the first record that is late enough, or the high watermark if there is none.
    /// Of a batch that is compressed: its first offset.
    pub offset: u64,
    /// The record's timestamp, in milliseconds since 1970; `None` if there is none. Of a batch that
    /// is compressed: its greatest timestamp.
    pub timestamp: Option<i64>,
}

impl<P: Platform> Client<P> {
    /// Looks for the first committed record with a timestamp of `timestamp` or later, in
    /// milliseconds since 1970.
    ///
    /// Timestamps are what the producers gave, so records behind it may be of an earlier time. Only
    /// a leader answers that knows all that was ever committed. It is waited for, and asked again,
    /// until [`operation_timeout`](crate::ClientConfig::operation_timeout).
    pub async fn since(&self, topic: &str, partition: u32, timestamp: i64) -> Result<Since, Error> {
        self.inner.since(topic, partition, timestamp).await
    }
}

impl<P: Platform> Inner<P> {
    pub(crate) async fn since(
        &self,
        topic: &str,
        index: u32,
        timestamp: i64,
    ) -> Result<Since, Error> {
        let started = self.platform.now();
        let name = topic.escape_debug();
        let what = format!("looking for a time in topic \"{name}\" partition {index}");
        let mut backoff = Backoff::new();
        loop {
            let failure = match self.try_since(topic, index, timestamp, &what).await {
                Ok(Some(since)) => return Ok(since),
                Ok(None) => None,
                Err(failure) if failure.is_retriable() => Some(failure),
                Err(failure) => return Err(failure),
            };
            self.check_deadline(started, failure, || what.clone())?;
            self.before_next_try(&mut backoff).await;
        }
    }

    /// One try, at whoever leads; `None` if that is out of date.
    async fn try_since(
        &self,
        topic: &str,
        index: u32,
        timestamp: i64,
        what: &str,
    ) -> Result<Option<Since>, Error> {
        let refused = |refusal| Error::Refused {
            what: what.to_owned(),
            refusal,
        };
        let known = self.metadata.topic(topic).await?;
        let info = known.partition(index).map_err(refused)?;
        let address = self.metadata.shard_address(info.leader, info.id)?;
        let request = Request::Lookup {
            partition: info.id,
            timestamp,
        };
        let answer = self.call(address, &request, Bytes::new()).await?;
        match answer.response {
            // The leader of another epoch than the one that is known here may be an old one, which
            // has not heard of its successor.
            Response::Found { epoch, .. } if epoch != info.epoch => Ok(None),
            Response::Found {
                offset, timestamp, ..
            } => Ok(Some(Since { offset, timestamp })),
            Response::Refused(refusal) => Err(refused(refusal)),
            other => Err(Error::unexpected(address, &other)),
        }
    }
}
