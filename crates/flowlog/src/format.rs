//! Formats: which fields a line has, in which order, and the line of a record.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::FlowLogError;
use crate::field::Field;
use crate::value::{Fields, Value};

/// The version of a format whose fields are all enid's own.
const LOWEST_VERSION: u8 = 2;

/// The fields of a flow log's lines, in order; each at most once, and at least one.
///
/// Written `${version} ${account-id} …` by users and `version account-id …` in the first line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Format {
    fields: Vec<Field>,
    set: u128,
    version: u8,
}

impl Format {
    /// Every field that enid has a value for: the format of its own files, so that every filter works on them.
    pub fn complete() -> Self {
        Self::of_distinct(Field::ALL.iter().copied().filter(|field| field.is_filled()).collect())
    }

    /// The fields, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Whether the field is among them.
    pub const fn contains(&self, field: Field) -> bool {
        self.set & field.bit() != 0
    }

    /// What the field `version` shows: the highest version among the fields, at least 2.
    pub const fn version(&self) -> u8 {
        self.version
    }

    /// The first line of a file, without its end: the names of the fields.
    pub fn header(&self) -> String {
        self.fields.iter().map(|field| field.name()).collect::<Vec<_>>().join(" ")
    }

    /// Reads the first line of a file, without its end.
    pub fn from_header(line: &str) -> Result<Self, FlowLogError> {
        Self::new(line.split(' ').map(str::parse).collect::<Result<_, _>>()?)
    }

    /// Appends the record's line, without its end. A field without a value is `-`.
    pub fn render(&self, record: &impl Fields, line: &mut String) {
        for (index, field) in self.fields.iter().enumerate() {
            if index > 0 {
                line.push(' ');
            }
            let value = match field {
                Field::Version => Some(Value::Number(self.version.into())),
                field => record.value(*field),
            };
            match value {
                None => line.push('-'),
                Some(Value::Text(text)) => line.push_str(text),
                // Writing to a string can't fail.
                Some(value) => drop(write!(line, "{value}")),
            }
        }
    }

    /// A format of these fields; a repeated or missing one is refused.
    pub fn new(fields: Vec<Field>) -> Result<Self, FlowLogError> {
        if fields.is_empty() {
            return Err(malformed("", 1, "a format has at least one field"));
        }
        let mut set = 0;
        for field in &fields {
            if set & field.bit() != 0 {
                return Err(FlowLogError::RepeatedField(*field));
            }
            set |= field.bit();
        }
        Ok(Self::of_distinct(fields))
    }

    fn of_distinct(fields: Vec<Field>) -> Self {
        let set = fields.iter().fold(0, |set, field| set | field.bit());
        let version = fields.iter().filter_map(|field| field.version()).max();
        Self { fields, set, version: version.unwrap_or(LOWEST_VERSION) }
    }
}

impl Default for Format {
    /// The fields of version 2, in their documented order.
    fn default() -> Self {
        Self::of_distinct(Field::ALL.iter().copied().filter(|field| field.version() == Some(2)).collect())
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.fields.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            write!(f, "${{{field}}}")?;
        }
        Ok(())
    }
}

impl FromStr for Format {
    type Err = FlowLogError;

    fn from_str(text: &str) -> Result<Self, FlowLogError> {
        let mut fields = Vec::new();
        let mut position = 1;
        if text.is_empty() {
            return Err(malformed(text, position, "a format has at least one field"));
        }
        for part in text.split(' ') {
            if part.is_empty() {
                return Err(malformed(text, position, "single spaces go between fields, and only there"));
            }
            let name = part
                .strip_prefix("${")
                .and_then(|part| part.strip_suffix('}'))
                .filter(|name| !name.contains(['$', '{', '}']))
                .ok_or_else(|| malformed(text, position, "expected a field in the form `${srcaddr}`"))?;
            fields.push(name.parse()?);
            position += part.chars().count() + 1;
        }
        Self::new(fields)
    }
}

impl TryFrom<String> for Format {
    type Error = FlowLogError;

    fn try_from(text: String) -> Result<Self, FlowLogError> {
        text.parse()
    }
}

impl From<Format> for String {
    fn from(format: Format) -> Self {
        format.to_string()
    }
}

fn malformed(text: &str, position: usize, reason: &'static str) -> FlowLogError {
    FlowLogError::MalformedFormat { text: text.to_owned(), position, reason }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test helpers")]
mod tests {
    use super::*;
    use crate::record::{Loss, Observation};
    use crate::testing::{self, line};

    const DEFAULT: &str = "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} \
        ${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status}";

    #[test]
    fn the_default_is_version_2_in_its_documented_order() {
        let format = Format::default();
        assert_eq!(format.to_string(), DEFAULT);
        assert_eq!(DEFAULT.parse::<Format>().unwrap(), format);
        assert_eq!(Format::from_header(&format.header()).unwrap(), format);
        assert_eq!(format.version(), 2);
    }

    #[test]
    fn a_default_line_is_the_documented_one() {
        let record = testing::ssh();
        assert_eq!(
            line(&Format::default(), &record),
            "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 \
             ACCEPT OK"
        );
    }

    #[test]
    fn without_traffic_only_what_is_known_of_the_interface_is_shown() {
        let mut record = testing::ssh();
        (record.start, record.end) = (1_431_280_876, 1_431_280_934);
        record.observation = Observation::NoData;
        assert_eq!(
            line(&Format::default(), &record),
            "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA"
        );
        record.observation = Observation::SkipData(Loss { packets: 3, bytes: 252, records: 0 });
        assert_eq!(
            line(&Format::default(), &record),
            "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - SKIPDATA"
        );
        assert_eq!(
            line(&"${version} ${vpc-id} ${srcaddr} ${az-id} ${ecs-task-id} ${interface-tag} ${packets-dropped} ${bytes-dropped}".parse().unwrap(), &record),
            "11 vpc-abcdefab012345678 - apse2-az3 0b69d5c0d655 web%20shop 3 252"
        );
    }

    #[test]
    fn the_version_is_the_highest_among_the_fields() {
        for (text, version) in [
            ("${traffic-class}", 2),
            ("${version} ${bytes}", 2),
            ("${vpc-id} ${bytes}", 3),
            ("${az-id} ${vpc-id}", 4),
            ("${traffic-path} ${srcaddr} ${task-name}", 5),
            ("${reject-reason} ${drop-reason}", 8),
        ] {
            assert_eq!(text.parse::<Format>().unwrap().version(), version, "{text}");
        }
        assert_eq!(line(&"${version} ${type}".parse().unwrap(), &testing::ssh()), "3 IPv4");
    }

    #[test]
    fn errors_say_what_is_wrong_and_where() {
        for (text, message) in [
            ("", "`` is not a flow log format: a format has at least one field, at character 1"),
            (
                "${bytes}  ${start}",
                "`${bytes}  ${start}` is not a flow log format: single spaces go between fields, and only there, at \
                 character 10",
            ),
            (
                "${bytes} ",
                "`${bytes} ` is not a flow log format: single spaces go between fields, and only there, at character 10",
            ),
            (
                "${bytes} start",
                "`${bytes} start` is not a flow log format: expected a field in the form `${srcaddr}`, at character 10",
            ),
            (
                "${bytes}${start}",
                "`${bytes}${start}` is not a flow log format: expected a field in the form `${srcaddr}`, at character 1",
            ),
            ("${bytes} ${srcadr}", "`srcadr` is not a flow log field; did you mean `srcaddr`?"),
            ("${bytes} ${bytes}", "the field `bytes` is there twice"),
        ] {
            assert_eq!(text.parse::<Format>().unwrap_err().to_string(), message);
        }
    }
}
