//! Where to start reading, as people write it.

use std::str::FromStr;

use quorate_client::{Compio, Start};
use quorate_platform::Tasks as _;

use super::timestamp;
use crate::cli::topic::parse_duration_ms;

/// The start of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    At(Start),
    /// So many milliseconds before now.
    Ago(u64),
}

impl From {
    /// What it means now.
    pub(super) fn start(self) -> Start {
        match self {
            Self::At(start) => start,
            Self::Ago(ms) => {
                let now = Compio.wall_clock_ms();
                Start::Time(now.saturating_sub_unsigned(ms))
            }
        }
    }
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "beginning" => return Ok(Self::At(Start::Beginning)),
            "end" => return Ok(Self::At(Start::End)),
            _ => {}
        }
        if let Ok(offset) = text.parse() {
            return Ok(Self::At(Start::Offset(offset)));
        }
        if let Ok(ms) = parse_duration_ms(text) {
            return Ok(Self::Ago(ms));
        }
        let why = match timestamp::parse(text) {
            Ok(timestamp) => return Ok(Self::At(Start::Time(timestamp))),
            Err(why) => why,
        };
        let allowed = "beginning, end, an offset from 0, a time ago such as 15m, 2h or 7d, or a \
                       time such as 2026-11-28T05:00:00Z";
        Err(match why {
            Some(why) => format!("{why}; allowed: {allowed}"),
            None => format!("allowed: {allowed}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_word_an_offset_or_a_time() {
        let start = |text: &str| text.parse::<From>();
        assert_eq!(start("beginning"), Ok(From::At(Start::Beginning)));
        assert_eq!(start("end"), Ok(From::At(Start::End)));
        assert_eq!(start("42"), Ok(From::At(Start::Offset(42))));
        assert_eq!(start("15m"), Ok(From::Ago(900_000)));
        assert_eq!(start("2h"), Ok(From::Ago(7_200_000)));
        let time = Start::Time(1_795_842_000_000);
        assert_eq!(start("2026-11-28T05:00:00Z"), Ok(From::At(time)));
    }

    #[test]
    fn a_time_ago_is_counted_from_now() {
        let before = Compio.wall_clock_ms();
        let Start::Time(start) = From::Ago(60_000).start() else {
            panic!("a time ago is a time")
        };
        let after = Compio.wall_clock_ms();
        assert!((before - 60_000..=after - 60_000).contains(&start));
    }

    #[test]
    fn what_is_none_of_it_is_refused_with_examples() {
        for bad in [
            "",
            "-1",
            "start",
            "yesterday",
            "18446744073709551616",
            "5 m",
            "m",
            "2026-11-28",
            "2026-11-28T05:00:00",
        ] {
            let error = bad.parse::<From>().unwrap_err();
            let is_clear = ["beginning", "15m", "2026-11-28T05:00:00Z"];
            assert!(
                is_clear.iter().all(|it| error.contains(it)),
                "{bad}: {error}"
            );
        }
        let error = "2026-02-29T00:00:00Z".parse::<From>().unwrap_err();
        assert!(error.contains("no such day"), "{error}");
    }
}
