use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use quorate_platform::Platform;
use quorate_wire::ClusterId;

use crate::Error;
use crate::connection::Connection;
use crate::signal::Slot;

/// What a connection carries. Each use has its own stream to an address, so that neither a large
/// fetch nor a node that takes no more batches holds up anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    Call,
    Produce,
    Fetch,
}

/// The open connections, by address and use.
pub(crate) struct Pool<P> {
    platform: P,
    cluster: Rc<Cell<ClusterId>>,
    connect_timeout: Duration,
    connections: RefCell<BTreeMap<(SocketAddr, Use), Entry>>,
}

enum Entry {
    Opening(Rc<Slot<Result<Rc<Connection>, Error>>>),
    Open(Rc<Connection>),
}

impl<P: Platform> Pool<P> {
    pub(crate) fn new(
        platform: P,
        cluster: Rc<Cell<ClusterId>>,
        connect_timeout: Duration,
    ) -> Rc<Self> {
        let connections = RefCell::default();
        Rc::new(Self {
            platform,
            cluster,
            connect_timeout,
            connections,
        })
    }

    /// The connection to `address`, opened if there is none. All who ask meanwhile share one try.
    pub(crate) async fn get(
        self: &Rc<Self>,
        address: SocketAddr,
        usage: Use,
    ) -> Result<Rc<Connection>, Error> {
        let key = (address, usage);
        let opening = match self.connections.borrow().get(&key) {
            Some(Entry::Open(open)) if !open.is_closed() => return Ok(open.clone()),
            Some(Entry::Opening(opening)) => Some(opening.clone()),
            Some(Entry::Open(_)) | None => None,
        };
        let opening = opening.unwrap_or_else(|| self.start(key));
        opening.share().await
    }

    /// Starts to connect in a task of its own: whoever asked may lose interest, others may not.
    fn start(self: &Rc<Self>, key: (SocketAddr, Use)) -> Rc<Slot<Result<Rc<Connection>, Error>>> {
        let opening = Rc::new(Slot::new());
        self.connections
            .borrow_mut()
            .insert(key, Entry::Opening(opening.clone()));
        let (pool, result) = (self.clone(), opening.clone());
        self.platform.spawn(async move {
            let (cluster, timeout) = (pool.cluster.clone(), pool.connect_timeout);
            let opened = Connection::open(&pool.platform, key.0, cluster, timeout).await;
            let opened = opened.map(Rc::new);
            let mut connections = pool.connections.borrow_mut();
            match &opened {
                Ok(open) => connections.insert(key, Entry::Open(open.clone())),
                Err(_) => connections.remove(&key),
            };
            drop(connections);
            result.fill(opened);
        });
        opening
    }
}

impl<P> std::fmt::Debug for Pool<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("open", &self.connections.borrow().len())
            .finish()
    }
}
