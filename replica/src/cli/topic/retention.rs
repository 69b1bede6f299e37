//! How long and how much of a topic is kept, as people write it.

use clap::Args;
use quorate_client::{Limit, Retention};

/// What is said of it on the command line.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct RetentionOptions {
    /// How long records are kept: a time such as 7d, 12h, 30m or 10s, or forever
    #[arg(long, value_name = "TIME|forever", value_parser = parse_time)]
    retention: Option<Limit>,
    /// How many bytes of each partition are kept: a number such as 1000000 or 10GiB, or unlimited
    #[arg(long, value_name = "BYTES|unlimited", value_parser = parse_bytes)]
    retention_bytes: Option<Limit>,
}

impl RetentionOptions {
    /// Whether anything is said of it.
    pub(super) fn is_given(&self) -> bool {
        self.retention.is_some() || self.retention_bytes.is_some()
    }

    pub(super) fn ms(&self) -> Limit {
        self.retention.unwrap_or_default()
    }

    pub(super) fn bytes(&self) -> Limit {
        self.retention_bytes.unwrap_or_default()
    }
}

/// The units of time, in milliseconds, from the largest on.
const TIMES: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads `7d`, `12h`, `30m`, `10s`, `500ms` or `forever`.
fn parse_time(text: &str) -> Result<Limit, String> {
    match text {
        "forever" => Ok(Limit::Lift),
        text => number(text, &TIMES)
            .map(Limit::Set)
            .ok_or_else(|| "allowed: forever, or a time such as 7d, 12h, 30m or 10s".to_owned()),
    }
}

/// Reads `7d`, `12h`, `30m`, `10s` or `500ms`.
pub(in crate::cli) fn parse_duration_ms(text: &str) -> Result<u64, String> {
    number(text, &TIMES).ok_or_else(|| "allowed: a time such as 7d, 12h, 30m or 10s".to_owned())
}

/// Reads `1000`, `64KiB`, `100MiB`, `10GiB`, `1TiB` or `unlimited`.
fn parse_bytes(text: &str) -> Result<Limit, String> {
    let units = [
        ("", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
    ];
    match text {
        "unlimited" => Ok(Limit::Lift),
        text => number(text, &units)
            .map(Limit::Set)
            .ok_or_else(|| "allowed: unlimited, or bytes such as 1000000 or 10GiB".to_owned()),
    }
}

/// A whole number above 0 with one of these units.
fn number(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    // What is stored has to fit wherever times and sizes are signed.
    let number = number.checked_mul(*factor)?;
    i64::try_from(number).is_ok().then_some(number)
}

/// Both limits, as they are told: in the largest units that are exact.
pub(super) fn told(retention: Retention) -> (String, String) {
    let sizes = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    let ms = retention.ms.map(told_ms);
    let bytes = retention.bytes.map(|bytes| largest(bytes, &sizes));
    (
        ms.unwrap_or_else(|| "forever".to_owned()),
        bytes.unwrap_or_else(|| "unlimited".to_owned()),
    )
}

/// A time in milliseconds, as it is written.
pub(super) fn told_ms(ms: u64) -> String {
    largest(ms, &TIMES)
}

fn largest(number: u64, units: &[(&str, u64)]) -> String {
    let unit = units
        .iter()
        .find(|(_, factor)| number.is_multiple_of(*factor));
    let (name, factor) = unit.copied().unwrap_or(("", 1));
    format!("{}{name}", number / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_with_their_units() {
        assert_eq!(parse_time("7d"), Ok(Limit::Set(604_800_000)));
        assert_eq!(parse_time("12h"), Ok(Limit::Set(43_200_000)));
        assert_eq!(parse_time("30m"), Ok(Limit::Set(1_800_000)));
        assert_eq!(parse_time("10s"), Ok(Limit::Set(10_000)));
        assert_eq!(parse_time("500ms"), Ok(Limit::Set(500)));
        assert_eq!(parse_time("forever"), Ok(Limit::Lift));
        assert_eq!(parse_bytes("1000"), Ok(Limit::Set(1000)));
        assert_eq!(parse_bytes("10GiB"), Ok(Limit::Set(10 << 30)));
        assert_eq!(parse_bytes("unlimited"), Ok(Limit::Lift));
    }

    #[test]
    fn what_is_no_limit_is_refused_with_examples() {
        for bad in [
            "",
            "7",
            "0d",
            "-1d",
            "1w",
            "1.5h",
            "999999999999d",
            "unlimited",
        ] {
            assert!(parse_time(bad).unwrap_err().contains("7d"), "{bad}");
        }
        for bad in [
            "",
            "0",
            "GiB",
            "-1",
            "10GB",
            "1.5GiB",
            "99999999TiB",
            "forever",
        ] {
            assert!(parse_bytes(bad).unwrap_err().contains("10GiB"), "{bad}");
        }
    }

    #[test]
    fn limits_are_told_as_they_are_written() {
        let told = |ms, bytes| told(Retention { ms, bytes });
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(told(None, None), pair("forever", "unlimited"));
        assert_eq!(told(Some(604_800_000), Some(10 << 30)), pair("7d", "10GiB"));
        assert_eq!(told(Some(90_000), Some(1000)), pair("90s", "1000"));
        assert_eq!(told(Some(1), Some(1 << 10)), pair("1ms", "1KiB"));
    }
}
