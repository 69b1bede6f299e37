use std::fmt;

use bytes::Bytes;
use quorate_vsr::NodeId;
use quorate_wire::{ClusterId, Frame, Kind};
use rkyv::{Archive, Deserialize, Serialize};

/// The first frame of a link: who calls, and whom it means to reach.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerHello {
    /// The node that calls.
    pub from: u16,
    /// The node that it means to reach.
    pub to: u16,
    /// The shard that it means to reach; `None` for the control thread.
    pub shard: Option<u32>,
    /// The caller's incarnation.
    pub incarnation: u64,
    /// Which disk the caller has. What another disk of the same node has promised and acknowledged
    /// is not known there.
    pub disk: u64,
}

impl PeerHello {
    /// The frame that introduces the caller.
    pub fn frame(&self, cluster: ClusterId) -> Bytes {
        Frame::head(Kind::PeerHello, cluster, 0, &quorate_wire::encode(self), 0)
    }

    /// Reads the first frame of a link that reached shard `shard` (or the control thread) of `me`.
    pub fn accept(
        frame: &Frame,
        cluster: ClusterId,
        me: NodeId,
        shard: Option<u32>,
    ) -> Result<Self, HelloRefused> {
        if frame.header.cluster != cluster {
            return Err(HelloRefused::ForeignCluster(frame.header.cluster));
        }
        if frame.header.kind != Kind::PeerHello {
            return Err(HelloRefused::NotHello);
        }
        let hello: Self = quorate_wire::decode(&frame.body).map_err(|_| HelloRefused::NotHello)?;
        if hello.to != me.0 || hello.shard != shard || hello.from == me.0 {
            return Err(HelloRefused::Misdirected(hello));
        }
        Ok(hello)
    }

    /// The node that calls.
    pub const fn from(&self) -> NodeId {
        NodeId(self.from)
    }
}

/// Why a link is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloRefused {
    /// It comes from another cluster.
    ForeignCluster(ClusterId),
    /// It does not start with an introduction.
    NotHello,
    /// It means to reach somebody else.
    Misdirected(PeerHello),
}

impl fmt::Display for HelloRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignCluster(cluster) => write!(
                f,
                "it belongs to cluster {cluster}: check the addresses of the nodes in its \
                 configuration"
            ),
            Self::NotHello => f.write_str("it did not introduce itself"),
            Self::Misdirected(hello) => write!(
                f,
                "node {} means to reach node {}{}: check the addresses in its configuration",
                hello.from,
                hello.to,
                hello
                    .shard
                    .map(|shard| format!(", shard {shard}"))
                    .unwrap_or_default(),
            ),
        }
    }
}

impl std::error::Error for HelloRefused {}
