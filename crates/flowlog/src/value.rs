//! What a field holds, whichever kind of record it is asked of.

use std::fmt;
use std::net::IpAddr;

use enid_model::{EniId, SubnetId, VpcId};

use crate::field::Field;

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value<'a> {
    /// A word: no white space in it.
    Text(&'a str),
    /// A count, a port, a flag set or Unix seconds.
    Number(u64),
    /// An address of either family.
    Address(IpAddr),
    /// An ENI.
    Eni(EniId),
    /// A VPC.
    Vpc(VpcId),
    /// A subnet.
    Subnet(SubnetId),
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.pad(text),
            Self::Number(number) => number.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Eni(id) => id.fmt(f),
            Self::Vpc(id) => id.fmt(f),
            Self::Subnet(id) => id.fmt(f),
        }
    }
}

impl serde::Serialize for Value<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            other => serializer.collect_str(other),
        }
    }
}

/// A record, asked field by field.
pub trait Fields {
    /// The field's value; none where it does not apply, could not be computed, or is not in the file that the record
    /// was read from. [`Field::Version`] is the format's to tell, not the record's.
    fn value(&self, field: Field) -> Option<Value<'_>>;
}

/// Serialises a record as a map of the fields that it has, keys in camel case.
pub(crate) fn serialize_fields<S: serde::Serializer>(
    record: &impl Fields,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer
        .collect_map(Field::ALL.iter().filter_map(|field| Some((field.json_key(), record.value(*field)?))))
}

#[cfg(test)]
mod tests {
    use crate::field::Field;
    use crate::format::Format;
    use crate::parse::LineParser;
    use crate::record::{DropReason, Loss, Observation};
    use crate::testing::{line, ssh};
    use crate::value::Fields;

    #[test]
    fn json_has_the_fields_that_there_are_in_camel_case() {
        let mut record = ssh();
        let json = serde_json::to_value(&record).unwrap();
        for (key, value) in [
            ("interfaceId", serde_json::json!("eni-1235b8ca123456789")),
            ("srcaddr", serde_json::json!("172.31.16.139")),
            ("bytes", serde_json::json!(4249)),
            ("logStatus", serde_json::json!("OK")),
            ("trafficClass", serde_json::json!("application")),
        ] {
            assert_eq!(json[key], value, "{key}");
        }
        assert!(json.get("trafficPath").is_none());
        let parsed = LineParser::new(Format::complete()).parse(&line(&Format::complete(), &record)).unwrap();
        assert_eq!(serde_json::to_value(&parsed).unwrap(), json);
        record.observation = Observation::NoData;
        let json = serde_json::to_value(&record).unwrap();
        assert_eq!((json.get("srcaddr"), &json["logStatus"]), (None, &serde_json::json!("NODATA")));
    }

    #[test]
    fn every_filled_field_has_a_value_in_some_record() {
        let mut record = ssh();
        let traffic = crate::testing::traffic_mut(&mut record);
        (traffic.traffic_path, traffic.drop_reason) = (Some(1), Some(DropReason::NoRule));
        let mut loss = record.clone();
        loss.observation = Observation::SkipData(Loss::default());
        for field in Field::ALL {
            let expected = field.is_filled() && *field != Field::Version;
            let is_known = record.value(*field).or_else(|| loss.value(*field)).is_some();
            assert_eq!(is_known, expected, "{field}");
        }
    }
}
