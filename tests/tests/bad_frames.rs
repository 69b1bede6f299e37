//! Whatever comes in at any port: the connection may end, the node may not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use quorate_jepsen::Cluster;
use quorate_tests::{assert_no_panic, assert_works, cluster_with_topic, sure, take_turn};

/// The fixed header of a frame.
const HEADER_BYTES: usize = 48;

fn addresses(cluster: &Cluster) -> Vec<String> {
    let of = |id| {
        let node = cluster.description(id);
        let shards = node.shard_addresses.iter().cloned();
        shards
            .chain([node.control_address.clone()])
            .collect::<Vec<_>>()
    };
    cluster.node_ids().into_iter().flat_map(of).collect()
}

/// Bytes without a pattern, the same every time.
fn noise(len: usize, mut seed: u32) -> Vec<u8> {
    let next = || {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// What no client should send. All of it is longer than a header or says that nothing follows.
fn garbage() -> Vec<Vec<u8>> {
    let mut magic_only = b"QRTF".to_vec();
    magic_only.extend(noise(HEADER_BYTES, 7));
    vec![
        noise(HEADER_BYTES, 1),
        noise(1 << 20, 2),
        vec![0; 1 << 16],
        vec![0xff; 1 << 16],
        magic_only,
        b"GET / HTTP/1.1\r\nHost: quorate\r\nAccept: text/html, */*\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(8),
    ]
}

/// Sends the bytes and returns when the node has hung up. A node that hangs up on the way makes
/// the rest of the writing fail, which is fine.
fn send_until_hung_up(address: &str, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn garbage_on_any_port_harms_nobody() {
    let _turn = take_turn();
    let cluster = cluster_with_topic(1);
    for address in addresses(&cluster) {
        for bytes in garbage() {
            send_until_hung_up(&address, &bytes);
        }
    }
    assert_no_panic(&cluster);
    assert_works(&cluster);
}

#[test]
fn half_a_frame_and_silence_holds_up_nobody() {
    let _turn = take_turn();
    let cluster = cluster_with_topic(1);
    let mut silent = Vec::new();
    for address in addresses(&cluster) {
        for sent in [0, 1, HEADER_BYTES / 2, HEADER_BYTES - 1] {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream
                .write_all(&b"QRTF".repeat(HEADER_BYTES)[..sent])
                .unwrap();
            silent.push(stream);
        }
    }
    assert_works(&cluster);
    for stream in silent {
        let _ = stream.shutdown(Shutdown::Both);
    }
    assert_no_panic(&cluster);
}

#[test]
fn crowd_of_connections_is_survived() {
    let _turn = take_turn();
    let cluster = cluster_with_topic(1);
    let address = &addresses(&cluster)[0];
    let connect = |_| TcpStream::connect(address);
    let crowd: Vec<_> = (0..500).map_while(|place| connect(place).ok()).collect();
    assert!(!crowd.is_empty());
    drop(crowd);
    assert_works(&cluster);
    let running = |id: &u16| cluster.is_running(*id);
    assert!(cluster.node_ids().iter().all(running));
    sure(cluster.wait_whole(quorate_jepsen::PATIENCE));
}
