use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_wire::{
    ClusterId, ClusterMetadata, Code, Consistency, ControlOperation, ControlReply, MemberInfo,
    NodeInfo, NodeStatus, Part, Refusal, Request, Response, Retention, Role, TopicInfo,
};

use crate::partition::Partition;

/// What a node does with a request instead of carrying it out and answering.
pub(crate) enum Twist {
    Pass,
    Refuse(Refusal),
    ApplyThenRefuse(Refusal),
    Cut,
    ApplyThenCut,
    /// Never answers.
    Hold,
    ApplyThenHold,
    /// Answers with these bytes instead of a frame.
    Say(&'static [u8]),
    /// Carries it out, and answers this instead.
    Claim(Response, Bytes),
}

pub(crate) type Script = Box<dyn FnMut(&mut World, u16, &Request) -> Twist>;

/// The cluster as it really is: one truth that all of its nodes share.
pub(crate) struct World {
    pub(crate) cluster: ClusterId,
    pub(crate) version: u64,
    pub(crate) primary: u16,
    pub(crate) nodes: Vec<NodeInfo>,
    pub(crate) topics: BTreeMap<String, Vec<Partition>>,
    pub(crate) script: Option<Script>,
    /// Requests in the order of their arrival, with the node that got them.
    pub(crate) requests: Vec<(u16, Request)>,
    /// The last answer of each session.
    sessions: BTreeMap<u64, (u64, Option<ControlReply>)>,
    clients: BTreeMap<u128, u64>,
    waiting: Vec<flume::Sender<()>>,
}

impl World {
    pub(crate) fn new(cluster: ClusterId) -> Self {
        Self {
            cluster,
            version: 1,
            primary: 1,
            nodes: Vec::new(),
            topics: BTreeMap::new(),
            script: None,
            requests: Vec::new(),
            sessions: BTreeMap::new(),
            clients: BTreeMap::new(),
            waiting: Vec::new(),
        }
    }

    pub(crate) fn add_topic(&mut self, name: &str, partitions: u32) {
        let voters: Vec<u16> = self.nodes.iter().map(|node| node.id).collect();
        let partition = |index: u32| {
            let leader = voters[index as usize % voters.len()];
            let id = self.version * 100 + u64::from(index);
            Partition::new(id, index, leader, voters.clone())
        };
        let partitions = (0..partitions).map(partition).collect();
        self.topics.insert(name.to_owned(), partitions);
        self.version += 1;
    }

    pub(crate) fn partition(&mut self, topic: &str, index: u32) -> &mut Partition {
        &mut self.topics.get_mut(topic).unwrap()[index as usize]
    }

    pub(crate) fn move_leader(&mut self, topic: &str, index: u32, to: u16) {
        self.version += 1;
        let info = &mut self.partition(topic, index).info;
        info.leader = to;
        info.epoch += 1;
    }

    pub(crate) fn by_id(&mut self, id: u64) -> Result<&mut Partition, Refusal> {
        let partitions = self.topics.values_mut().flatten();
        let found = partitions.into_iter().find(|it| it.info.id == id);
        found.ok_or_else(|| Refusal::new(Code::UnknownPartition, format!("no partition {id}")))
    }

    /// Carries out `request` as node `node`.
    pub(crate) fn carry_out(
        &mut self,
        node: u16,
        request: &Request,
        payload: &[u8],
    ) -> (Response, Bytes) {
        let answer = match request {
            Request::Metadata {
                consistency: Consistency::Linearizable,
                ..
            } if node != self.primary => Err(self.not_primary()),
            Request::Metadata { topics, .. } => Ok(Response::Metadata(self.metadata(topics))),
            Request::Status => Ok(Response::Status(self.status(node))),
            Request::Register { client } => self.register(node, *client),
            Request::Transfer { to } if node == self.primary => {
                self.primary = *to;
                Ok(Response::TransferBegun)
            }
            Request::Transfer { .. } => Err(self.not_primary()),
            Request::Control {
                session,
                request_number,
                operation,
                ..
            } => self.control(node, *session, *request_number, operation),
            Request::Produce { partition, .. } => self.produce(node, *partition, payload),
            Request::Describe { partition } => self
                .by_id(*partition)
                .map(|it| Response::Partition(it.status(node))),
            Request::DeleteRecords { partition, before } => {
                self.delete_records(node, *partition, *before)
            }
            Request::Lookup {
                partition,
                timestamp,
            } => self.look_up(node, *partition, *timestamp),
            Request::Fetch {
                partition,
                offset,
                bytes_max,
                from_follower,
                ..
            } => {
                return match self.fetch(node, *partition, *offset, *bytes_max, *from_follower) {
                    Ok(answer) => answer,
                    Err(refusal) => (Response::Refused(refusal), Bytes::new()),
                };
            }
        };
        (answer.unwrap_or_else(Response::Refused), Bytes::new())
    }

    /// Gets a message when something is appended.
    pub(crate) fn wait(&mut self) -> flume::Receiver<()> {
        let (sender, receiver) = flume::bounded(1);
        self.waiting.push(sender);
        receiver
    }

    fn metadata(&self, asked: &Option<Vec<String>>) -> ClusterMetadata {
        let is_asked = |name: &String| asked.as_ref().is_none_or(|asked| asked.contains(name));
        let topic = |(name, partitions): (&String, &Vec<Partition>)| TopicInfo {
            name: name.clone(),
            retention: Retention::default(),
            compaction: None,
            partitions: partitions.iter().map(|it| it.info.clone()).collect(),
        };
        let topics = self.topics.iter().filter(|(name, _)| is_asked(name));
        ClusterMetadata {
            cluster: self.cluster.0,
            version: self.version,
            view: 1,
            primary: self.primary,
            members: self.nodes.iter().map(member).collect(),
            nodes: self.nodes.clone(),
            topics: topics.map(topic).collect(),
        }
    }

    fn status(&self, node: u16) -> NodeStatus {
        let role = if node == self.primary {
            Role::Primary
        } else {
            Role::Backup
        };
        NodeStatus {
            node,
            disk: 0,
            role,
            view: 1,
            op_number: 0,
            commit_number: 0,
            replicas: 0,
            leaderships: 0,
            under_replicated: 0,
            damaged_ranges: 0,
            appended_records: 0,
            appended_bytes: 0,
            uptime_ms: 0,
        }
    }

    fn not_primary(&self) -> Refusal {
        let primary = self.nodes.iter().find(|node| node.id == self.primary);
        Refusal {
            instead: primary.map(|node| node.control_address.clone()),
            ..Refusal::new(Code::NotPrimary, "another node is the primary")
        }
    }

    fn register(&mut self, node: u16, client: u128) -> Result<Response, Refusal> {
        if node != self.primary {
            return Err(self.not_primary());
        }
        let next = 1_000 + self.clients.len() as u64;
        let session = *self.clients.entry(client).or_insert(next);
        self.sessions.entry(session).or_default();
        Ok(Response::Registered { session })
    }

    fn control(
        &mut self,
        node: u16,
        session: u64,
        request_number: u64,
        operation: &ControlOperation,
    ) -> Result<Response, Refusal> {
        if node != self.primary {
            return Err(self.not_primary());
        }
        let Some((last, answer)) = self.sessions.get(&session).cloned() else {
            return Err(Refusal::new(Code::UnknownSession, "no such session"));
        };
        if request_number == last {
            return Ok(Response::Control(answer.unwrap()));
        }
        assert_eq!(
            request_number,
            last + 1,
            "a session counts its operations one by one"
        );
        let reply = match operation {
            ControlOperation::CreateTopic { name, .. } if self.topics.contains_key(name) => {
                let detail = format!("topic \"{name}\" exists");
                ControlReply::Refused(Refusal::new(Code::TopicExists, detail))
            }
            ControlOperation::CreateTopic {
                name, partitions, ..
            } => {
                self.add_topic(name, *partitions);
                let asked = Some(vec![name.clone()]);
                ControlReply::TopicCreated(self.metadata(&asked).topics.remove(0))
            }
            ControlOperation::DeleteTopic { name } => {
                self.version += 1;
                match self.topics.remove(name) {
                    Some(_) => ControlReply::TopicDeleted,
                    None => ControlReply::Refused(Refusal::unknown_topic(name)),
                }
            }
            ControlOperation::AlterTopic { .. }
            | ControlOperation::RetainTopic { .. }
            | ControlOperation::KeepTombstones { .. }
            | ControlOperation::AddNode { .. }
            | ControlOperation::RemoveNode { .. }
            | ControlOperation::RecoverNode { .. } => {
                self.version += 1;
                ControlReply::Accepted
            }
        };
        self.sessions
            .insert(session, (request_number, Some(reply.clone())));
        Ok(Response::Control(reply))
    }

    pub(crate) fn forget_sessions(&mut self) {
        self.sessions.clear();
    }

    fn produce(&mut self, node: u16, partition: u64, batch: &[u8]) -> Result<Response, Refusal> {
        let partition = self.by_id(partition)?;
        if partition.info.leader != node {
            return Err(not_leader(node));
        }
        let base_offset = partition.append(batch)?;
        self.waiting.clear();
        Ok(Response::Produced { base_offset })
    }

    fn delete_records(
        &mut self,
        node: u16,
        partition: u64,
        before: Option<u64>,
    ) -> Result<Response, Refusal> {
        let partition = self.by_id(partition)?;
        if partition.info.leader != node {
            return Err(not_leader(node));
        }
        let log_start_offset = before.unwrap_or(partition.next_offset);
        if log_start_offset > partition.next_offset {
            return Err(Refusal::new(Code::OffsetOutOfRange, "beyond the end"));
        }
        partition.log_start = partition.log_start.max(log_start_offset);
        Ok(Response::RecordsDeleted { log_start_offset })
    }

    fn look_up(&mut self, node: u16, partition: u64, timestamp: i64) -> Result<Response, Refusal> {
        let partition = self.by_id(partition)?;
        if partition.info.leader != node {
            return Err(not_leader(node));
        }
        let found = partition.since(timestamp);
        Ok(Response::Found {
            epoch: partition.info.epoch,
            offset: found.map_or(partition.next_offset, |(offset, _)| offset),
            timestamp: found.map(|(_, timestamp)| timestamp),
        })
    }

    fn fetch(
        &mut self,
        node: u16,
        partition: u64,
        offset: u64,
        bytes_max: u32,
        from_follower: bool,
    ) -> Result<(Response, Bytes), Refusal> {
        let partition = self.by_id(partition)?;
        if partition.info.leader != node && !from_follower {
            return Err(not_leader(node));
        }
        if !(partition.log_start..=partition.next_offset).contains(&offset) {
            return Err(Refusal::new(Code::OffsetOutOfRange, "no such offset"));
        }
        let response = Response::Fetched {
            base_offset: offset,
            high_watermark: partition.next_offset,
            log_start_offset: partition.log_start,
        };
        Ok((response, partition.read(offset, bytes_max as usize)))
    }
}

fn not_leader(node: u16) -> Refusal {
    Refusal::new(Code::NotLeader, format!("node-{node} does not lead it"))
}

fn member(node: &NodeInfo) -> MemberInfo {
    MemberInfo {
        id: node.id,
        control_address: node.control_address.clone(),
        is_leaving: false,
        disk: Some(0),
        part: Part::Voter,
        shall_vote: true,
    }
}
