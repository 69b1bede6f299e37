//! Which nodes this one speaks to and listens to, and where they are.
//!
//! A node is told of the others in three ways, and each is needed. Its configuration names some of
//! them from the beginning. The catalog names all members, but what it says when a node starts may
//! be from long ago, until the node sees itself registered. And whoever is heard says where it is,
//! which is never out of date. So of two nodes it is enough that one knows where the other is.
//!
//! A node that is registered listens to members only. Before that it may not know who they are, for
//! the cluster may have changed while it was away, and so it listens to whoever calls.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use quorate_platform::Platform;
use quorate_vsr::NodeId;
use quorate_vsr::group::Membership;
use quorate_wire::ClusterId;

use super::link;
use super::outbox::Outbox;
use crate::config::{Member, NODES_MAX};
use crate::metadata::Catalog;
use crate::peer::PeerHello;

/// The most nodes of which it is remembered where they were heard: twice as many as may be members,
/// for some of them may have left.
const HEARD_MAX: usize = 2 * NODES_MAX;

/// The nodes that this one speaks and listens to. Cheap to clone; all clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Peers {
    links: Rc<RefCell<BTreeMap<NodeId, Link>>>,
    /// Whether others are listened to as well.
    is_open: Rc<Cell<bool>>,
}

#[derive(Debug)]
struct Link {
    outbox: Rc<Outbox>,
    address: Rc<Cell<SocketAddr>>,
}

impl Peers {
    /// Whether `node` is one of them.
    pub(super) fn contains(&self, node: NodeId) -> bool {
        self.links.borrow().contains_key(&node)
    }

    /// Whether what `node` says is listened to.
    pub(super) fn accepts(&self, node: NodeId) -> bool {
        self.is_open.get() || self.contains(node)
    }

    /// Where the control thread of `node` is.
    pub(super) fn address(&self, node: NodeId) -> Option<SocketAddr> {
        let links = self.links.borrow();
        links.get(&node).map(|link| link.address.get())
    }

    /// Sends `frame` to `node`, if it is one of them.
    pub(super) fn send(&self, node: NodeId, frame: Bytes) {
        if let Some(link) = self.links.borrow().get(&node) {
            link.outbox.push(frame);
        }
    }

    /// Sends `frame` to all of them.
    pub(super) fn send_to_all(&self, frame: &Bytes) {
        for link in self.links.borrow().values() {
            link.outbox.push(frame.clone());
        }
    }
}

/// Keeps the links in step with what is known.
pub(super) struct Peering<P: Platform> {
    platform: P,
    cluster: ClusterId,
    /// How this node introduces itself.
    hello: PeerHello,
    configured: BTreeMap<NodeId, SocketAddr>,
    heard: BTreeMap<NodeId, SocketAddr>,
    peers: Peers,
}

impl<P: Platform> Peering<P> {
    pub(super) fn new(
        platform: P,
        cluster: ClusterId,
        hello: PeerHello,
        nodes: &[Member],
        peers: Peers,
    ) -> Self {
        let configured = nodes.iter().map(|it| (NodeId(it.id), it.control_address));
        Self {
            platform,
            cluster,
            hello,
            configured: configured.collect(),
            heard: BTreeMap::new(),
            peers,
        }
    }

    /// The nodes of the configuration, this one too.
    pub(super) fn configured(&self) -> impl Iterator<Item = (NodeId, SocketAddr)> {
        self.configured
            .iter()
            .map(|(node, address)| (*node, *address))
    }

    /// Takes in where a node says that it is.
    pub(super) fn on_heard(&mut self, node: NodeId, address: &str) {
        let is_known = self.heard.contains_key(&node);
        if let Ok(address) = address.parse()
            && (is_known || self.heard.len() < HEARD_MAX)
        {
            self.heard.insert(node, address);
        }
    }

    /// Begins, ends and redirects links as the catalog and the group's membership have it by now.
    pub(super) fn follow(&mut self, catalog: &Catalog, membership: &Membership) {
        let wanted = self.wanted(catalog, membership);
        self.peers.is_open.set(!self.is_registered(catalog));
        let mut links = self.peers.links.borrow_mut();
        links.retain(|node, link| {
            let is_wanted = wanted.contains_key(node);
            if !is_wanted {
                tracing::info!(%node, "no peer any more");
                link.outbox.close();
            }
            is_wanted
        });
        for (node, address) in wanted {
            if let Some(link) = links.get(&node) {
                link.address.set(address);
                continue;
            }
            let outbox = Rc::new(Outbox::new());
            let address = Rc::new(Cell::new(address));
            let hello = PeerHello {
                to: node.0,
                ..self.hello
            };
            let (platform, cluster) = (self.platform.clone(), self.cluster);
            let link = link::run(
                platform.clone(),
                Rc::clone(&address),
                cluster,
                hello,
                Rc::clone(&outbox),
            );
            platform.spawn(link);
            links.insert(node, Link { outbox, address });
        }
    }

    /// Whether the catalog is newer than the configuration.
    fn is_registered(&self, catalog: &Catalog) -> bool {
        catalog.is_registered(self.hello.from(), self.hello.incarnation)
    }

    /// The nodes to speak to, with where they are.
    fn wanted(&self, catalog: &Catalog, membership: &Membership) -> BTreeMap<NodeId, SocketAddr> {
        let is_registered = self.is_registered(catalog);
        let mut nodes: BTreeSet<_> = catalog.members.keys().copied().collect();
        nodes.extend(membership.members().map(|member| member.node));
        if !is_registered {
            nodes.extend(self.configured.keys().chain(self.heard.keys()));
        }
        nodes.remove(&self.hello.from());
        let address = |node: NodeId| {
            let configured = self.configured.get(&node).copied();
            let member = catalog.members.get(&node).map(|it| it.control_address);
            let known = match is_registered {
                true => member.or(configured),
                false => configured.or(member),
            };
            Some((node, self.heard.get(&node).copied().or(known)?))
        };
        nodes.into_iter().filter_map(address).collect()
    }
}

#[cfg(test)]
mod tests {
    use quorate_platform::Compio;

    use super::*;
    use crate::metadata::{Founder, Operation};

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// Node 1, whose configuration names nodes 1 to 3 at ports 7001 to 7003.
    fn peering() -> Peering<Compio> {
        let member = |id| Member {
            id,
            control_address: address(7000 + id),
        };
        let nodes: Vec<_> = (1..=3).map(member).collect();
        let hello = PeerHello {
            from: 1,
            to: 1,
            shard: None,
            incarnation: 5,
            disk: 0,
        };
        Peering::new(Compio, ClusterId(1), hello, &nodes, Peers::default())
    }

    /// Members 1, 2 and 4, at ports 8001, 8002 and 8004.
    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        let founder = |node| Founder {
            node,
            control_address: address(8000 + node).to_string(),
            disk: Some(0),
        };
        catalog.apply(&Operation::Found {
            members: [1, 2, 4].map(founder).to_vec(),
        });
        catalog
    }

    /// The registration of node 1.
    fn registration() -> Operation {
        Operation::NodeUp {
            node: 1,
            incarnation: 5,
            disk: 0,
            control_address: address(8001).to_string(),
            shard_addresses: Vec::new(),
        }
    }

    fn ports(peering: &Peering<Compio>, catalog: &Catalog, group: &[u16]) -> Vec<(u16, u16)> {
        let group: Vec<_> = group.iter().copied().map(NodeId).collect();
        let wanted = peering.wanted(catalog, &Membership::founded_by(&group));
        let wanted = wanted.into_iter();
        wanted
            .map(|(node, address)| (node.0, address.port()))
            .collect()
    }

    #[test]
    fn a_node_that_starts_believes_its_configuration_and_then_the_catalog() {
        let (peering, mut catalog) = (peering(), catalog());
        assert_eq!(
            ports(&peering, &Catalog::default(), &[]),
            [(2, 7002), (3, 7003)]
        );
        assert_eq!(
            ports(&peering, &catalog, &[1]),
            [(2, 7002), (3, 7003), (4, 8004)]
        );
        catalog.apply(&registration());
        assert_eq!(ports(&peering, &catalog, &[1]), [(2, 8002), (4, 8004)]);
        // A node that has left the catalog stays for as long as the group counts on it.
        assert_eq!(
            ports(&peering, &catalog, &[3]),
            [(2, 8002), (3, 7003), (4, 8004)]
        );
    }

    #[test]
    fn whoever_is_heard_says_where_it_is() {
        let (mut peering, mut catalog) = (peering(), catalog());
        peering.on_heard(NodeId(2), "127.0.0.1:9002");
        peering.on_heard(NodeId(9), "127.0.0.1:9009");
        // A stranger may be a member that this node has not heard of yet, until it would have.
        let all = [(2, 9002), (3, 7003), (4, 8004), (9, 9009)];
        assert_eq!(ports(&peering, &catalog, &[]), all);
        catalog.apply(&registration());
        assert_eq!(ports(&peering, &catalog, &[]), [(2, 9002), (4, 8004)]);
        for node in 10..1_000 {
            peering.on_heard(NodeId(node), "127.0.0.1:9999");
        }
        assert_eq!(peering.heard.len(), HEARD_MAX);
    }

    #[compio::test]
    async fn links_come_and_go_with_their_nodes() {
        let mut peering = peering();
        let peers = peering.peers.clone();
        peering.follow(&Catalog::default(), &Membership::default());
        assert!(
            peers.accepts(NodeId(4)),
            "it does not know yet who belongs to the cluster"
        );
        assert!(peers.contains(NodeId(3)) && !peers.contains(NodeId(4)));
        assert_eq!(peers.address(NodeId(2)), Some(address(7002)));
        let outbox = Rc::clone(&peers.links.borrow()[&NodeId(3)].outbox);
        let mut catalog = catalog();
        catalog.apply(&registration());
        peering.follow(&catalog, &Membership::default());
        assert!(!peers.contains(NodeId(3)) && peers.contains(NodeId(4)));
        assert_eq!(peers.address(NodeId(2)), Some(address(8002)));
        assert!(outbox.is_closed() && !peers.accepts(NodeId(3)) && peers.accepts(NodeId(4)));
    }
}
