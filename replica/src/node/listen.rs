use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use quorate_platform::Platform;

use crate::error::NodeError;

/// Tries before a busy address is given up, and the wait between them: a second in all.
///
/// When a process is killed, the kernel takes its ring down in the background, and the ring holds
/// on to the sockets. Whoever starts the node again at once must not be turned away for that.
const TRIES: u32 = 20;
const WAIT: Duration = Duration::from_millis(50);

/// Listens on `address`; `purpose` says what for, should it fail.
pub async fn listen<P: Platform>(
    platform: &P,
    address: SocketAddr,
    purpose: &str,
) -> Result<P::Listener, NodeError> {
    for _ in 1..TRIES {
        match platform.listen(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => platform.sleep(WAIT).await,
            result => return result.map_err(|error| failure(address, purpose, error)),
        }
    }
    platform
        .listen(address)
        .await
        .map_err(|error| failure(address, purpose, error))
}

fn failure(address: SocketAddr, purpose: &str, error: io::Error) -> NodeError {
    NodeError::Listen {
        address,
        purpose: purpose.to_owned(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use quorate_platform::{Compio, Listener, Network};

    use super::*;

    #[compio::test]
    async fn a_busy_address_is_named() {
        let busy = Compio.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = busy.local_address().unwrap();
        let Err(error) = listen(&Compio, address, "shard 1").await else {
            panic!("two listen on {address}");
        };
        let text = error.to_string();
        assert!(
            text.contains(&address.to_string()) && text.contains("shard 1"),
            "{text}"
        );
        assert!(text.contains("stop the process"), "{text}");
    }
}
