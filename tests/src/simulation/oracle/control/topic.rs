use std::collections::BTreeSet;

use super::search::{Model, Operation};

/// A topic, as far as its name, its creation and its settings go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Topic {
    /// The id of its first partition, which no other topic ever has; `None` if its creation was
    /// not answered.
    pub id: Option<u64>,
    /// How many partitions it has.
    pub partitions: u32,
    /// Whether it is compacted.
    pub is_compacted: bool,
    /// How long its records are kept, in milliseconds, and how many bytes of them.
    pub retention: (Option<u64>, Option<u64>),
}

/// What is asked about a topic, with the answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicAction {
    /// It was created.
    Created(Topic),
    /// It was not, for one of that name exists.
    Exists,
    /// It was deleted.
    Deleted,
    /// What was asked of it was refused, for there is no such topic.
    Missing,
    /// Its retention was changed to this.
    Retained((Option<u64>, Option<u64>)),
    /// It was looked at: this is what it was.
    Seen(Option<Topic>),
}

/// The topics of one name.
#[derive(Debug)]
pub(super) struct Topics {
    /// The ids of those whose creation was answered.
    created: BTreeSet<u64>,
}

impl TopicAction {
    /// The id that it tells of, and whether it is that of a topic that was just created.
    pub(super) fn id(&self) -> Option<(u64, bool)> {
        match self {
            Self::Created(topic) => topic.id.map(|id| (id, true)),
            Self::Seen(Some(topic)) => topic.id.map(|id| (id, false)),
            Self::Exists | Self::Deleted | Self::Missing | Self::Retained(_) => None,
            Self::Seen(None) => None,
        }
    }
}

impl Topics {
    pub(super) fn of(operations: &[Operation<TopicAction>]) -> Self {
        let ids = operations.iter().filter_map(|it| it.action.id());
        let created = ids.filter(|(_, is_created)| *is_created);
        Self {
            created: created.map(|(id, _)| id).collect(),
        }
    }

    /// Whether `seen` is `topic`. One that was created without an answer shows its id now, and that
    /// is not one of another creation.
    fn is_same(&self, topic: &Topic, seen: &Topic) -> bool {
        let is_id = match (topic.id, seen.id) {
            (Some(id), Some(seen)) => id == seen,
            (None, Some(seen)) => !self.created.contains(&seen),
            (_, None) => true,
        };
        let known = Topic {
            id: seen.id,
            ..topic.clone()
        };
        is_id && known == *seen
    }
}

impl Model for Topics {
    type State = Option<Topic>;
    type Action = TopicAction;

    fn after(&self, state: &Option<Topic>, action: &TopicAction) -> Vec<Option<Topic>> {
        match (action, state) {
            (TopicAction::Created(topic), None) => vec![Some(topic.clone())],
            (TopicAction::Exists, Some(topic)) => vec![Some(topic.clone())],
            (TopicAction::Deleted, Some(_)) => vec![None],
            (TopicAction::Missing | TopicAction::Seen(None), None) => vec![None],
            (TopicAction::Retained(retention), Some(topic)) => {
                let topic = Topic {
                    retention: *retention,
                    ..topic.clone()
                };
                vec![Some(topic)]
            }
            (TopicAction::Seen(Some(seen)), Some(topic)) if self.is_same(topic, seen) => {
                vec![Some(Topic {
                    id: topic.id.or(seen.id),
                    ..topic.clone()
                })]
            }
            (TopicAction::Created(_) | TopicAction::Seen(_) | TopicAction::Missing, _) => vec![],
            (TopicAction::Exists | TopicAction::Deleted | TopicAction::Retained(_), _) => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_jepsen::Moment;
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    use super::super::search::linearize;
    use super::TopicAction::{Created, Deleted, Exists, Missing, Retained, Seen};
    use super::*;

    fn topic(id: Option<u64>) -> Topic {
        Topic {
            id,
            partitions: 3,
            is_compacted: false,
            retention: (None, None),
        }
    }

    /// Each action happens behind the one before, or has no answer.
    fn has_order(actions: &[(TopicAction, bool)]) -> bool {
        let operation = |(at, (action, is_answered)): (u64, &(TopicAction, bool))| Operation {
            action: action.clone(),
            invoked: Moment(2 * at),
            completed: is_answered.then_some(Moment(2 * at + 1)),
        };
        let operations: Vec<_> = (0..).zip(actions).map(operation).collect();
        linearize(&Topics::of(&operations), None, &operations).is_ok()
    }

    fn answered(actions: &[TopicAction]) -> bool {
        let all = actions.iter().map(|action| (action.clone(), true));
        has_order(&all.collect::<Vec<_>>())
    }

    #[test]
    fn life_of_a_topic_has_an_order() {
        let kept = (Some(1000), None);
        let changed = Topic {
            retention: kept,
            ..topic(Some(1))
        };
        let life = [
            Missing,
            Seen(None),
            Created(topic(Some(1))),
            Exists,
            Seen(Some(topic(Some(1)))),
            Retained(kept),
            Seen(Some(changed)),
            Deleted,
            Missing,
            Created(topic(Some(2))),
            Seen(Some(topic(Some(2)))),
        ];
        assert!(answered(&life));
    }

    #[test]
    fn answer_that_does_not_fit_has_none() {
        let created = || Created(topic(Some(1)));
        assert!(!answered(&[Exists]));
        assert!(!answered(&[Deleted]));
        assert!(!answered(&[Retained((None, None))]));
        assert!(!answered(&[created(), Missing]));
        assert!(!answered(&[created(), Created(topic(Some(2)))]));
        assert!(!answered(&[created(), Seen(None)]));
        assert!(!answered(&[created(), Seen(Some(topic(Some(2))))]));
        let retention = (Some(5), None);
        let forgot = [created(), Retained(retention), Seen(Some(topic(Some(1))))];
        assert!(!answered(&forgot));
    }

    #[test]
    fn deleted_topic_that_is_seen_again_is_another_one() {
        let one = [Created(topic(Some(1))), Deleted];
        let with = |more: &[(TopicAction, bool)]| {
            let all = one.iter().map(|action| (action.clone(), true));
            has_order(&all.chain(more.iter().cloned()).collect::<Vec<_>>())
        };
        let seen = |id| (Seen(Some(topic(Some(id)))), true);
        assert!(!with(&[seen(1)]));
        let unanswered = || (Created(topic(None)), false);
        assert!(with(&[unanswered(), seen(2)]));
        assert!(!with(&[unanswered(), seen(1)]), "that id was another's");
        assert!(!with(&[unanswered(), seen(2), seen(3)]));
        assert!(with(&[unanswered(), (Seen(None), true), seen(2)]));
    }

    #[test]
    fn deletion_without_an_answer_may_come_late() {
        let actions = [
            (Created(topic(Some(1))), true),
            (Deleted, false),
            (Seen(Some(topic(Some(1)))), true),
            (Missing, true),
            (Created(topic(Some(2))), true),
        ];
        assert!(has_order(&actions));
        let again = actions.iter().cloned().chain([(Missing, true)]);
        assert!(!has_order(&again.collect::<Vec<_>>()));
    }

    /// Clients that do one thing at a time, at one topic that is right.
    fn good(random: &mut ChaCha8Rng, has_doubts: bool) -> Vec<(TopicAction, bool)> {
        let (mut state, mut next_id) = (None::<Topic>, 1);
        let mut actions = Vec::new();
        for _ in 0..60 {
            let is_answered = !has_doubts || random.random_range(0..10) > 0;
            // Without an answer it is not even known whether it was heard.
            let is_heard = is_answered || random.random();
            let before = state.clone();
            let action = match (random.random_range(0..4), &state) {
                (0, None) => {
                    let id = is_answered.then_some(next_id);
                    let created = topic(id);
                    state = Some(topic(Some(next_id)));
                    next_id += 1;
                    Created(created)
                }
                (0, Some(_)) => Exists,
                (1, Some(_)) => {
                    state = None;
                    Deleted
                }
                (1, None) => Missing,
                (2, Some(now)) => {
                    let retention = (Some(random.random_range(1..9)), None);
                    state = Some(Topic {
                        retention,
                        ..now.clone()
                    });
                    Retained(retention)
                }
                (_, now) => Seen(now.clone()),
            };
            if !is_heard {
                state = before;
            }
            actions.push((action, is_answered));
        }
        actions
    }

    #[test]
    fn good_histories_have_an_order_and_spoilt_ones_have_none() {
        for seed in 0..200 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut actions = good(&mut random, true);
            assert!(has_order(&actions), "seed {seed}: {actions:?}");
            // What nobody has ever made.
            let mut stranger = topic(Some(1_000_000));
            stranger.partitions = 77;
            let at = random.random_range(0..actions.len());
            actions[at] = (Seen(Some(stranger)), true);
            assert!(!has_order(&actions), "seed {seed}: {actions:?}");
        }
    }

    #[test]
    fn wrong_answer_to_the_last_question_is_found() {
        for seed in 0..200 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let actions = good(&mut random, false);
            let exists = has_order(&[actions.clone(), vec![(Exists, true)]].concat());
            let is_missing = has_order(&[actions, vec![(Missing, true)]].concat());
            assert_ne!(exists, is_missing, "seed {seed}");
        }
    }
}
