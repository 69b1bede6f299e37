//! The replicated state machine of the simulation: it remembers everything it was ever told.

use std::collections::BTreeSet;

use quorate_vsr::OpNumber;

#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    /// Depends on every operation and on their order.
    digest: u64,
    /// The operations of clients, which are all different.
    requests: BTreeSet<Vec<u8>>,
    last: OpNumber,
}

impl Machine {
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn last(&self) -> OpNumber {
        self.last
    }

    pub(crate) fn execute(&mut self, op: OpNumber, operation: &[u8]) -> Vec<u8> {
        assert!(op > self.last, "operations are executed in order");
        self.last = op;
        let is_request = operation.first() == Some(&b'r');
        let is_first = !is_request || self.requests.insert(operation.to_vec());
        assert!(
            is_first,
            "{operation:?} is executed for the second time, as {op:?}"
        );
        self.digest = (self.digest ^ op.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for byte in operation {
            self.digest = (self.digest.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(0x0100_01b3);
        }
        self.digest.to_le_bytes().to_vec()
    }

    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&self.digest.to_le_bytes());
        bytes.extend_from_slice(&self.last.0.to_le_bytes());
        for request in &self.requests {
            bytes.push(u8::try_from(request.len()).unwrap());
            bytes.extend_from_slice(request);
        }
        bytes
    }

    pub(crate) fn restore(bytes: &[u8]) -> Self {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let mut machine = Self {
            digest: number(0),
            last: OpNumber(number(8)),
            ..Self::default()
        };
        let mut rest = &bytes[16..];
        while let Some((length, tail)) = rest.split_first() {
            let (request, tail) = tail.split_at(usize::from(*length));
            machine.requests.insert(request.to_vec());
            rest = tail;
        }
        machine
    }
}
