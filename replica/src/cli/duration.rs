use std::time::Duration;

/// Reads `10s`, `500ms`, `2m`, or plain seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let milliseconds_of_one = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        _ => 0,
    };
    let number: u64 = number.parse().unwrap_or(0);
    match number.checked_mul(milliseconds_of_one) {
        Some(milliseconds @ 1..=86_400_000) => Ok(Duration::from_millis(milliseconds)),
        _ => Err("allowed: a time up to a day, such as 10s, 500ms or 2m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_a_unit() {
        assert_eq!(parse("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
    }

    #[test]
    fn what_is_not_a_time_is_refused_with_examples() {
        for bad in [
            "",
            "s",
            "-1s",
            "1h",
            "1.5s",
            "0",
            "2000m",
            "99999999999999999999s",
        ] {
            assert!(parse(bad).unwrap_err().contains("500ms"), "{bad}");
        }
    }
}
