use std::time::Duration;

use bytes::Bytes;
use quorate_client::{Client, ClientConfig, Compio, Error};
use quorate_platform::{Listener, Network, Tasks, Writer};
use quorate_wire::{ClusterId, ClusterMetadata, Request, Response};

use crate::cluster::Cluster;
use crate::world::Twist;

/// An address at which nobody listens.
async fn closed_address() -> String {
    let listener = Compio.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    listener.local_address().unwrap().to_string()
}

#[compio::test]
async fn bootstrap_names_every_address_and_why_it_failed() {
    let closed = closed_address().await;
    let config = ClientConfig::new([closed.as_str(), "no-port", "127.0.0.1:no"]);
    let error = Client::connect(Compio, config).await.unwrap_err();
    let Error::Bootstrap { failures } = &error else {
        panic!("{error}")
    };
    assert_eq!(failures.len(), 3);
    for name in [closed.as_str(), "no-port", "127.0.0.1:no"] {
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[compio::test]
async fn bootstrap_without_any_address_says_what_to_give() {
    let config = ClientConfig::new(Vec::<String>::new());
    let error = Client::connect(Compio, config).await.unwrap_err();
    assert!(error.to_string().contains("HOST:PORT"), "{error}");
}

#[compio::test]
async fn one_node_that_answers_is_enough() {
    let cluster = Cluster::start(1).await;
    let addresses = [closed_address().await, cluster.address(1).to_string()];
    let client = Client::connect(Compio, ClientConfig::new(addresses))
        .await
        .unwrap();
    assert_eq!(client.cluster_id(), ClusterId(0xc1));
}

/// Such is a node that has lost its disk.
#[compio::test]
async fn a_node_that_knows_nobody_keeps_nobody_from_asking_others() {
    let cluster = Cluster::start(2).await;
    cluster.world().primary = 2;
    cluster.script(|world, node, request| match request {
        Request::Metadata { .. } if node == 1 => {
            let nothing = ClusterMetadata {
                cluster: world.cluster.0,
                version: 0,
                view: 0,
                primary: 0,
                members: Vec::new(),
                nodes: Vec::new(),
                topics: Vec::new(),
            };
            Twist::Claim(Response::Metadata(nothing), Bytes::new())
        }
        _ => Twist::Pass,
    });
    let addresses = [1, 2].map(|node| cluster.address(node).to_string());
    let client = Client::connect(Compio, ClientConfig::new(addresses))
        .await
        .unwrap();
    client.create_topic("orders", 1, 1).await.unwrap();
    assert_eq!(client.list_topics().await.unwrap().len(), 1);
}

#[compio::test]
async fn a_node_that_accepts_and_says_nothing_holds_nobody_up() {
    let silent = Compio.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let cluster = Cluster::start(1).await;
    let addresses = [
        silent.local_address().unwrap().to_string(),
        cluster.address(1).to_string(),
    ];
    let config = ClientConfig {
        request_timeout: Duration::from_secs(3600),
        suspicion_timeout: Duration::from_millis(10),
        ..ClientConfig::new(addresses)
    };
    Client::connect(Compio, config).await.unwrap();
}

#[compio::test]
async fn what_does_not_speak_the_protocol_is_a_clear_error() {
    let listener = Compio.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_address().unwrap().to_string();
    Compio.spawn(async move {
        while let Ok((_reader, mut writer, _)) = listener.accept().await {
            let said = Bytes::from_static(
                b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
            writer.write_all(vec![said]).await.unwrap();
        }
    });
    let error = Client::connect(Compio, ClientConfig::new([address]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("HTTP"), "{error}");
    assert!(error.to_string().contains("right port"), "{error}");
}

#[compio::test]
async fn half_a_frame_and_then_nothing_is_a_clear_error() {
    let cluster = Cluster::start(1).await;
    cluster.script(|_, _, _| Twist::Say(b"QRTF and no more"));
    let config = ClientConfig {
        request_timeout: Duration::from_millis(100),
        ..ClientConfig::new([cluster.address(1).to_string()])
    };
    let error = Client::connect(Compio, config).await.unwrap_err();
    assert!(error.to_string().contains("unanswered"), "{error}");
}

#[compio::test]
async fn a_node_of_another_cluster_is_named() {
    let cluster = Cluster::start(2).await;
    let foreign = Cluster::start_as(1, ClusterId(0xf0)).await;
    let stranger = foreign.address(1).to_string();
    cluster.world().nodes[1].control_address = stranger.clone();
    let client = cluster.client().await;
    let nodes = client.describe_nodes().await.unwrap();
    assert!(nodes[0].status.is_ok());
    let error = nodes[1].status.as_ref().unwrap_err();
    assert!(matches!(error, Error::ForeignCluster { .. }), "{error}");
    assert!(error.to_string().contains(&stranger), "{error}");
}

#[compio::test]
async fn an_answer_to_nothing_that_was_asked_ends_the_connection() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    cluster.script(|_, _, request| match request {
        quorate_wire::Request::Status => Twist::Claim(
            quorate_wire::Response::Produced { base_offset: 7 },
            Bytes::new(),
        ),
        _ => Twist::Pass,
    });
    let nodes = client.describe_nodes().await.unwrap();
    let error = nodes[0].status.as_ref().unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
}
