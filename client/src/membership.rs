//! Changes of the cluster itself.
//!
//! Each is a wish that the cluster takes note of and then fulfils step by step. The metadata tells
//! how far that is: [`ClusterMetadata::members`](quorate_wire::ClusterMetadata::members). To ask
//! for the same twice changes nothing.

use std::net::SocketAddr;

use quorate_platform::Platform;
use quorate_wire::{ControlOperation, Request, Response};

use crate::{Client, Error};

impl<P: Platform> Client<P> {
    /// Has node `node` belong to the cluster; it may be started before or after that.
    pub async fn add_node(&self, node: u16, control_address: SocketAddr) -> Result<(), Error> {
        let operation = ControlOperation::AddNode {
            node,
            control_address: control_address.to_string(),
        };
        self.wish(operation, &format!("adding node {node}")).await
    }

    /// Has node `node` leave: what it holds goes to other nodes, then it is dropped.
    ///
    /// Refused if there is no other node for a partition, unless it `may_shrink`.
    pub async fn remove_node(&self, node: u16, may_shrink: bool) -> Result<(), Error> {
        let operation = ControlOperation::RemoveNode { node, may_shrink };
        self.wish(operation, &format!("removing node {node}")).await
    }

    /// Gives up what was on the lost disk of node `node`, which must be there with an empty one.
    pub async fn recover_node(&self, node: u16) -> Result<(), Error> {
        let operation = ControlOperation::RecoverNode { node };
        self.wish(operation, &format!("recovering node {node}"))
            .await
    }

    /// Has node `to` become the primary of the control plane.
    ///
    /// The answer comes before that has happened, and it may not happen.
    pub async fn transfer_primary(&self, to: u16) -> Result<(), Error> {
        let what = format!("having node {to} become the primary");
        let request = Request::Transfer { to };
        let (address, response) = self.inner.ask_primary(&request, &what).await?;
        match response {
            Response::TransferBegun => Ok(()),
            other => Err(Error::unexpected(address, &other)),
        }
    }
}
