//! Where a file of records is in a directory or bucket, and what time a folder is of.

use std::ops::Range;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::file_name::FileName;

/// How keys begin, which folders of years are below, and how Hive spells both.
const SERVICE: &str = "vpcflowlogs";
const HIVE_FOLDERS: [(&str, usize); 4] = [("year=", 4), ("month=", 2), ("day=", 2), ("hour=", 2)];

/// The folders that files are sorted into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layout {
    /// Folders as Hive names partitions: `aws-account-id=…/aws-service=vpcflowlogs/aws-region=…/year=2026/month=11/day=21/`
    /// instead of `…/vpcflowlogs/…/2026/11/21/`.
    pub hive_partitions: bool,
    /// A folder for each hour, not only for each day.
    pub hourly_partitions: bool,
}

impl Layout {
    /// The key of the file: its folders and its name. The folders are those of its slot, UTC.
    pub fn key(self, name: &FileName) -> String {
        let (account, region) = (name.account(), name.region());
        let Some(time) = i64::try_from(name.slot()).ok().and_then(|slot| Timestamp::from_second(slot).ok())
        else {
            // No name has a slot without a date.
            return name.to_string();
        };
        let (service, date) = if self.hive_partitions {
            let service = format!("aws-account-id={account}/aws-service={SERVICE}/aws-region={region}");
            (
                service,
                if self.hourly_partitions {
                    "year=%Y/month=%m/day=%d/hour=%H"
                } else {
                    "year=%Y/month=%m/day=%d"
                },
            )
        } else {
            let service = format!("{account}/{SERVICE}/{region}");
            (service, if self.hourly_partitions { "%Y/%m/%d/%H" } else { "%Y/%m/%d" })
        };
        let date = time.to_zoned(TimeZone::UTC).strftime(date);
        format!("AWSLogs/{service}/{date}/{name}")
    }
}

/// The Unix seconds that the slots of a folder's files lie in, as far as its path says: of `…/vpcflowlogs/…/2026/11`, those
/// of November. None for a path that does not end in a folder of a year, month, day or hour.
pub(crate) fn folder_time(path: &str) -> Option<Range<u64>> {
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    let plain = parts.iter().position(|part| *part == SERVICE).map(|at| at + 2);
    let hive = parts.iter().position(|part| part.starts_with("year="));
    let mut numbers = Vec::with_capacity(HIVE_FOLDERS.len());
    for (part, (name, digits)) in parts.get(hive.or(plain)?..)?.iter().zip(HIVE_FOLDERS) {
        let part = if hive.is_some() { part.strip_prefix(name)? } else { part };
        if part.len() != digits {
            return None;
        }
        numbers.push(part.parse::<i16>().ok()?);
    }
    let number =
        |at: usize, default: i8| numbers.get(at).map_or(Some(default), |number| i8::try_from(*number).ok());
    let begin =
        DateTime::new(*numbers.first()?, number(1, 1)?, number(2, 1)?, number(3, 0)?, 0, 0, 0).ok()?;
    let length = match numbers.len() {
        1 => 1.year(),
        2 => 1.month(),
        3 => 1.day(),
        _ => 1.hour(),
    };
    let second =
        |time: DateTime| u64::try_from(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second()).ok();
    Some(second(begin)?..second(begin.checked_add(length).ok()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str =
        "123456789012_vpcflowlogs_us-east-1_fl-01234567890abcdef_20180620T1620Z_fe123456.log.parquet";

    #[test]
    fn keys_are_the_documented_ones() {
        let name = FileName::parse(NAME).unwrap();
        for (hive_partitions, hourly_partitions, folders) in [
            (false, false, "AWSLogs/123456789012/vpcflowlogs/us-east-1/2018/06/20/"),
            (false, true, "AWSLogs/123456789012/vpcflowlogs/us-east-1/2018/06/20/16/"),
            (
                true,
                false,
                "AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=us-east-1/year=2018/month=06/\
                 day=20/",
            ),
            (
                true,
                true,
                "AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=us-east-1/year=2018/month=06/\
                 day=20/hour=16/",
            ),
        ] {
            let layout = Layout { hive_partitions, hourly_partitions };
            assert_eq!(layout.key(&name), format!("{folders}{NAME}"));
            let slot = name.slot();
            for end in folders.match_indices('/').map(|(at, _)| at) {
                if let Some(time) = folder_time(&folders[..end]) {
                    assert!(time.contains(&slot), "{folders} {end}");
                }
            }
            let whole = folder_time(folders).unwrap();
            assert_eq!(whole.end - whole.start, if hourly_partitions { 3_600 } else { 86_400 });
        }
    }

    #[test]
    fn a_folder_says_its_time() {
        let year = 1_514_764_800;
        for (path, time) in [
            ("AWSLogs/1/vpcflowlogs/eu/2018", Some(year..year + 365 * 86_400)),
            ("prefix/AWSLogs/1/vpcflowlogs/eu/2018/02/", Some(year + 31 * 86_400..year + 59 * 86_400)),
            (
                "AWSLogs/aws-account-id=1/aws-service=vpcflowlogs/aws-region=eu/year=2018/month=01/day=01/hour=23",
                Some(year + 23 * 3_600..year + 86_400),
            ),
            ("AWSLogs/1/vpcflowlogs/eu", None),
            ("AWSLogs/1/vpcflowlogs/2018", None),
            ("AWSLogs/1/vpcflowlogs/eu/2018/13", None),
            ("AWSLogs/1/vpcflowlogs/eu/2018/1", None),
            ("AWSLogs/1/vpcflowlogs/eu/old", None),
            ("2018/01/01", None),
            ("", None),
        ] {
            assert_eq!(folder_time(path), time, "{path}");
        }
    }
}
