//! The sessions of the clients, and what each was told last.
//!
//! The table is part of the replicated state: it is changed by executing operations and by nothing
//! else, in the same way on every member, and it is part of the checkpoint. Two flaws of the
//! paper's table are avoided by sessions. A client that has lost count of its requests cannot reuse
//! a number, because it registers anew and its old session is no longer accepted. And a client
//! whose entry was evicted is told so, instead of having an old request executed twice.

use rkyv::{Archive, Deserialize, Serialize};

use crate::OpNumber;

/// All sessions, ordered by client.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientTable {
    sessions: Vec<Session>,
}

/// One client's session.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    /// The client.
    pub client: u128,
    /// The number of the operation that registered it.
    pub session: u64,
    /// The latest request that was executed; 0 before the first.
    pub request_number: u64,
    /// The operation that used the session last.
    pub latest: OpNumber,
    /// The reply to the latest request.
    pub reply: Vec<u8>,
}

impl ClientTable {
    /// The session of a client.
    #[must_use]
    pub fn get(&self, client: u128) -> Option<&Session> {
        let place = self.place(client).ok()?;
        self.sessions.get(place)
    }

    /// All sessions, ordered by client.
    #[must_use]
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// Gives a client a session, and evicts the one that was idle longest if there are too many.
    ///
    /// A client that registers twice before its first request has only sent the same message
    /// again, and keeps its session.
    pub(crate) fn register(&mut self, client: u128, op: OpNumber, clients_max: usize) -> u64 {
        let fresh = Session {
            client,
            session: op.0,
            request_number: 0,
            latest: op,
            reply: Vec::new(),
        };
        match self.place(client) {
            Ok(place) if self.sessions[place].request_number == 0 => {
                self.sessions[place].latest = op;
                return self.sessions[place].session;
            }
            Ok(place) => self.sessions[place] = fresh,
            Err(place) => self.sessions.insert(place, fresh),
        }
        while self.sessions.len() > clients_max {
            // Numbers of operations are unique, so there is exactly one that was idle longest.
            let idle = self
                .sessions
                .iter()
                .enumerate()
                .min_by_key(|(_, session)| session.latest);
            let (place, _) = idle.expect("more sessions than a positive limit");
            self.sessions.remove(place);
        }
        op.0
    }

    /// Keeps the reply to a client's latest request.
    pub(crate) fn replied(&mut self, client: u128, number: u64, op: OpNumber, reply: &[u8]) {
        let place = self
            .place(client)
            .expect("the request was executed because of its session");
        let session = &mut self.sessions[place];
        session.request_number = number;
        session.latest = op;
        session.reply = reply.to_vec();
    }

    /// Forgets what the clients have asked for. Only sabotage does.
    pub(crate) fn forget_requests(&mut self) {
        for session in &mut self.sessions {
            session.request_number = 0;
        }
    }

    fn place(&self, client: u128) -> Result<usize, usize> {
        self.sessions
            .binary_search_by_key(&client, |session| session.client)
    }
}
