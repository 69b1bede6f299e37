//! Values as records, and back.

use quorate_client::{ConsumedRecord, Header, Record};
use quorate_jepsen::{Damage, Payload, Value};

use super::Target;

/// The header of a record with a key. It holds the value, for a tombstone has none.
const HEADER: &str = "value";

/// The record in which `value` is sent, of at least about `bytes` bytes.
pub(super) fn record_of(value: Value, bytes: usize, target: &Target) -> Record {
    let Some(keys) = target.keys else {
        return Record::new(value.encode(bytes));
    };
    let header = Header {
        key: HEADER.to_owned(),
        value: Some(value.encode(0).into()),
    };
    Record {
        key: Some(key_of(keys.key(&value)).into()),
        value: (!keys.is_tombstone(&value)).then(|| value.encode(bytes).into()),
        headers: vec![header],
        timestamp: None,
    }
}

fn key_of(key: u32) -> String {
    format!("key-{key}")
}

/// What was read: a value, if everything in the record fits it.
pub(super) fn payload_of(record: &ConsumedRecord, target: &Target) -> Payload {
    match value_of(record, target) {
        Ok(value) => Payload::Value(value),
        Err(damage) => Payload::Damaged(damage),
    }
}

fn value_of(record: &ConsumedRecord, target: &Target) -> Result<Value, Damage> {
    let content = record.value.as_deref().map(Value::decode).transpose()?;
    let Some(keys) = target.keys else {
        let is_plain = record.key.is_none() && record.headers.is_empty();
        return content.filter(|_| is_plain).ok_or(Damage::Malformed);
    };
    let [header] = record.headers.as_slice() else {
        return Err(Damage::Malformed);
    };
    let named = header.value.as_deref().ok_or(Damage::Malformed)?;
    let value = Value::decode(named)?;
    let is_sound = header.key == HEADER
        && record.key.as_deref() == Some(key_of(keys.key(&value)).as_bytes())
        && content.is_none() == keys.is_tombstone(&value)
        && content.is_none_or(|content| content == value);
    is_sound.then_some(value).ok_or(Damage::Malformed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quorate_jepsen::Keys;

    use super::*;

    const VALUE: Value = Value {
        process: 1,
        counter: 2,
        partition: 3,
    };

    fn target(keys: Option<Keys>) -> Target {
        Target {
            topic: "t".into(),
            index: 0,
            log: 3,
            keys,
        }
    }

    fn consumed(record: Record) -> ConsumedRecord {
        ConsumedRecord {
            partition: 0,
            offset: 7,
            timestamp: 0,
            key: record.key,
            value: record.value,
            headers: record.headers,
        }
    }

    #[test]
    fn value_comes_back_from_its_record() {
        let keys = |tombstone_every| Keys {
            count: 4,
            tombstone_every,
            tombstones_stay: Duration::ZERO,
        };
        for keys in [None, Some(keys(0)), Some(keys(1))] {
            let target = target(keys);
            let record = consumed(record_of(VALUE, 100, &target));
            let is_tombstone = keys.is_some_and(|keys| keys.tombstone_every == 1);
            assert_eq!(record.value.is_none(), is_tombstone);
            assert_eq!(payload_of(&record, &target), Payload::Value(VALUE));
        }
    }

    #[test]
    fn foreign_key_header_or_content_is_seen() {
        let keys = Keys {
            count: 4,
            tombstone_every: 0,
            tombstones_stay: Duration::ZERO,
        };
        let target = target(Some(keys));
        let good = consumed(record_of(VALUE, 100, &target));
        let other = Value {
            counter: 3,
            ..VALUE
        };
        let broken: [fn(&mut ConsumedRecord); 4] = [
            |it| it.key = Some("key-9".into()),
            |it| it.value = None,
            |it| it.headers.clear(),
            |it| it.headers[0].key = "other".to_owned(),
        ];
        for change in broken {
            let mut record = good.clone();
            change(&mut record);
            assert_eq!(
                payload_of(&record, &target),
                Payload::Damaged(Damage::Malformed)
            );
        }
        let mut record = good;
        record.value = Some(other.encode(100).into());
        assert_eq!(
            payload_of(&record, &target),
            Payload::Damaged(Damage::Malformed)
        );
    }
}
