use bytes::Bytes;
use quorate_platform::Platform;
use quorate_wire::{Code, Refusal, Request, Response};

use crate::backoff::Backoff;
use crate::client::Inner;
use crate::{Certainty, Client, Error};

impl<P: Platform> Client<P> {
    /// Deletes the records of a partition before the offset `before`, or all that are committed;
    /// the first offset that is still there.
    ///
    /// They can be read by nobody any more once this has succeeded, whoever leads then. Batches go
    /// as a whole: of one that reaches over `before` nothing goes. The space on the disks becomes
    /// free a segment at a time. To ask twice changes nothing, so it is retried until
    /// [`operation_timeout`](crate::ClientConfig::operation_timeout).
    pub async fn delete_records(
        &self,
        topic: &str,
        partition: u32,
        before: Option<u64>,
    ) -> Result<u64, Error> {
        self.inner.delete_records(topic, partition, before).await
    }
}

impl<P: Platform> Inner<P> {
    async fn delete_records(
        &self,
        topic: &str,
        index: u32,
        before: Option<u64>,
    ) -> Result<u64, Error> {
        let started = self.platform.now();
        let after = self.config.operation_timeout;
        let name = topic.escape_debug();
        let what = format!("deleting records of topic \"{name}\" partition {index}");
        let mut backoff = Backoff::new();
        let mut target = None;
        let mut certainty = Certainty::Definite;
        loop {
            let tried = self.try_delete(topic, index, before, &mut target, &what);
            let failure = match tried.await {
                Ok(log_start) => return Ok(log_start),
                Err(failure) => failure,
            };
            if failure.certainty() == Certainty::Indefinite {
                certainty = Certainty::Indefinite;
            }
            // A refusal says nothing about the tries before it.
            let is_final = !failure.is_retriable();
            if is_final && certainty == Certainty::Definite {
                return Err(failure);
            }
            if is_final || self.platform.now().since(started) >= after {
                return Err(Error::Deadline {
                    what,
                    after,
                    certainty,
                    last: Some(Box::new(failure)),
                });
            }
            self.before_next_try(&mut backoff).await;
        }
    }

    /// One try, at whoever leads. The first one decides which partition is meant: a topic created
    /// again under its name is another one.
    async fn try_delete(
        &self,
        topic: &str,
        index: u32,
        before: Option<u64>,
        target: &mut Option<u64>,
        what: &str,
    ) -> Result<u64, Error> {
        let refused = |refusal: Refusal| Error::Refused {
            what: what.to_owned(),
            refusal,
        };
        let known = self.metadata.topic(topic).await?;
        let info = known.partition(index).map_err(refused)?;
        if *target.get_or_insert(info.id) != info.id {
            let detail = format!(
                "topic \"{}\" was deleted, and created again under its name",
                topic.escape_debug()
            );
            return Err(refused(Refusal::new(Code::UnknownPartition, detail)));
        }
        self.delete_at(info.leader, info.id, before, what).await
    }

    async fn delete_at(
        &self,
        node: u16,
        partition: u64,
        before: Option<u64>,
        what: &str,
    ) -> Result<u64, Error> {
        let address = self.metadata.shard_address(node, partition)?;
        let request = Request::DeleteRecords { partition, before };
        let answer = self.call(address, &request, Bytes::new()).await?;
        match answer.response {
            Response::RecordsDeleted { log_start_offset } => Ok(log_start_offset),
            Response::Refused(refusal) => Err(Error::Refused {
                what: what.to_owned(),
                refusal,
            }),
            other => Err(Error::unexpected(address, &other)),
        }
    }
}
