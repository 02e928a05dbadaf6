//! The names of flow log files.

use std::fmt;
use std::str::FromStr;

use enid_model::{ModelError, Name};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};

use crate::error::FlowLogError;

/// The length of the slot of record ends that one file is for.
pub const SLOT_SECONDS: u64 = 300;

const ID_DIGITS: usize = 17;
const HASH_DIGITS: usize = 8;
const SLOT_FORMAT: &str = "%Y%m%dT%H%MZ";

/// The identifier of a flow log: `fl-` and 17 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FlowLogId(u128);

impl FlowLogId {
    /// An identifier that was not there before.
    pub fn random() -> Self {
        Self(fastrand::u128(..) >> (128 - 4 * ID_DIGITS))
    }

    /// The identifier that always belongs to this text: one that need not be stored.
    pub fn derived_from(text: &str) -> Self {
        Self(fnv1a(text.as_bytes()) >> (128 - 4 * ID_DIGITS))
    }
}

impl fmt::Display for FlowLogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fl-{:017x}", self.0)
    }
}

impl FromStr for FlowLogId {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        text.strip_prefix("fl-")
            .filter(|digits| is_lower_hex(digits, ID_DIGITS))
            .and_then(|digits| u128::from_str_radix(digits, 16).ok())
            .map(Self)
            .ok_or_else(|| ModelError::Malformed {
                kind: "a flow log id",
                value: text.to_owned(),
                reason: format!("expected `fl-` and {ID_DIGITS} hex digits"),
            })
    }
}

impl TryFrom<String> for FlowLogId {
    type Error = ModelError;

    fn try_from(text: String) -> Result<Self, ModelError> {
        text.parse()
    }
}

impl From<FlowLogId> for String {
    fn from(id: FlowLogId) -> Self {
        id.to_string()
    }
}

/// What a file of records is, as the end of its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// Lines of text: `.log`.
    Text,
    /// Lines of text, compressed with gzip: `.log.gz`.
    Gzip,
    /// Parquet: `.log.parquet`.
    Parquet,
}

impl FileKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Text, Self::Gzip, Self::Parquet];

    /// What names of such files end in.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Text => ".log",
            Self::Gzip => ".log.gz",
            Self::Parquet => ".log.parquet",
        }
    }

    /// The kind of the file with this name, and the name without its end.
    pub(crate) fn split(name: &str) -> Option<(Self, &str)> {
        Self::ALL.into_iter().find_map(|kind| Some((kind, name.strip_suffix(kind.suffix())?)))
    }
}

/// The parts of a file's name, `{account}_vpcflowlogs_{region}_{id}_{YYYYMMDDTHHmmZ}_{hash}.log`, or with another
/// [`FileKind`]'s end. The order is that of the slots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    slot: u64,
    stream: Stream,
}

/// What the files of one writer have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Stream {
    pub(crate) account: Name,
    pub(crate) region: Name,
    pub(crate) id: FlowLogId,
    pub(crate) hash: u32,
    pub(crate) kind: FileKind,
}

impl FileName {
    /// The name of the file for records that end at this Unix second. Refuses times past the year 9999.
    pub(crate) fn new(stream: Stream, end: u64) -> Result<Self, FlowLogError> {
        let slot = end - end % SLOT_SECONDS;
        match timestamp(slot) {
            Some(_) => Ok(Self { slot, stream }),
            None => Err(FlowLogError::Time(end)),
        }
    }

    /// Reads a file's name; none where it is not a flow log file's.
    pub fn parse(name: &str) -> Option<Self> {
        let (kind, stem) = FileKind::split(name)?;
        let mut parts = stem.rsplitn(4, '_');
        let hash = parts.next().filter(|digits| is_lower_hex(digits, HASH_DIGITS))?;
        let slot = DateTime::strptime(SLOT_FORMAT, parts.next()?).ok()?;
        let slot = Offset::UTC.to_timestamp(slot).ok()?.as_second();
        let id = parts.next()?.parse().ok()?;
        let (account, region) = parts.next()?.split_once("_vpcflowlogs_")?;
        let stream = Stream {
            account: account.parse().ok()?,
            region: region.parse().ok()?,
            id,
            hash: u32::from_str_radix(hash, 16).ok()?,
            kind,
        };
        // A name that would be written otherwise (a slot off the grid, say) was made by somebody else.
        Self::new(stream, u64::try_from(slot).ok()?).ok().filter(|parsed| parsed.to_string() == name)
    }

    /// The Unix second that the slot begins at. The records end from here to [`SLOT_SECONDS`] later.
    pub const fn slot(&self) -> u64 {
        self.slot
    }

    /// The account.
    pub const fn account(&self) -> &Name {
        &self.stream.account
    }

    /// The region.
    pub const fn region(&self) -> &Name {
        &self.stream.region
    }

    /// The flow log.
    pub const fn id(&self) -> FlowLogId {
        self.stream.id
    }

    /// What tells the file from others of the same flow log and slot.
    pub const fn hash(&self) -> u32 {
        self.stream.hash
    }

    /// What the file is.
    pub const fn kind(&self) -> FileKind {
        self.stream.kind
    }

    /// Whether a record that ends from `since` until before `until` can be in the file.
    pub(crate) fn overlaps(&self, since: Option<u64>, until: Option<u64>) -> bool {
        since.is_none_or(|since| since < self.slot + SLOT_SECONDS)
            && until.is_none_or(|until| self.slot < until)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stream { account, region, id, hash, kind } = &self.stream;
        let time = timestamp(self.slot).ok_or(fmt::Error)?;
        let slot = time.to_zoned(TimeZone::UTC).strftime(SLOT_FORMAT);
        write!(f, "{account}_vpcflowlogs_{region}_{id}_{slot}_{hash:08x}{}", kind.suffix())
    }
}

/// The time, where it has a date: the last one is in the year 9999.
fn timestamp(seconds: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

fn is_lower_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// FNV-1a, 128 bits: a hash that is the same in every version of every program.
pub(crate) fn fnv1a(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "123456789012_vpcflowlogs_us-east-1_fl-01234567890abcdef_20180620T1620Z_fe123456.log";

    #[test]
    fn a_name_reads_back() {
        let name = FileName::parse(NAME).unwrap();
        assert_eq!(name.to_string(), NAME);
        assert_eq!(name.slot(), 1_529_511_600);
        assert_eq!(name.id().to_string(), "fl-01234567890abcdef");
        let last = FileName::new(name.stream.clone(), 1_529_511_899).unwrap();
        assert_eq!(last, name);
        assert!(FileName::new(name.stream.clone(), 1_529_511_900).unwrap() > name);
    }

    #[test]
    fn the_end_tells_the_kind() {
        for kind in FileKind::ALL {
            let name = FileName::parse(&NAME.replace(".log", kind.suffix())).unwrap();
            assert_eq!(name.kind(), kind);
            assert_eq!(name.to_string(), NAME.replace(".log", kind.suffix()));
        }
    }

    #[test]
    fn other_names_are_not_ours() {
        for (from, to) in [
            (".log", ".log.zst"),
            (".log", ".parquet"),
            (".log", ""),
            ("fe123456", "FE123456"),
            ("fe123456", "fe12345"),
            ("1620Z", "1621Z"),
            ("1620Z", "2520Z"),
            ("20180620T", "19690620T"),
            ("fl-0", "fl-"),
            ("_vpcflowlogs_", "_"),
            ("us-east-1", ""),
            ("us-east-1", "../x"),
        ] {
            assert_eq!(FileName::parse(&NAME.replace(from, to)), None, "{from} {to}");
        }
        assert_eq!(FileName::parse(""), None);
    }

    #[test]
    fn an_underscore_in_account_or_region_is_no_matter() {
        let name = NAME.replace("us-east-1", "my_region").replace("123456789012", "my_account");
        assert_eq!(FileName::parse(&name).unwrap().to_string(), name);
    }

    #[test]
    fn a_time_without_a_date_is_refused() {
        let stream = FileName::parse(NAME).unwrap().stream.clone();
        assert!(FileName::new(stream.clone(), u64::MAX).is_err());
        assert!(FileName::new(stream.clone(), 253_402_300_800).is_err());
        assert!(FileName::new(stream, 253_402_200_000).unwrap().to_string().contains("_99991230T2000Z_"));
    }

    #[test]
    fn derived_ids_stay_the_same() {
        assert_eq!(FlowLogId::derived_from("host-1"), FlowLogId::derived_from("host-1"));
        assert_ne!(FlowLogId::derived_from("host-1"), FlowLogId::derived_from("host-2"));
        let id = FlowLogId::derived_from("");
        assert_eq!(id.to_string().parse::<FlowLogId>().unwrap(), id);
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        // The published vector of the 128-bit variant.
        assert_eq!(fnv1a(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
