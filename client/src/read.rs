//! Questions to which only the truth is an answer.

use quorate_platform::Platform;
use quorate_wire::{ClusterMetadata, Consistency, Request, Response};

use crate::Error;
use crate::client::Inner;
use crate::session::without_effect;

impl<P: Platform> Inner<P> {
    /// Nodes and topics, with everything that anybody was told before this call: from the primary,
    /// and from nobody else.
    ///
    /// Asks until [`operation_timeout`](crate::ClientConfig::operation_timeout), because there may
    /// be a primary soon.
    pub(crate) async fn read(
        &self,
        topics: Option<Vec<String>>,
        what: &str,
    ) -> Result<ClusterMetadata, Error> {
        let request = Request::Metadata {
            topics: topics.clone(),
            consistency: Consistency::Linearizable,
        };
        let answer = self.ask_primary(&request, what).await;
        let (address, response) = answer.map_err(without_effect)?;
        let Response::Metadata(metadata) = response else {
            return Err(Error::unexpected(address, &response));
        };
        self.metadata.learn(address, topics.as_deref(), &metadata)?;
        Ok(metadata)
    }
}
