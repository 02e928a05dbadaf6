//! Points in time as an operator writes and reads them.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// A point in time, in Unix seconds: written as a time ago (`10m`), in RFC 3339, or as Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(i64);

impl Moment {
    /// Unix seconds.
    pub(crate) const fn unix_seconds(self) -> i64 {
        self.0
    }

    fn parse(text: &str, now: i64) -> Option<Self> {
        if let Ok(seconds) = text.parse::<u32>() {
            return Some(Self(seconds.into()));
        }
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            return Some(Self(timestamp.as_second()));
        }
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            _ => return None,
        };
        let ago = i64::from(number.parse::<u32>().ok()?) * seconds;
        Some(Self(now.saturating_sub(ago)))
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, Timestamp::now().as_second())
            .ok_or("expected a time ago (90s, 10m, 2h, 1d), RFC 3339 (2026-01-31T12:00:00Z) or Unix seconds")
    }
}

/// A time range in UTC, the date of its end only where it is another:
/// `2026-01-31 12:00:00 – 12:01:00`.
pub(crate) fn interval(start: i64, end: i64) -> String {
    let (Some(start_utc), Some(end_utc)) = (utc(start), utc(end)) else {
        // Beyond the year 9999.
        return format!("{start} – {end}");
    };
    let end_format = if start_utc.date() == end_utc.date() { "%H:%M:%S" } else { "%F %H:%M:%S" };
    format!("{} – {}", start_utc.strftime("%F %H:%M:%S"), end_utc.strftime(end_format))
}

fn utc(seconds: i64) -> Option<DateTime> {
    let timestamp = Timestamp::from_second(seconds).ok()?;
    Some(Offset::UTC.to_datetime(timestamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn parse(text: &str) -> Option<i64> {
        Moment::parse(text, NOW).map(Moment::unix_seconds)
    }

    #[test]
    fn reads_times_ago_rfc_3339_and_unix_seconds() {
        assert_eq!(parse("90s"), Some(NOW - 90));
        assert_eq!(parse("10m"), Some(NOW - 600));
        assert_eq!(parse("2h"), Some(NOW - 7_200));
        assert_eq!(parse("1d"), Some(NOW - 86_400));
        assert_eq!(parse("1700000000"), Some(1_700_000_000));
        assert_eq!(parse("2023-11-14T22:13:20Z"), Some(1_700_000_000));
        assert_eq!(parse("2023-11-14T23:13:20+01:00"), Some(1_700_000_000));
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "m", "10 m", "-5m", "1w", "10ä", "yesterday", "2023-11-14"] {
            assert!(parse(text).is_none(), "{text}");
        }
        assert!("soon".parse::<Moment>().unwrap_err().contains("RFC 3339"));
    }

    #[test]
    fn an_interval_repeats_no_date() {
        assert_eq!(interval(1_700_000_000, 1_700_000_060), "2023-11-14 22:13:20 – 22:14:20");
        assert_eq!(interval(1_700_006_390, 1_700_006_410), "2023-11-14 23:59:50 – 2023-11-15 00:00:10");
        assert_eq!(interval(i64::MAX, i64::MAX), format!("{0} – {0}", i64::MAX));
    }
}
