use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::{FutureExt, select_biased};
use quorate_platform::Platform;
use quorate_wire::ClusterId;

use super::outbox::Outbox;
use crate::peer::{Backoff, Dialled, PeerHello, dial};

/// A link that lasted as long as this was accepted by the other side.
const ACCEPTED_AFTER: Duration = Duration::from_secs(1);

/// Keeps a link to the control thread of one other node and sends what is in `outbox`, until that
/// is closed. Each try goes to where the node is held to be by then.
pub(super) async fn run<P: Platform>(
    platform: P,
    place: Rc<Cell<SocketAddr>>,
    cluster: ClusterId,
    hello: PeerHello,
    outbox: Rc<Outbox>,
) {
    let mut backoff = Backoff::new();
    while !outbox.is_closed() {
        let address = place.get();
        match dial(&platform, address, cluster, hello).await {
            Ok(mut link) => {
                let since = platform.now();
                // What has waited all the while is out of date.
                outbox.clear();
                tracing::debug!(node = hello.to, %address, "reached the control thread of a node");
                send(&mut link, &outbox).await;
                if platform.now() - since >= ACCEPTED_AFTER {
                    backoff.reset();
                }
                tracing::debug!(node = hello.to, %address, "lost the link to a node");
            }
            Err(error) => {
                tracing::trace!(node = hello.to, %address, %error, "cannot reach a node");
            }
        }
        let wait = backoff.after_failure(platform.random());
        // What comes meanwhile is cleared when the link is there again.
        let _ = platform.timeout(wait, outbox.closed()).await;
    }
}

/// Sends until the link ends or the outbox is closed.
async fn send<W: quorate_platform::Writer>(link: &mut Dialled<W>, outbox: &Outbox) {
    loop {
        let frames = select_biased! {
            () = link.ended().fuse() => return,
            frames = outbox.take().fuse() => frames,
        };
        if frames.is_empty() || link.send(frames).await.is_err() {
            return;
        }
    }
}
