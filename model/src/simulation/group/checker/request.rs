//! At most once, in the order of real time, and with one answer.

use quorate_vsr::group::{Content, Prepare};
use quorate_vsr::{OpNumber, ViewNumber};

/// The requests of all clients that ever were; clients are numbered from 0.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    executed: Vec<Vec<Option<Executed>>>,
    /// The last operation of which a client was told the result.
    told: OpNumber,
}

#[derive(Clone, Debug)]
pub(crate) struct Executed {
    pub(crate) op: OpNumber,
    /// The view that gave it its number.
    pub(crate) view: ViewNumber,
    reply: Vec<u8>,
}

impl Requests {
    /// What is asked for from now on comes after this operation.
    pub(crate) fn told(&self) -> OpNumber {
        self.told
    }

    /// A replica executed an operation, which may be a client's.
    pub(crate) fn executed(&mut self, prepare: &Prepare, reply: &[u8]) {
        let Content::Request {
            client,
            request_number,
            ..
        } = &prepare.content
        else {
            return;
        };
        let (client, place) = (*client as usize, *request_number as usize);
        if self.executed.len() <= client {
            self.executed.resize(client + 1, Vec::new());
        }
        let requests = &mut self.executed[client];
        if requests.len() <= place {
            requests.resize(place + 1, None);
        }
        let op = prepare.op;
        let known = requests[place].get_or_insert_with(|| Executed {
            op,
            view: prepare.view,
            reply: reply.to_vec(),
        });
        assert_eq!(
            known.op, op,
            "request {place} of client {client} was executed twice"
        );
    }

    /// How a request was executed, if it was.
    pub(crate) fn get(&self, client: u128, request_number: u64) -> Option<&Executed> {
        let requests = self.executed.get(client as usize)?;
        requests.get(request_number as usize)?.as_ref()
    }

    /// A client is told a result that the group has `committed`.
    pub(crate) fn replied(
        &mut self,
        client: u128,
        request_number: u64,
        reply: &[u8],
        committed: OpNumber,
    ) {
        let Some(executed) = self.get(client, request_number) else {
            panic!("request {request_number} of client {client} is answered, and not executed");
        };
        let op = executed.op;
        assert!(
            executed.op <= committed,
            "request {request_number} of client {client} is answered, and not committed"
        );
        assert_eq!(
            executed.reply, reply,
            "request {request_number} of client {client} is answered in two ways"
        );
        self.has_told(op);
    }

    /// A client hears the answer to a request that it made when `floor` had been told already.
    pub(crate) fn heard(&mut self, client: u128, request_number: u64, floor: OpNumber) {
        let op = self
            .get(client, request_number)
            .expect("what was answered was executed")
            .op;
        assert!(
            op > floor,
            "request {request_number} of client {client} became {op:?}, before {floor:?}, which \
             was told before it was made"
        );
        self.has_told(op);
    }

    /// Somebody was told what the state is after this operation.
    pub(crate) fn has_told(&mut self, op: OpNumber) {
        self.told = self.told.max(op);
    }
}
