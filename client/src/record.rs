use bytes::Bytes;

/// A record to be written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Record {
    /// Chooses the partition: records of one key go to one partition. `None` spreads.
    pub key: Option<Bytes>,
    /// The content; `None` is Kafka's tombstone.
    pub value: Option<Bytes>,
    /// Carried along, in order; keys may repeat.
    pub headers: Vec<Header>,
    /// Milliseconds since 1970-01-01 UTC; `None` takes the clock's time.
    pub timestamp: Option<i64>,
}

impl Record {
    /// A record of this value, without key.
    pub fn new(value: impl Into<Bytes>) -> Self {
        Self {
            value: Some(value.into()),
            ..Self::default()
        }
    }

    /// The same record with a key.
    #[must_use]
    pub fn with_key(self, key: impl Into<Bytes>) -> Self {
        Self {
            key: Some(key.into()),
            ..self
        }
    }
}

/// A named value that travels with a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The name.
    pub key: String,
    /// The value, if any.
    pub value: Option<Bytes>,
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedRecord {
    /// The index of the partition that it stands in.
    pub partition: u32,
    /// Its place in the partition.
    pub offset: u64,
    /// Milliseconds since 1970-01-01 UTC, as its writer said.
    pub timestamp: i64,
    /// Its key, if it has one.
    pub key: Option<Bytes>,
    /// Its content; `None` is Kafka's tombstone.
    pub value: Option<Bytes>,
    /// Its headers, in the writer's order.
    pub headers: Vec<Header>,
}
