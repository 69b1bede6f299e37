//! Clients and what they are told.

use quorate_vsr::group::Effect;

use super::client::Heard;
use super::sometimes::Sometimes;
use super::world::{Happening, World};

/// A client that hears nothing asks again after at most so long.
const RETRY_MAX: u64 = 60;
/// Of a thousand repetitions so many are given up instead, and something else is asked for.
const ABANDONED: u32 = 30;

impl World {
    pub(crate) fn fresh_client_number(&mut self) -> u128 {
        self.client_numbers += 1;
        self.client_numbers - 1
    }

    /// A client asks again, of any node, until it is answered.
    pub(crate) fn on_ask(&mut self, client: u8) {
        let place = usize::from(client);
        let nodes = self.nodes.len();
        let abandons = !self.is_calm() && self.dice.happens(ABANDONED);
        let told = self.checker.requests.told();
        let asking = &mut self.clients[place];
        if abandons {
            asking.abandon();
            asking.floor = told;
        }
        asking.target = self.dice.below(nodes);
        self.ask(place, 1);
        let delay = self.dice.between(20..=RETRY_MAX);
        self.calendar.plan(delay, Happening::Ask { client });
    }

    fn ask(&mut self, client: usize, delay: u64) {
        let asking = &self.clients[client];
        let (to, event) = (asking.target as u8, asking.ask());
        self.calendar.plan(delay, Happening::Request { to, event });
    }

    /// A node tells a client something, which may get lost.
    pub(crate) fn tell_client(&mut self, at: usize, answer: Effect) {
        let number = match &answer {
            Effect::Reply {
                client,
                request_number,
                reply,
            } => {
                let committed = self.checker.agreement.committed();
                let requests = &mut self.checker.requests;
                requests.replied(*client, *request_number, reply, committed);
                *client
            }
            Effect::ReplyRegistered { client, .. } | Effect::RejectRequest { client, .. } => {
                *client
            }
            other => unreachable!("{other:?} is not for a client"),
        };
        let (now, id) = (self.calendar.now(), self.nodes[at].id);
        self.timeline
            .note(now, || format!("    {id:?} -> {answer:?}"));
        let client = self
            .clients
            .iter()
            .position(|client| client.number == number);
        let loss = if self.is_calm() {
            0
        } else {
            self.swarm.weather.loss
        };
        if let Some(client) = client
            && !self.dice.happens(loss)
        {
            let client = client as u8;
            let delay = self.dice.between(1..=4);
            self.calendar
                .plan(delay, Happening::Answer { client, answer });
        }
    }

    pub(crate) fn on_answer(&mut self, client: usize, answer: &Effect) {
        let fresh = self.client_numbers;
        let listening = &mut self.clients[client];
        let number = listening.number;
        match listening.hear(answer, fresh) {
            Heard::Nothing => return,
            Heard::Registered => {}
            Heard::Answered => {
                self.tally.saw(Sometimes::Answered);
                if let Effect::Reply { request_number, .. } = answer {
                    let floor = listening.floor;
                    let requests = &mut self.checker.requests;
                    requests.heard(number, *request_number, floor);
                }
            }
            Heard::Evicted => {
                self.tally.saw(Sometimes::Evicted);
                self.client_numbers += 1;
            }
            Heard::Refused => {
                let nodes = self.nodes.len();
                listening.target = (listening.target + 1) % nodes;
                return;
            }
        }
        self.clients[client].floor = self.checker.requests.told();
        let delay = self.dice.between(1..=self.swarm.think_max);
        self.ask(client, delay);
    }
}
