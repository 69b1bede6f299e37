use quorate_client::{NodeDescription, Part, Role};
use quorate_vsr::ViewNumber;
use serde::Serialize;

/// A node; what only itself can tell is null while it does not answer.
#[derive(Debug, Serialize)]
pub(super) struct NodeRow {
    id: u16,
    /// Whether the control plane holds it to be alive.
    alive: bool,
    /// What it is in the control plane's group: "voter", "standby", or null for nothing.
    member: Option<&'static str>,
    /// Whether it shall vote in the end.
    shall_vote: bool,
    /// Whether it shall leave.
    leaving: bool,
    /// The disk that counts as its own, once it has registered.
    disk: Option<String>,
    /// Whether it runs on another one, and so has lost everything.
    disk_lost: bool,
    control_address: String,
    shard_addresses: Vec<String>,
    role: Option<&'static str>,
    view: Option<u64>,
    op_number: Option<u64>,
    commit_number: Option<u64>,
    replicas: Option<u32>,
    leaderships: Option<u32>,
    under_replicated: Option<u32>,
    damaged_ranges: Option<u32>,
    appended_records: Option<u64>,
    appended_bytes: Option<u64>,
    uptime_ms: Option<u64>,
    error: Option<String>,
}

impl NodeRow {
    pub(super) fn new(node: &NodeDescription) -> Self {
        let NodeDescription {
            member,
            info,
            status,
        } = node;
        let told = status.as_ref().ok();
        let info = info.as_ref();
        let address = info.map_or(&member.control_address, |info| &info.control_address);
        Self {
            id: member.id,
            alive: info.is_some_and(|info| info.alive),
            member: part_name(member.part),
            shall_vote: member.shall_vote,
            leaving: member.is_leaving,
            disk: member.disk.map(|disk| format!("{disk:x}")),
            disk_lost: has_lost_disk(node),
            control_address: address.clone(),
            shard_addresses: info.map_or_else(Vec::new, |info| info.shard_addresses.clone()),
            role: told.map(|status| role_name(status.role)),
            view: told.map(|status| status.view),
            op_number: told.map(|status| status.op_number),
            commit_number: told.map(|status| status.commit_number),
            replicas: told.map(|status| status.replicas),
            leaderships: told.map(|status| status.leaderships),
            under_replicated: told.map(|status| status.under_replicated),
            damaged_ranges: told.map(|status| status.damaged_ranges),
            appended_records: told.map(|status| status.appended_records),
            appended_bytes: told.map(|status| status.appended_bytes),
            uptime_ms: told.map(|status| status.uptime_ms),
            error: status.as_ref().err().map(ToString::to_string),
        }
    }

    pub(super) fn cells(&self) -> [String; 11] {
        fn number<N: ToString>(number: Option<N>) -> String {
            number.map_or("-".to_owned(), |it| it.to_string())
        }
        [
            self.id.to_string(),
            if self.alive { "yes" } else { "no" }.to_owned(),
            self.place(),
            self.role.unwrap_or("-").to_owned(),
            number(self.view.map(ViewNumber)),
            number(self.op_number),
            number(self.commit_number),
            number(self.replicas),
            number(self.leaderships),
            number(self.under_replicated),
            self.control_address.clone(),
        ]
    }

    /// Its place in the cluster in a few words.
    fn place(&self) -> String {
        let mut words = vec![self.member.unwrap_or("joining")];
        if self.leaving {
            words = vec![self.member.unwrap_or("no vote"), "leaving"];
        } else if self.disk_lost {
            words.push("disk lost");
        } else if self.shall_vote && self.member != Some("voter") {
            words.push("to vote");
        }
        words.join(", ")
    }

    /// What is wrong with it, and what to do.
    pub(super) fn remark(&self) -> Option<String> {
        let id = self.id;
        if self.disk_lost {
            return Some(format!(
                "node {id} runs on an empty disk, or on one that was given up, and takes part in \
                 nothing: start it with its data folder; if that is lost, start it with an empty \
                 one, and give the lost one up with `quorate cluster recover --node {id}`"
            ));
        }
        if let Some(ranges) = self.damaged_ranges.filter(|ranges| *ranges > 0) {
            return Some(format!(
                "node {id} has {ranges} ranges of damaged records on its disk, which it fetches \
                 from other replicas: if it stays so, none of them has them; look into its log, \
                 and at its disk"
            ));
        }
        let error = self.error.as_ref()?;
        Some(format!("node {id}: {error}"))
    }
}

/// Whether the node runs on another disk than the one that counts as its own.
pub(super) fn has_lost_disk(node: &NodeDescription) -> bool {
    match (&node.status, node.member.disk) {
        (Ok(status), Some(disk)) => status.disk != disk,
        (Ok(_) | Err(_), _) => false,
    }
}

fn part_name(part: Part) -> Option<&'static str> {
    match part {
        Part::None => None,
        Part::Standby => Some("standby"),
        Part::Voter => Some("voter"),
    }
}

/// A role in one word.
pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Primary => "primary",
        Role::Backup => "backup",
        Role::Standby => "standby",
        Role::Blank => "blank",
        Role::ViewChange => "view-change",
        Role::Recovering => "recovering",
    }
}

#[cfg(test)]
mod tests {
    use quorate_client::{MemberInfo, NodeInfo, NodeStatus, Refusal};
    use quorate_vsr::NodeId;

    use super::*;
    use crate::cli::output;

    fn info() -> NodeInfo {
        NodeInfo {
            id: 2,
            alive: true,
            control_address: "127.0.0.1:7402".to_owned(),
            shard_addresses: vec!["127.0.0.1:7403".to_owned()],
        }
    }

    fn member() -> MemberInfo {
        MemberInfo {
            id: 2,
            control_address: "127.0.0.1:7402".to_owned(),
            is_leaving: false,
            disk: Some(7),
            part: Part::Voter,
            shall_vote: true,
        }
    }

    fn status() -> NodeStatus {
        NodeStatus {
            node: 2,
            disk: 7,
            role: Role::Backup,
            view: ViewNumber::of(3, NodeId(2)).0,
            op_number: 9,
            commit_number: 8,
            replicas: 5,
            leaderships: 2,
            under_replicated: 1,
            damaged_ranges: 0,
            appended_records: 100,
            appended_bytes: 2_000,
            uptime_ms: 50,
        }
    }

    #[test]
    fn a_node_is_told_as_it_sees_itself() {
        let row = NodeRow::new(&NodeDescription {
            member: member(),
            info: Some(info()),
            status: Ok(status()),
        });
        let cells = [
            "2",
            "yes",
            "voter",
            "backup",
            "3.2",
            "9",
            "8",
            "5",
            "2",
            "1",
            "127.0.0.1:7402",
        ];
        assert_eq!(row.cells(), cells);
        let json = output::to_json(&row);
        assert!(
            json.contains(r#""role":"backup","view":196610,"op_number":9"#),
            "{json}"
        );
    }

    #[test]
    fn damage_on_a_disk_is_remarked_upon() {
        let remark = |damaged_ranges| {
            let status = NodeStatus {
                damaged_ranges,
                ..status()
            };
            let row = NodeRow::new(&NodeDescription {
                member: member(),
                info: Some(info()),
                status: Ok(status),
            });
            row.remark()
        };
        assert_eq!(remark(0), None);
        assert!(remark(3).unwrap().starts_with("node 2 has 3 ranges"));
    }

    #[test]
    fn the_place_of_a_node_is_told_with_what_is_under_way() {
        let row = |member: MemberInfo, disk| {
            let status = NodeStatus { disk, ..status() };
            NodeRow::new(&NodeDescription {
                member,
                info: None,
                status: Ok(status),
            })
        };
        let joining = MemberInfo {
            part: Part::None,
            disk: None,
            ..member()
        };
        assert_eq!(row(joining, 5).place(), "joining, to vote");
        let leaving = MemberInfo {
            is_leaving: true,
            ..member()
        };
        assert_eq!(row(leaving, 7).place(), "voter, leaving");
        let lost = row(member(), 5);
        assert_eq!(lost.place(), "voter, disk lost");
        assert!(lost.remark().unwrap().contains("cluster recover --node 2"));
        assert!(output::to_json(&lost).contains(r#""disk":"7","disk_lost":true"#));
        assert_eq!(row(member(), 7).remark(), None);
    }

    #[test]
    fn a_silent_node_has_nulls_and_the_reason() {
        let error = quorate_client::Error::Refused {
            what: "asking node 2".to_owned(),
            refusal: Refusal::new(quorate_client::Code::Stopping, "it is stopping"),
        };
        let row = NodeRow::new(&NodeDescription {
            member: member(),
            info: Some(info()),
            status: Err(error),
        });
        let json = output::to_json(&row);
        assert!(json.contains(r#""role":null"#), "{json}");
        assert!(json.contains("it is stopping"), "{json}");
    }
}
