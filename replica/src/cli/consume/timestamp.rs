//! Times as in RFC 3339, section 5.6.

/// Seconds in a day.
const DAY: i64 = 86_400;

/// Reads a time such as `2026-11-28T05:00:00Z` or `2026-11-28T06:00:00.250+01:00`; milliseconds
/// since 1970, rounded up.
///
/// The error says what is wrong, if the text is meant to be a time at all.
pub(super) fn parse(text: &str) -> Result<i64, Option<&'static str>> {
    let mut rest = Rest(text.as_bytes());
    let year = rest.number(4).ok_or(None)?;
    let months = rest.byte(b"-").and_then(|_| rest.number(2));
    let days = rest.byte(b"-").and_then(|_| rest.number(2));
    let (Some(month), Some(day)) = (months, days) else {
        return Err(None);
    };
    if !(1..=12).contains(&month) || !(1..=days_of_month(year, month)).contains(&day) {
        return Err(Some("there is no such day"));
    }
    let incomplete = Some("a time begins with a day and a T, and then hours:minutes:seconds");
    let hour = rest.byte(b"Tt ").and_then(|_| rest.number(2));
    let minute = rest.byte(b":").and_then(|_| rest.number(2));
    let second = rest.byte(b":").and_then(|_| rest.number(2));
    let (Some(hour), Some(minute), Some(second)) = (hour, minute, second) else {
        return Err(incomplete);
    };
    if hour > 23 || minute > 59 || second > 59 {
        return Err(Some("there is no such time of day"));
    }
    let milliseconds = match rest.byte(b".") {
        Some(_) => rest.fraction().ok_or(incomplete)?,
        None => 0,
    };
    let offset = rest.zone()?;
    let time_of_day = (hour * 60 + minute) * 60 + second;
    let seconds = days_since_1970(year, month, day) * DAY + time_of_day - offset;
    Ok(seconds * 1_000 + milliseconds)
}

/// What has not been read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    /// The next byte, if it is one of these.
    fn byte(&mut self, allowed: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        allowed.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    /// A number of exactly so many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        let is_number = number.iter().all(u8::is_ascii_digit);
        self.0 = if is_number { rest } else { return None };
        Some(
            number
                .iter()
                .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')),
        )
    }

    /// Digits behind the point, as milliseconds: a part of one counts as a whole, so that what is
    /// not before the time is not before its milliseconds either.
    fn fraction(&mut self) -> Option<i64> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit());
        let (digits, rest) = self.0.split_at(digits.count());
        self.0 = rest;
        if digits.is_empty() {
            return None;
        }
        let digit = |at: usize| digits.get(at).map_or(0, |digit| i64::from(digit - b'0'));
        let is_more = digits.iter().skip(3).any(|digit| *digit != b'0');
        Some(digit(0) * 100 + digit(1) * 10 + digit(2) + i64::from(is_more))
    }

    /// The seconds by which the clock of the zone is ahead, and then nothing more.
    fn zone(&mut self) -> Result<i64, Option<&'static str>> {
        let missing = Some("a time ends with its zone, Z or such as +01:00");
        let offset = match self.byte(b"Zz+-").ok_or(missing)? {
            sign @ (b'+' | b'-') => {
                let hours = self.number(2);
                let minutes = self.byte(b":").and_then(|_| self.number(2));
                let (Some(hours @ 0..=23), Some(minutes @ 0..=59)) = (hours, minutes) else {
                    return Err(missing);
                };
                let seconds = (hours * 60 + minutes) * 60;
                if sign == b'+' { seconds } else { -seconds }
            }
            _ => 0,
        };
        match self.0 {
            [] => Ok(offset),
            _ => Err(missing),
        }
    }
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Leap days up to the end of the year before; year 0 is one of them.
    let leap_days = |before: i64| match before {
        0 => 0,
        before => 1 + (before - 1) / 4 - (before - 1) / 100 + (before - 1) / 400,
    };
    let years = (year - 1970) * 365 + leap_days(year) - leap_days(1970);
    let months: i64 = (1..month).map(|month| days_of_month(year, month)).sum();
    years + months + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        // As `date --date=TIME +%s%3N` tells them.
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.999Z", -1),
            ("2026-11-28T05:00:00Z", 1_795_842_000_000),
            ("2026-11-28t05:00:00z", 1_795_842_000_000),
            ("2026-11-28 06:30:00+01:30", 1_795_842_000_000),
            ("2026-11-27T23:00:00-06:00", 1_795_842_000_000),
            ("2026-11-28T05:00:00.25Z", 1_795_842_000_250),
            ("2026-11-28T05:00:00.2500001Z", 1_795_842_000_251),
            ("2026-11-28T05:00:00.9999Z", 1_795_842_001_000),
            ("2024-02-29T12:00:00Z", 1_709_208_000_000),
            ("2000-02-29T00:00:00-00:00", 951_782_400_000),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = days_since_1970(0, 1, 1);
        for year in 0..=2_800 {
            for month in 1..=12 {
                for day in 1..=days_of_month(year, month) {
                    assert_eq!(days_since_1970(year, month, day), expected);
                    expected += 1;
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for bad in [
            "",
            "42",
            "tomorrow",
            "26-11-28T05:00:00Z",
            "2026-11",
            "2026/11/28",
        ] {
            assert_eq!(parse(bad), Err(None), "{bad}");
        }
        for (bad, why) in [
            ("2026-11-28", "hours"),
            ("2026-11-28T05:00Z", "hours"),
            ("2026-11-28T5:00:00Z", "hours"),
            ("2026-11-28T05:00:00.Z", "hours"),
            ("2026-11-28T05:00:00", "zone"),
            ("2026-11-28T05:00:00+1", "zone"),
            ("2026-11-28T05:00:00+0100", "zone"),
            ("2026-11-28T05:00:00+24:00", "zone"),
            ("2026-11-28T05:00:00ZZ", "zone"),
            ("2026-11-28T24:00:00Z", "time of day"),
            ("2026-11-28T05:60:00Z", "time of day"),
            ("2026-11-28T05:00:60Z", "time of day"),
            ("2026-02-29T00:00:00Z", "day"),
            ("1900-02-29T00:00:00Z", "day"),
            ("2026-13-01T00:00:00Z", "day"),
            ("2026-00-01T00:00:00Z", "day"),
            ("2026-04-31T00:00:00Z", "day"),
            ("2026-04-00T00:00:00Z", "day"),
        ] {
            let told = parse(bad).unwrap_err();
            assert!(
                told.is_some_and(|told| told.contains(why)),
                "{bad}: {told:?}"
            );
        }
    }
}
