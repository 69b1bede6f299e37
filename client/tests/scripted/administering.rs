use std::cell::Cell;

use quorate_client::{Certainty, Client, Code, Error, Refusal};
use quorate_platform::Compio;
use quorate_wire::{Consistency, Request, Response};

use crate::cluster::Cluster;
use crate::world::Twist;

fn is_control(request: &Request) -> bool {
    matches!(request, Request::Control { .. })
}

#[compio::test]
async fn operations_find_the_primary() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    // The client does not know yet that the primary has changed.
    cluster.world().primary = 3;
    let topic = client.create_topic("orders", 4, 3).await.unwrap();
    assert_eq!(topic.partitions.len(), 4);
    let topics = client.list_topics().await.unwrap();
    assert_eq!(topics.len(), 1);
}

#[compio::test]
async fn an_operation_whose_answer_is_lost_is_done_once() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let cuts = Cell::new(3);
    cluster.script(move |_, _, request| {
        if is_control(request) && cuts.get() > 0 {
            cuts.set(cuts.get() - 1);
            return Twist::ApplyThenCut;
        }
        Twist::Pass
    });
    // A second execution would find that the topic exists.
    client.create_topic("orders", 1, 3).await.unwrap();
    assert_eq!(cluster.count(is_control), 4);
    let error = client.create_topic("orders", 1, 3).await.unwrap_err();
    assert!(error.to_string().contains("exists"), "{error}");
}

#[compio::test]
async fn a_session_that_the_cluster_forgot_is_replaced() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    client.create_topic("one", 1, 1).await.unwrap();
    cluster.world().forget_sessions();
    client.create_topic("two", 1, 1).await.unwrap();
    client.delete_topic("one").await.unwrap();
    assert_eq!(client.list_topics().await.unwrap().len(), 1);
}

#[compio::test]
async fn an_operation_that_was_never_done_fails_definitely() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    cluster.script(|_, _, request| match request {
        Request::Register { .. } => Twist::Refuse(Refusal::new(Code::Overloaded, "too much to do")),
        _ => Twist::Pass,
    });
    let error = client.create_topic("orders", 1, 1).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
    assert_eq!(error.certainty(), Certainty::Definite);
    assert!(error.to_string().contains("too much to do"), "{error}");
}

#[compio::test]
async fn an_operation_without_a_primary_to_send_it_to_fails_definitely() {
    let cluster = Cluster::start(1).await;
    // Nobody is the primary.
    cluster.world().primary = 0;
    let client = cluster.client().await;
    let control = client.create_topic("orders", 1, 1);
    let error = control.await.unwrap_err();
    assert_eq!(error.certainty(), Certainty::Definite, "{error}");
    assert!(error.to_string().contains("no primary"), "{error}");
    // The same with a session, from before the primary was lost.
    cluster.world().primary = 1;
    client.create_topic("orders", 1, 1).await.unwrap();
    cluster.world().primary = 0;
    client.cluster_metadata().await.unwrap();
    let error = client.delete_topic("orders").await.unwrap_err();
    assert_eq!(error.certainty(), Certainty::Definite, "{error}");
}

#[compio::test]
async fn nodes_that_do_not_know_yet_are_asked_again() {
    let cluster = Cluster::start(3).await;
    cluster.world().add_topic("orders", 1);
    let client = cluster.client().await;
    let asked = Cell::new(0);
    cluster.script(move |_, _, request| match request {
        Request::Metadata { topics, .. } if topics.as_ref().is_none_or(|it| !it.is_empty()) => {
            asked.set(asked.get() + 1);
            // More often than there are nodes.
            match asked.get() % 6 {
                0 => Twist::Pass,
                _ => Twist::Refuse(Refusal::new(Code::Unavailable, "it has just started")),
            }
        }
        _ => Twist::Pass,
    });
    assert_eq!(client.list_topics().await.unwrap().len(), 1);
    assert!(client.describe_topic("orders").await.is_ok());
    assert!(client.offsets("orders", 0).await.is_ok());

    cluster.script(|_, _, request| match request {
        Request::Metadata { .. } => Twist::Refuse(Refusal::new(Code::Unavailable, "it waits")),
        _ => Twist::Pass,
    });
    let error = client.list_topics().await.unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
    assert!(error.to_string().contains("it waits"), "{error}");
}

#[compio::test]
async fn an_operation_of_unknown_outcome_fails_indefinitely() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    cluster.script(|_, _, request| match request {
        Request::Control { .. } => Twist::ApplyThenHold,
        _ => Twist::Pass,
    });
    let error = client.create_topic("orders", 1, 1).await.unwrap_err();
    assert_eq!(error.certainty(), Certainty::Indefinite, "{error}");
    cluster.world().script = None;
    // The next operation does not reuse the number of the one that is undecided.
    client.create_topic("invoices", 1, 1).await.unwrap();
}

#[compio::test]
async fn descriptions_ask_followers_if_the_leader_does_not_answer() {
    let cluster = Cluster::start(3).await;
    cluster.world().add_topic("orders", 3);
    let client = cluster.client().await;
    cluster.script(|_, node, request| match request {
        Request::Describe { .. } if node == 1 => Twist::Cut,
        _ => Twist::Pass,
    });
    let topic = client.describe_topic("orders").await.unwrap();
    let tellers: Vec<u16> = topic
        .partitions
        .iter()
        .map(|partition| partition.status.as_ref().unwrap().node)
        .collect();
    assert_eq!(tellers, [2, 2, 3]);
}

/// What is asked of the primary alone is not answered by whoever takes itself for it no more.
#[compio::test]
async fn topics_are_read_from_the_primary_wherever_it_is() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    for primary in [2, 3, 1] {
        cluster.world().primary = primary;
        cluster.world().add_topic(&format!("of-{primary}"), 1);
        let asked = std::rc::Rc::new(Cell::new(0));
        let count = asked.clone();
        cluster.script(move |_, node, request| {
            if let Request::Metadata {
                consistency: Consistency::Linearizable,
                ..
            } = request
            {
                count.set(node);
            }
            Twist::Pass
        });
        let topics = client.list_topics().await.unwrap();
        assert_eq!(asked.get(), primary);
        assert!(topics.iter().any(|it| it.name == format!("of-{primary}")));
    }
}

#[compio::test]
async fn nodes_are_told_with_a_doubt_while_no_primary_confirms_them() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let told = client.describe_cluster().await.unwrap();
    assert_eq!((told.nodes.len(), told.doubt.is_none()), (3, true));
    cluster.world().primary = 0;
    let told = client.describe_cluster().await.unwrap();
    assert_eq!(told.nodes.len(), 3);
    let doubt = told.doubt.unwrap().to_string();
    assert!(doubt.contains("list of nodes"), "{doubt}");
    assert!(client.describe_nodes().await.is_err());
}

#[compio::test]
async fn an_unknown_topic_is_named() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let error = client.describe_topic("nowhere").await.unwrap_err();
    let Error::Refused { refusal, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(refusal.code, Code::UnknownTopic);
    assert!(error.to_string().contains("nowhere"), "{error}");
    assert!(client.offsets("nowhere", 0).await.is_err());
}

#[compio::test]
async fn a_topic_that_only_the_primary_has_heard_of_is_found() {
    let cluster = Cluster::start(2).await;
    cluster.world().primary = 2;
    let client = cluster.client().await;
    cluster.world().add_topic("new", 1);
    cluster.script(|world, node, request| match request {
        Request::Metadata { .. } if node == 1 => {
            let old = Request::Metadata {
                topics: Some(Vec::new()),
                consistency: Consistency::AsKnown,
            };
            let (response, payload) = world.carry_out(node, &old, &[]);
            let quorate_wire::Response::Metadata(mut metadata) = response else {
                unreachable!()
            };
            metadata.version -= 1;
            Twist::Claim(quorate_wire::Response::Metadata(metadata), payload)
        }
        _ => Twist::Pass,
    });
    assert!(client.offsets("new", 0).await.is_ok());
}

/// Takes the place of a topic of one partition with another one of its name; the client that has
/// done that, and what the nodes had told of the first one.
async fn renew_topic(cluster: &Cluster, partitions: u32) -> (Client<Compio>, Response) {
    cluster.world().add_topic("orders", 1);
    let asked = Request::Metadata {
        topics: Some(vec!["orders".to_owned()]),
        consistency: Consistency::AsKnown,
    };
    let (old, _) = cluster.world().carry_out(1, &asked, &[]);
    let client = cluster.client().await;
    client.delete_topic("orders").await.unwrap();
    client.create_topic("orders", partitions, 1).await.unwrap();
    client.topic_info("orders").await.unwrap();
    (client, old)
}

#[compio::test]
async fn a_topic_is_not_taken_for_the_one_that_had_its_name_before() {
    let cluster = Cluster::start(2).await;
    cluster.world().primary = 2;
    let (client, old) = renew_topic(&cluster, 2).await;
    // Nobody but the primary has heard of it, and the primary says so only if it must.
    cluster.script(move |_, _, request| match request {
        Request::Metadata {
            consistency: Consistency::AsKnown,
            ..
        } => Twist::Claim(old.clone(), bytes::Bytes::new()),
        _ => Twist::Pass,
    });
    assert!(client.offsets("orders", 1).await.is_ok());
}

#[compio::test]
async fn nodes_that_know_less_than_the_client_are_not_believed() {
    let cluster = Cluster::start(1).await;
    let (client, old) = renew_topic(&cluster, 1).await;
    cluster.script(move |_, _, request| match request {
        Request::Metadata { .. } => Twist::Claim(old.clone(), bytes::Bytes::new()),
        _ => Twist::Pass,
    });
    let error = client.offsets("orders", 0).await.unwrap_err();
    assert!(error.to_string().contains("have not heard"), "{error}");
}

#[compio::test]
async fn wishes_for_the_cluster_find_the_primary() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    client.transfer_primary(2).await.unwrap();
    // The client does not know yet that it has changed.
    client.transfer_primary(3).await.unwrap();
    assert_eq!(client.cluster_metadata().await.unwrap().primary, 3);
    cluster.world().primary = 1;
    let address = "127.0.0.1:7433".parse().unwrap();
    client.add_node(4, address).await.unwrap();
    client.remove_node(4, true).await.unwrap();
    client.recover_node(3).await.unwrap();
    client.create_topic("orders", 1, 3).await.unwrap();
    client.alter_topic("orders", Some(0), &[1]).await.unwrap();
    assert_eq!(client.topic_info("orders").await.unwrap().name, "orders");
}

#[compio::test]
async fn records_are_deleted_where_the_partition_is_led() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    client.create_topic("orders", 1, 3).await.unwrap();
    cluster.world().partition("orders", 0).next_offset = 100;
    let cuts = Cell::new(2);
    cluster.script(move |_, _, request| match request {
        Request::DeleteRecords { .. } if cuts.get() > 0 => {
            cuts.set(cuts.get() - 1);
            Twist::ApplyThenCut
        }
        _ => Twist::Pass,
    });
    let begins = client.delete_records("orders", 0, Some(40)).await.unwrap();
    assert_eq!(begins, 40);
    assert_eq!(client.delete_records("orders", 0, None).await.unwrap(), 100);
    let error = client
        .delete_records("orders", 0, Some(101))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("beyond the end"), "{error}");
    let error = client.delete_records("orders", 7, None).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}

#[compio::test]
async fn refusal_after_a_doubt_does_not_say_that_nothing_was_deleted() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    client.create_topic("orders", 1, 3).await.unwrap();
    cluster.world().partition("orders", 0).next_offset = 100;
    let refusal = || Refusal::new(Code::OffsetOutOfRange, "not there");
    cluster.script(move |_, _, request| match request {
        Request::DeleteRecords { .. } => Twist::Refuse(refusal()),
        _ => Twist::Pass,
    });
    let refused = client.delete_records("orders", 0, Some(40)).await;
    assert_eq!(refused.unwrap_err().certainty(), Certainty::Definite);
    let is_first = Cell::new(true);
    cluster.script(move |_, _, request| match request {
        Request::DeleteRecords { .. } if is_first.take() => Twist::ApplyThenCut,
        Request::DeleteRecords { .. } => Twist::Refuse(refusal()),
        _ => Twist::Pass,
    });
    let refused = client.delete_records("orders", 0, Some(40)).await;
    assert_eq!(refused.unwrap_err().certainty(), Certainty::Indefinite);
    assert_eq!(cluster.world().partition("orders", 0).log_start, 40);
}

#[compio::test]
async fn records_of_a_topic_that_is_created_again_are_not_deleted_in_its_stead() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    client.create_topic("orders", 1, 3).await.unwrap();
    let is_first = Cell::new(true);
    cluster.script(move |world, _, request| match request {
        Request::DeleteRecords { .. } if is_first.take() => {
            world.topics.clear();
            world.add_topic("orders", 1);
            world.partition("orders", 0).next_offset = 100;
            Twist::Cut
        }
        _ => Twist::Pass,
    });
    let error = client.delete_records("orders", 0, None).await.unwrap_err();
    assert!(error.to_string().contains("created again"), "{error}");
    assert_eq!(cluster.world().partition("orders", 0).log_start, 0);
}
