use quorate_vsr::NodeId;
use quorate_vsr::group::{Event, Limits, Timer};

use crate::group::{Group, member};
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
        match words {
            ["status"] => status(group),
            ["members"] => vec![group.membership().to_string()],
            _ => std::mem::take(&mut group.trace),
        }
    }
}

fn carry_out(group: &mut Group, words: &[&str]) {
    match words {
        ["run"] => group.run(),
        ["status" | "members"] => {}
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
        ["blank", id, disk] => drop(group.put_blank(number(id), number(disk))),
        ["damage", id, op] => group.damage(node(id), number(op)),
        ["read", id, read] => {
            let read = number(read);
            group.step(node(id), Event::Read { read });
        }
        ["transfer", id, to] => group.step(node(id), Event::Transfer { to: node(to) }),
        ["change", id, step @ ..] => change(group, node(id), step),
        other => panic!("{other:?} is no command"),
    }
}

/// One step of the members, which `id` is asked for.
fn change(group: &mut Group, id: NodeId, step: &[&str]) {
    let present = group.replica(id).membership().clone();
    let next = match step {
        ["add", new, disk] => present.adding(member(number(new), number(disk))),
        ["promote", standby] => present.promoting(node(standby)),
        ["demote", voter] => present.demoting(node(voter)),
        ["drop", standby] => present.dropping(node(standby)),
        ["replace", standby, disk] => present.replacing_disk(member(number(standby), number(disk))),
        other => panic!("{other:?} is no step"),
    };
    if let Err(why) = group.reconfigure_at(id, next) {
        group.trace.push(format!("{id} does not do that: {why}"));
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
