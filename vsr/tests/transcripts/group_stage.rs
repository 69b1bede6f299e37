use quorate_vsr::NodeId;
use quorate_vsr::group::{Limits, Timer};

use crate::group::Group;
use crate::script::Stage;

/// A group that does what the commands say.
#[derive(Default)]
pub(crate) struct GroupStage {
    group: Option<Group>,
}

impl Stage for GroupStage {
    fn command(&mut self, words: &[&str]) -> Vec<String> {
        if let ["group" | "founded", voters, rest @ ..] = words {
            let mut limits = Limits::default();
            if let ["checkpoints", interval] = rest {
                limits.checkpoint_interval = number(interval);
            }
            let group = self
                .group
                .insert(Group::new(number::<u16>(voters), 0, limits));
            if words[0] == "founded" {
                group.run();
                group.trace.clear();
            }
        } else {
            carry_out(self.group.as_mut().expect("a group comes first"), words);
        }
        let group = self.group.as_mut().unwrap();
        let mut lines = std::mem::take(&mut group.trace);
        if words == ["status"] {
            lines = status(group);
        }
        lines
    }
}

fn carry_out(group: &mut Group, words: &[&str]) {
    match words {
        ["run"] => group.run(),
        ["status"] => {}
        ["fire", id, timer] => group.fire(node(id), timer_of(timer)),
        ["propose", id, text] => group.propose_at(node(id), text),
        ["register", client] => drop(group.register(number(client))),
        ["request", client, session, request, text] => {
            group.request(number(client), number(session), number(request), text);
        }
        ["crash", id] => group.crash(node(id)),
        ["start", id] => group.start(node(id)),
        ["cut", id] => drop(group.cut.insert(node(id))),
        ["join", id] => drop(group.cut.remove(&node(id))),
        ["slow", id] => drop(group.slow.insert(node(id))),
        ["quick", id] => drop(group.slow.remove(&node(id))),
        ["lose"] => group.lose_messages(),
        other => panic!("{other:?} is no command"),
    }
}

fn status(group: &Group) -> Vec<String> {
    let tell = |(id, member): (&NodeId, &crate::group::Node)| match &member.replica {
        None => format!("{id} is down"),
        Some(replica) => format!(
            "{id} {:?} in view {}, the log of view {} up to op {}, committed up to {}, executed \
             up to {}{}",
            replica.status(),
            replica.view(),
            replica.log_view(),
            replica.op_number(),
            replica.commit_number(),
            replica.executed(),
            if replica.is_primary() {
                ", primary"
            } else {
                ""
            },
        ),
    };
    group.members.iter().map(tell).collect()
}

fn node(word: &str) -> NodeId {
    NodeId(number(word))
}

fn number<T: std::str::FromStr>(word: &str) -> T {
    word.parse()
        .unwrap_or_else(|_| panic!("{word} is no number"))
}

fn timer_of(word: &str) -> Timer {
    let timer = Timer::ALL
        .into_iter()
        .find(|timer| format!("{timer:?}") == word);
    timer.unwrap_or_else(|| panic!("{word} is no timer"))
}
