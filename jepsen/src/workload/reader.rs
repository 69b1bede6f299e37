use std::process::Stdio;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::cluster::{CommandLine, PATIENCE, collect};
use crate::{Failure, Moment, Payload, Read, Record, Value};

/// What `quorate consume --output json` prints for a record. A value that is not text comes as
/// base64 instead.
#[derive(Deserialize)]
struct Line {
    offset: u64,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    value_base64: Option<String>,
}

/// Reads a partition from `from` to the end that is known at the start.
pub fn read_partition(
    line: &CommandLine,
    topic: &str,
    partition: u32,
    from: u64,
    origin: Instant,
) -> Result<Read, Failure> {
    let invoked = Moment::since(origin);
    let mut command = line.command(&["consume", topic, "--output", "json"]);
    command.args([
        "--partition",
        &partition.to_string(),
        "--from",
        &from.to_string(),
    ]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command
        .spawn()
        .map_err(Failure::of("starting `quorate consume`"))?;
    let finished = collect(child, PATIENCE)?;
    let whole_lines = finished.stdout.split_inclusive(|byte| *byte == b'\n');
    let whole_lines = whole_lines.filter(|line| line.ends_with(b"\n"));
    Ok(Read {
        partition,
        from,
        invoked,
        completed: Moment::since(origin),
        finished: finished.success,
        is_final: false,
        records: whole_lines.map(parse).collect::<Result<_, _>>()?,
    })
}

fn parse(line: &[u8]) -> Result<Record, Failure> {
    let line: Line = serde_json::from_slice(line).map_err(|error| {
        let said = String::from_utf8_lossy(line);
        Failure::new(format!(
            "`quorate consume` printed no record ({error}): {said}"
        ))
    })?;
    let bytes = match (line.value, line.value_base64) {
        (Some(text), _) => text.into_bytes(),
        (None, Some(base64)) => STANDARD
            .decode(base64)
            .map_err(Failure::of("decoding base64 of a record"))?,
        (None, None) => Vec::new(),
    };
    let payload = match Value::decode(&bytes) {
        Ok(value) => Payload::Value(value),
        Err(damage) => Payload::Damaged(damage),
    };
    Ok(Record {
        offset: line.offset,
        payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Damage;

    const VALUE: Value = Value {
        process: 1,
        counter: 2,
        partition: 3,
    };

    #[test]
    fn record_is_read_from_text_and_from_base64() {
        let text = VALUE.encode(60);
        let plain = format!(r#"{{"partition":3,"offset":7,"key":null,"value":"{text}"}}"#);
        let coded = STANDARD.encode(&text);
        let coded = format!(r#"{{"partition":3,"offset":7,"value_base64":"{coded}"}}"#);
        let expected = Record {
            offset: 7,
            payload: Payload::Value(VALUE),
        };
        assert_eq!(parse(plain.as_bytes()), Ok(expected.clone()));
        assert_eq!(parse(coded.as_bytes()), Ok(expected));
    }

    #[test]
    fn damaged_record_is_kept_as_such_and_damaged_json_is_a_failure() {
        let damaged = parse(br#"{"partition":3,"offset":7,"value":"junk"}"#).unwrap();
        assert_eq!(damaged.payload, Payload::Damaged(Damage::Malformed));
        assert!(parse(b"{").is_err());
    }
}
