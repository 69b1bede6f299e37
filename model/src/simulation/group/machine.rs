//! The replicated state machine of the simulation: a digest of everything that it was ever told.

use quorate_vsr::OpNumber;

#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    /// Depends on every operation and on their order.
    digest: u64,
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
        self.digest = (self.digest ^ op.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for byte in operation {
            self.digest = (self.digest.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(0x0100_01b3);
        }
        self.digest.to_le_bytes().to_vec()
    }

    /// The state, with as many bytes behind it as make it large or small.
    pub(crate) fn snapshot(&self, padding: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + padding);
        bytes.extend_from_slice(&self.digest.to_le_bytes());
        bytes.extend_from_slice(&self.last.0.to_le_bytes());
        bytes.resize(16 + padding, self.digest as u8);
        bytes
    }

    pub(crate) fn restore(bytes: &[u8]) -> Self {
        let number = |at: usize| {
            let bytes = bytes[at..at + 8].try_into();
            u64::from_le_bytes(bytes.expect("eight bytes are eight bytes"))
        };
        Self {
            digest: number(0),
            last: OpNumber(number(8)),
        }
    }
}
