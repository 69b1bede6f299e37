use super::search::Model;

/// Whether a node belongs to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// It does not.
    Absent,
    /// It does, and shall.
    Present,
    /// It does still, and is gone once it holds nothing any more.
    Leaving,
}

/// What is asked about a node, with the answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberAction {
    /// It shall belong to the cluster.
    Added,
    /// It shall leave.
    Removed,
    /// It shall leave or recover, which was refused, for no such node belongs to the cluster.
    Missing,
    /// It was looked at.
    Seen(Member),
}

/// The nodes of one id.
#[derive(Debug)]
pub(super) struct Members;

impl Model for Members {
    type State = Member;
    type Action = MemberAction;

    fn after(&self, state: &Member, action: &MemberAction) -> Vec<Member> {
        // What leaves is gone at some time of its own.
        let states = match state {
            Member::Leaving => vec![Member::Leaving, Member::Absent],
            Member::Absent | Member::Present => vec![*state],
        };
        let after = |state: Member| match (action, state) {
            (MemberAction::Added, _) => Some(Member::Present),
            (MemberAction::Removed, Member::Present | Member::Leaving) => Some(Member::Leaving),
            (MemberAction::Removed, Member::Absent) => None,
            (MemberAction::Missing, Member::Absent) => Some(Member::Absent),
            (MemberAction::Missing, Member::Present | Member::Leaving) => None,
            (MemberAction::Seen(seen), state) => (*seen == state).then_some(state),
        };
        states.into_iter().filter_map(after).collect()
    }
}

#[cfg(test)]
mod tests {
    use quorate_jepsen::Moment;

    use super::super::search::{Operation, linearize};
    use super::Member::{Absent, Leaving, Present};
    use super::MemberAction::{Added, Missing, Removed, Seen};
    use super::*;

    fn has_order(initial: Member, actions: &[MemberAction]) -> bool {
        let operation = |(at, action): (u64, &MemberAction)| Operation {
            action: action.clone(),
            invoked: Moment(2 * at),
            completed: Some(Moment(2 * at + 1)),
        };
        let operations: Vec<_> = (0..).zip(actions).map(operation).collect();
        linearize(&Members, initial, &operations).is_ok()
    }

    #[test]
    fn node_comes_and_leaves_by_and_by() {
        let life = [
            Missing,
            Added,
            Seen(Present),
            Removed,
            Seen(Leaving),
            Seen(Absent),
            Missing,
        ];
        assert!(has_order(Absent, &life));
        assert!(has_order(Present, &[Removed, Removed, Seen(Absent)]));
        assert!(has_order(Present, &[Removed, Added, Seen(Present)]));
    }

    #[test]
    fn node_does_not_come_back_or_leave_by_itself() {
        assert!(!has_order(Present, &[Seen(Absent)]));
        assert!(!has_order(Present, &[Seen(Leaving)]));
        assert!(!has_order(Present, &[Missing]));
        assert!(!has_order(Present, &[Removed, Seen(Present)]));
        assert!(!has_order(Present, &[Removed, Seen(Absent), Seen(Leaving)]));
        assert!(!has_order(Absent, &[Removed]));
        assert!(!has_order(Absent, &[Added, Seen(Leaving)]));
    }
}
