use std::net::{Ipv4Addr, TcpListener};

use rand::RngExt;

use crate::Failure;

/// Below the range from which systems hand out ports to outgoing connections.
const PORTS: std::ops::Range<u16> = 10_240..32_000;
const TRIES_MAX: u32 = 200;

/// The first of `count` neighbouring ports that are all free right now.
///
/// Nothing reserves them: whoever starts something on them must be ready to try another block.
pub fn free_block(count: u16) -> Result<u16, Failure> {
    let mut random = rand::rng();
    for _ in 0..TRIES_MAX {
        let base = random.random_range(PORTS.start..PORTS.end - count);
        if is_free(base, count) {
            return Ok(base);
        }
    }
    Err(Failure::new(format!(
        "found no {count} neighbouring free ports in {PORTS:?}"
    )))
}

/// Whether each of the ports can be listened on.
pub(crate) fn is_free(base: u16, count: u16) -> bool {
    let listen = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    // All are held until the last is tried, which costs nothing and is exact.
    let listeners: Result<Vec<_>, _> = (base..base + count).map(listen).collect();
    listeners.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_with_one_busy_port_is_not_free() {
        let base = free_block(4).unwrap();
        let _busy = TcpListener::bind((Ipv4Addr::LOCALHOST, base + 2)).unwrap();
        assert!(!is_free(base, 4));
        assert!(is_free(base, 2));
    }
}
