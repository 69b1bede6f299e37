use std::time::Duration;

use quorate_client::{Client, ClientConfig, ClusterMetadata, Compio};

use super::{Bootstrap, Failure};

/// A client of the cluster at `bootstrap`.
pub(crate) async fn connect(bootstrap: &Bootstrap) -> Result<Client<Compio>, Failure> {
    Ok(Client::connect(Compio, ClientConfig::new(bootstrap.hosts())).await?)
}

/// Like [`connect`], for a command that has only `patience` for each operation.
pub(crate) async fn connect_patiently(
    bootstrap: &Bootstrap,
    patience: Duration,
) -> Result<Client<Compio>, Failure> {
    let mut config = ClientConfig::new(bootstrap.hosts());
    config.operation_timeout = config.operation_timeout.min(patience);
    Ok(Client::connect(Compio, config).await?)
}

/// Like [`connect`], for a command that asks once and would rather say soon who is silent.
pub(crate) async fn connect_briefly(bootstrap: &Bootstrap) -> Result<Client<Compio>, Failure> {
    let config = ClientConfig {
        connect_timeout: Duration::from_secs(1),
        request_timeout: Duration::from_secs(2),
        ..ClientConfig::new(bootstrap.hosts())
    };
    Ok(Client::connect(Compio, config).await?)
}

/// On how many nodes a partition is held where nobody says: three, or as many as there are.
pub(crate) fn default_replication(metadata: &ClusterMetadata) -> u16 {
    let is_staying = |id| metadata.member(id).is_some_and(|it| !it.is_leaving);
    let nodes = metadata.nodes.iter().filter(|node| is_staying(node.id));
    u16::try_from(nodes.count()).unwrap_or(u16::MAX).clamp(1, 3)
}
