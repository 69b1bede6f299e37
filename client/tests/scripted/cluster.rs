use std::cell::{RefCell, RefMut};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use quorate_client::{Client, ClientConfig, Compio, ProducerConfig};
use quorate_platform::{Listener, Network, Tasks, Writer};
use quorate_wire::{ClusterId, Frame, FrameReader, Kind, NodeInfo, Request, Response};

use crate::world::{Twist, World};

/// Nodes on the loopback interface, each with one address for everything.
#[derive(Clone)]
pub(crate) struct Cluster {
    world: Rc<RefCell<World>>,
}

impl Cluster {
    /// Starts `nodes` nodes, which share one truth.
    pub(crate) async fn start(nodes: u16) -> Self {
        Self::start_as(nodes, ClusterId(0xc1)).await
    }

    pub(crate) async fn start_as(nodes: u16, id: ClusterId) -> Self {
        let cluster = Self {
            world: Rc::new(RefCell::new(World::new(id))),
        };
        for node in 1..=nodes {
            cluster.start_node(node).await;
        }
        cluster
    }

    async fn start_node(&self, id: u16) {
        let listener = Compio.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_address().unwrap().to_string();
        self.world().nodes.push(NodeInfo {
            id,
            alive: true,
            control_address: address.clone(),
            shard_addresses: vec![address],
        });
        let cluster = self.clone();
        Compio.spawn(async move {
            while let Ok((reader, writer, _)) = listener.accept().await {
                Compio.spawn(cluster.clone().serve(id, FrameReader::new(reader), writer));
            }
        });
    }

    pub(crate) fn world(&self) -> RefMut<'_, World> {
        self.world.borrow_mut()
    }

    /// From now on every request is first put to `script`.
    pub(crate) fn script(&self, script: impl FnMut(&mut World, u16, &Request) -> Twist + 'static) {
        self.world().script = Some(Box::new(script));
    }

    pub(crate) fn address(&self, node: u16) -> SocketAddr {
        let world = self.world();
        world.nodes[usize::from(node) - 1]
            .control_address
            .parse()
            .unwrap()
    }

    /// A client that loses patience soon, for tests that wait until it does.
    pub(crate) async fn client(&self) -> Client<Compio> {
        let config = ClientConfig {
            suspicion_timeout: Duration::from_millis(100),
            operation_timeout: Duration::from_millis(600),
            ..ClientConfig::new([self.address(1).to_string()])
        };
        Client::connect(Compio, config).await.unwrap()
    }

    /// How many requests of a kind came.
    pub(crate) fn count(&self, is_counted: impl Fn(&Request) -> bool) -> usize {
        let world = self.world();
        world
            .requests
            .iter()
            .filter(|(_, request)| is_counted(request))
            .count()
    }

    async fn serve(
        self,
        node: u16,
        mut frames: FrameReader<<Compio as Network>::Reader>,
        writer: <Compio as Network>::Writer,
    ) {
        let close = writer.closer();
        let (answers, queue) = flume::unbounded::<Vec<Bytes>>();
        Compio.spawn(write(writer, queue));
        while let Ok(Some(frame)) = frames.next().await {
            let request: Request = quorate_wire::decode(&frame.body).unwrap();
            let correlation = frame.header.correlation;
            let twist = self.twist(node, &request);
            let is_apply = !matches!(twist, Twist::Refuse(_) | Twist::Cut | Twist::Hold);
            let cluster = self.world().cluster;
            let say = |(response, payload): (Response, Bytes)| {
                let body = quorate_wire::encode(&response);
                let head = Frame::head(Kind::Response, cluster, correlation, &body, payload.len());
                // The other end may be gone.
                let _ = answers.send(vec![head, payload]);
            };
            if let (Twist::Pass, Request::Fetch { wait_ms, .. }) = (&twist, &request) {
                let wait = Duration::from_millis(u64::from(*wait_ms));
                let (cluster, answers) = (self.clone(), answers.clone());
                Compio.spawn(cluster.poll(node, request, wait, correlation, answers));
                continue;
            }
            let outcome = is_apply.then(|| self.world().carry_out(node, &request, &frame.payload));
            let is_silent = matches!(
                request,
                Request::Produce {
                    acks: quorate_wire::Acks::None,
                    ..
                }
            );
            match twist {
                Twist::Pass if is_silent => {}
                Twist::Pass => say(outcome.unwrap()),
                Twist::Refuse(refusal) | Twist::ApplyThenRefuse(refusal) => {
                    say((Response::Refused(refusal), Bytes::new()));
                }
                Twist::Cut | Twist::ApplyThenCut => return close(),
                Twist::Hold | Twist::ApplyThenHold => {}
                Twist::Say(bytes) => answers.send(vec![Bytes::from_static(bytes)]).unwrap(),
                Twist::Claim(response, payload) => say((response, payload)),
            }
        }
    }

    fn twist(&self, node: u16, request: &Request) -> Twist {
        let script = self.world().script.take();
        self.world().requests.push((node, request.clone()));
        let Some(mut script) = script else {
            return Twist::Pass;
        };
        let twist = script(&mut self.world(), node, request);
        self.world().script.get_or_insert(script);
        twist
    }

    /// Answers a fetch once there is something to answer, or the time is up.
    async fn poll(
        self,
        node: u16,
        request: Request,
        wait: Duration,
        correlation: u64,
        answers: flume::Sender<Vec<Bytes>>,
    ) {
        let deadline = Compio.now() + wait;
        loop {
            let (response, payload) = self.world().carry_out(node, &request, &[]);
            let left = deadline.since(Compio.now());
            let is_news = !payload.is_empty() || matches!(response, Response::Refused(_));
            if is_news || left.is_zero() {
                let body = quorate_wire::encode(&response);
                let cluster = self.world().cluster;
                let head = Frame::head(Kind::Response, cluster, correlation, &body, payload.len());
                let _ = answers.send(vec![head, payload]);
                return;
            }
            let news = self.world().wait();
            // Either something came, or the time is up: look again.
            let _ = Compio.timeout(left, news.recv_async()).await;
        }
    }
}

async fn write(mut writer: <Compio as Network>::Writer, queue: flume::Receiver<Vec<Bytes>>) {
    while let Ok(buffers) = queue.recv_async().await {
        let buffers = buffers.into_iter().filter(|it| !it.is_empty()).collect();
        if writer.write_all(buffers).await.is_err() {
            return;
        }
    }
}

/// One record per batch, so that a test sees every record on the wire.
pub(crate) fn one_by_one() -> ProducerConfig {
    ProducerConfig {
        batch_bytes: 1,
        ..ProducerConfig::default()
    }
}
