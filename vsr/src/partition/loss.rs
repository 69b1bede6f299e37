//! A follower that has lost the end of its log in the very epoch that it had adopted.
//!
//! Its leader counts on what it has acknowledged, and may have committed it. That is no harm as
//! long as the follower's promises say that its log is uncertain. But that may not last for ever:
//! one more voter that fails, and nobody could choose a log any more. So the follower has to learn
//! when it has again whatever it has ever acknowledged. It cannot know, for the end of its log is
//! what it has lost. The leader can: whatever the follower acknowledged in this epoch, the leader
//! had at that time, and so it still has it at any later time. It is asked with the number of the
//! loss, which was durable before it was first used, and answers with the same number; so its
//! answer was given after the loss, and reaches at least as far.

use super::{Duty, Effect, Leading, Message, Phase, Replica, Stage, Timer};
use crate::{NodeId, Offset};

impl Replica {
    pub(super) fn advance_lost(&mut self, effects: &mut Vec<Effect>) {
        if self.has_promised() && self.durable_facts.losses == self.facts.losses {
            self.duty = Duty::Following(Stage::Lost { asked: true });
            let message = Message::Lost {
                epoch: self.facts.promised,
                loss: self.facts.losses,
            };
            self.send_to_leader(message, effects);
            self.arm_repair(effects);
        }
    }

    /// A follower may lack what it has acknowledged. That counts on: its promises will say that
    /// they are uncertain.
    pub(super) fn on_lost(&mut self, from: NodeId, loss: u32, effects: &mut Vec<Effect>) {
        let Duty::Leading(Leading {
            phase: Phase::Open { followers, .. },
            ..
        }) = &mut self.duty
        else {
            return;
        };
        let Some(follower) = followers.get_mut(&from) else {
            return;
        };
        follower.on_lost();
        // What it claimed before the loss is void.
        follower.claim.hear(loss, Offset(0));
        let message = self.adopt_message(self.next_offset, loss);
        effects.push(Effect::Send { to: from, message });
    }

    /// The leader does not know that anything is awaited of it, so it is the follower who repeats.
    pub(super) fn on_repair_lost(&mut self, effects: &mut Vec<Effect>) {
        let is_healing = self.facts.log_epoch == self.facts.promised && self.facts.is_uncertain();
        match &mut self.duty {
            Duty::Following(Stage::Lost { asked }) => *asked = false,
            Duty::Following(Stage::Matched { .. }) if is_healing => {
                self.send_ack(true, effects);
                self.arm_repair(effects);
            }
            Duty::Following(Stage::Waiting { .. } | Stage::Cutting(_) | Stage::Matched { .. })
            | Duty::Idle
            | Duty::Leading(_) => {}
        }
    }

    pub(super) fn arm_repair(&mut self, effects: &mut Vec<Effect>) {
        if !self.repair_armed {
            self.repair_armed = true;
            effects.push(Effect::Arm(Timer::Repair));
        }
    }
}
