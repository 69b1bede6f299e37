//! Values that name themselves.
//!
//! A value says which process sent it, as its how-manieth, to which partition, and ends in a hash
//! of all that. So one look at a record that was read tells whether it is damaged, whether it
//! stands in the wrong partition, and whether anybody ever sent it.

use std::fmt;

/// The shortest encoded value: three numbers, their separators and the hash.
const BYTES_MIN: usize = 8 + 1 + 12 + 1 + 8 + 1 + 16;

/// What a writer sends; unique in a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    /// The logical process that sent it. A writer that fails is followed by a new process.
    pub process: u32,
    /// Its place among what that process sent, from 0.
    pub counter: u64,
    /// The partition it was sent to.
    pub partition: u32,
}

/// Why the bytes of a record are not a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// They do not have the form of a value.
    Malformed,
    /// They have the form, but the hash is another.
    Hash,
}

impl Value {
    /// One line of printable bytes, padded to `bytes` where that is longer than needed.
    pub fn encode(&self, bytes: usize) -> String {
        let mut line = format!(
            "{:08x}-{:012x}-{:08x}-",
            self.process, self.counter, self.partition
        );
        // The padding differs from value to value, so that misplaced bytes do not go unseen.
        let seed = self
            .counter
            .wrapping_mul(31)
            .wrapping_add(u64::from(self.process));
        for place in 0..bytes.saturating_sub(BYTES_MIN) as u64 {
            let letter = (seed.wrapping_add(place) % 26) as u8;
            line.push(char::from(b'a' + letter));
        }
        let hash = hash(line.as_bytes());
        line.push_str(&format!("{hash:016x}"));
        line
    }

    /// Reads what [`Value::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let text = std::str::from_utf8(bytes).map_err(|_| Damage::Malformed)?;
        if text.len() < BYTES_MIN || !text.is_ascii() {
            return Err(Damage::Malformed);
        }
        let (line, written) = text.split_at(text.len() - 16);
        let mut fields = line.splitn(4, '-');
        let mut number = |digits: usize| {
            let field = fields.next().filter(|field| field.len() == digits);
            let number = field.and_then(|field| u64::from_str_radix(field, 16).ok());
            number.ok_or(Damage::Malformed)
        };
        let (process, counter, partition) = (number(8)?, number(12)?, number(8)?);
        let written = u64::from_str_radix(written, 16).map_err(|_| Damage::Malformed)?;
        if written != hash(line.as_bytes()) {
            return Err(Damage::Hash);
        }
        Ok(Self {
            process: process as u32,
            counter,
            partition: partition as u32,
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "value {} of process {}", self.counter, self.process)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "bytes that do not have the form of a value",
            Self::Hash => "a value whose hash is wrong",
        })
    }
}

/// FNV-1a with a last round of mixing, since its high bits are weak.
fn hash(bytes: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: Value = Value {
        process: 7,
        counter: 1_000_000_007,
        partition: 2,
    };

    #[test]
    fn value_comes_back_from_its_bytes() {
        for bytes in [0, BYTES_MIN, BYTES_MIN + 1, 1024] {
            let line = VALUE.encode(bytes);
            assert_eq!(line.len(), bytes.max(BYTES_MIN));
            assert_eq!(Value::decode(line.as_bytes()), Ok(VALUE));
        }
    }

    #[test]
    fn any_changed_byte_is_seen() {
        let line = VALUE.encode(100).into_bytes();
        for at in 0..line.len() {
            let mut damaged = line.clone();
            damaged[at] = if damaged[at] == b'1' { b'2' } else { b'1' };
            assert!(Value::decode(&damaged).is_err(), "byte {at} changed unseen");
        }
    }

    #[test]
    fn shortened_and_empty_bytes_are_seen() {
        let line = VALUE.encode(100);
        assert_eq!(Value::decode(b""), Err(Damage::Malformed));
        assert!(Value::decode(&line.as_bytes()[..99]).is_err());
        assert!(Value::decode(&line.as_bytes()[1..]).is_err());
        assert_eq!(
            Value::decode("ü".repeat(60).as_bytes()),
            Err(Damage::Malformed)
        );
    }
}
