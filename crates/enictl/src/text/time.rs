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
        Some(Self(now.saturating_sub(text.parse::<Span>().ok()?.0)))
    }
}

/// A length of time in seconds, written with its unit: `10s`, `1m`, `2h`, `1d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(i64);

impl Span {
    /// Seconds.
    pub(crate) const fn seconds(self) -> u64 {
        self.0.unsigned_abs()
    }

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            _ => return None,
        };
        Some(Self(i64::from(number.parse::<u32>().ok()?) * seconds))
    }
}

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or("expected a length of time (10s, 1m, 2h, 1d)")
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

/// A time in milliseconds since 1970, in UTC: `2026-01-31 12:00:00.000`.
pub(crate) fn milliseconds(unix: u64) -> String {
    format!("{}.{:03}", second(unix / 1000), unix % 1000)
}

/// A second in UTC: `2026-01-31 12:00:00`.
pub(crate) fn second(second: u64) -> String {
    let utc = i64::try_from(second).ok().and_then(utc);
    // Beyond the year 9999.
    utc.map_or_else(|| second.to_string(), |utc| utc.strftime("%F %H:%M:%S").to_string())
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
    fn a_span_has_a_unit() {
        let seconds = |text: &str| text.parse::<Span>().ok().map(Span::seconds);
        assert_eq!(["10s", "1m", "2h", "1d"].map(seconds), [Some(10), Some(60), Some(7_200), Some(86_400)]);
        assert_eq!(["10", "m", "-1m", "1w", ""].map(seconds), [None; 5]);
    }

    #[test]
    fn a_second_has_a_date_or_is_its_number() {
        assert_eq!(second(1_700_000_000), "2023-11-14 22:13:20");
        assert_eq!(second(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn an_interval_repeats_no_date() {
        assert_eq!(interval(1_700_000_000, 1_700_000_060), "2023-11-14 22:13:20 – 22:14:20");
        assert_eq!(interval(1_700_006_390, 1_700_006_410), "2023-11-14 23:59:50 – 2023-11-15 00:00:10");
        assert_eq!(interval(i64::MAX, i64::MAX), format!("{0} – {0}", i64::MAX));
    }
}
