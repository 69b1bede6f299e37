use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quorate_client::ConsumedRecord;
use serde::Serialize;

/// A record as a JSON object.
#[derive(Debug, Serialize)]
pub(super) struct RecordLine<'a> {
    partition: u32,
    offset: u64,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

impl<'a> RecordLine<'a> {
    pub(super) fn new(record: &'a ConsumedRecord) -> Self {
        let (key, key_base64) = text_or_base64(record.key.as_deref());
        let (value, value_base64) = text_or_base64(record.value.as_deref());
        Self {
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key,
            key_base64,
            value,
            value_base64,
        }
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self).map_err(io::Error::from)?;
        out.write_all(b"\n")
    }
}

/// The text (`Some(None)`: null), or else the base64; never both.
pub(in crate::cli) fn text_or_base64(
    bytes: Option<&[u8]>,
) -> (Option<Option<&str>>, Option<String>) {
    match bytes.map(std::str::from_utf8) {
        None => (Some(None), None),
        Some(Ok(text)) => (Some(Some(text)), None),
        Some(Err(_)) => (None, bytes.map(|bytes| STANDARD.encode(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn line(key: Option<&'static [u8]>, value: Option<&'static [u8]>) -> String {
        let record = ConsumedRecord {
            partition: 1,
            offset: 5,
            timestamp: 1_700_000_000_000,
            key: key.map(Bytes::from_static),
            value: value.map(Bytes::from_static),
            headers: Vec::new(),
        };
        let mut out = Vec::new();
        RecordLine::new(&record).write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_stands_as_text_and_what_is_absent_as_null() {
        assert_eq!(
            line(None, Some("a \"quoted\"\tvälue".as_bytes())),
            "{\"partition\":1,\"offset\":5,\"timestamp\":1700000000000,\"key\":null,\
             \"value\":\"a \\\"quoted\\\"\\tvälue\"}\n"
        );
        assert!(line(Some(b"k"), None).contains("\"key\":\"k\",\"value\":null"));
    }

    #[test]
    fn what_is_not_text_stands_as_base64_under_another_name() {
        let line = line(Some(b"\xff"), Some(b"\x00\xfe"));
        assert!(
            line.contains("\"key_base64\":\"/w==\",\"value_base64\":\"AP4=\""),
            "{line}"
        );
        assert!(
            !line.contains("\"key\"") && !line.contains("\"value\""),
            "{line}"
        );
    }
}
