//! Lines of text back into records.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use enid_model::{EniId, SubnetId, TaskName, TrafficClass, VpcId};

use crate::error::LineError;
use crate::field::Field;
use crate::format::Format;
use crate::parsed::ParsedRecord;
use crate::record::{Action, Direction, DropReason, IpType, LogStatus};

/// How much of a bad value an error shows.
const SHOWN_CHARACTERS: usize = 60;

/// Reads the lines of one format.
///
/// Neighbouring lines mostly name the same interface, so the parser remembers the last value of each textual field
/// and hands out the same shared text again.
#[derive(Debug)]
pub struct LineParser {
    format: Format,
    recent: Recent,
}

/// The last value of each field that neighbouring lines have in common.
#[derive(Debug, Default)]
struct Recent {
    account: Shared,
    region: Shared,
    zone: Shared,
    task: Shared,
    others: HashMap<Field, Shared>,
    eni: Remembered<EniId>,
    vpc: Remembered<VpcId>,
    subnet: Remembered<SubnetId>,
    next_eni: Remembered<EniId>,
    next_vpc: Remembered<VpcId>,
    next_subnet: Remembered<SubnetId>,
}

impl LineParser {
    /// A parser of this format's lines.
    pub fn new(format: Format) -> Self {
        Self { format, recent: Recent::default() }
    }

    /// The format.
    pub const fn format(&self) -> &Format {
        &self.format
    }

    /// Reads a line, given without its end.
    pub fn parse(&mut self, line: &str) -> Result<ParsedRecord, LineError> {
        let mut record = ParsedRecord::default();
        let mut values = line.split(' ');
        for field in self.format.fields() {
            let value = values.next().ok_or_else(|| self.wrong_count(line))?;
            if value != "-" {
                self.recent
                    .set(&mut record, *field, value)
                    .map_err(|expected| self.wrong_value(line, *field, value, expected))?;
            }
        }
        if values.next().is_some() {
            return Err(self.wrong_count(line));
        }
        Ok(record)
    }

    fn wrong_count(&self, line: &str) -> LineError {
        LineError::Values { expected: self.format.fields().len(), found: line.split(' ').count() }
    }

    fn wrong_value(&self, line: &str, field: Field, value: &str, expected: Expected) -> LineError {
        // With a value too many or too few, the values after it only seem to be wrong.
        match self.wrong_count(line) {
            LineError::Values { expected, found } if expected != found => {
                LineError::Values { expected, found }
            }
            _ => LineError::Value { field, value: shown(value), expected },
        }
    }
}

/// A record of this one field, if the text is of the field's form.
pub(crate) fn check_value(field: Field, text: &str) -> Result<ParsedRecord, LineError> {
    let mut record = ParsedRecord::default();
    match Recent::default().set(&mut record, field, text) {
        Ok(()) => Ok(record),
        Err(expected) => Err(LineError::Value { field, value: shown(text), expected }),
    }
}

fn shown(value: &str) -> String {
    value.chars().take(SHOWN_CHARACTERS).collect()
}

/// What a value should have been, with its article.
type Expected = &'static str;

impl Recent {
    fn set(&mut self, record: &mut ParsedRecord, field: Field, value: &str) -> Result<(), Expected> {
        match field {
            // Checked, not kept: a format tells its version itself.
            Field::Version => drop(number::<u8>(value, "a version")?),
            Field::AccountId => record.account_id = Some(self.account.get(value)?),
            Field::InterfaceId => record.interface_id = Some(self.eni.get(value, "an ENI id")?),
            Field::SrcAddr => record.srcaddr = Some(parse(value, "an address")?),
            Field::DstAddr => record.dstaddr = Some(parse(value, "an address")?),
            Field::SrcPort => record.srcport = Some(number(value, "a port")?),
            Field::DstPort => record.dstport = Some(number(value, "a port")?),
            Field::Protocol => record.protocol = Some(number(value, "a protocol number")?),
            Field::Packets => record.packets = Some(number(value, "a count")?),
            Field::Bytes => record.bytes = Some(number(value, "a count")?),
            Field::Start => record.start = Some(number(value, "a time in Unix seconds")?),
            Field::End => record.end = Some(number(value, "a time in Unix seconds")?),
            Field::Action => record.action = Some(Action::from_word(value).ok_or("ACCEPT or REJECT")?),
            Field::LogStatus => {
                record.log_status = Some(LogStatus::from_word(value).ok_or("one of OK, NODATA, SKIPDATA")?);
            }
            Field::VpcId => record.vpc_id = Some(self.vpc.get(value, "a VPC id")?),
            Field::SubnetId => record.subnet_id = Some(self.subnet.get(value, "a subnet id")?),
            Field::TcpFlags => record.tcp_flags = Some(number(value, "a set of TCP flags")?),
            Field::Type => record.ip_type = Some(IpType::from_word(value).ok_or("one of IPv4, IPv6, EFA")?),
            Field::PktSrcAddr => record.pkt_srcaddr = Some(parse(value, "an address")?),
            Field::PktDstAddr => record.pkt_dstaddr = Some(parse(value, "an address")?),
            Field::Region => record.region = Some(self.region.get(value)?),
            Field::AzId => record.az_id = Some(self.zone.get(value)?),
            Field::FlowDirection => {
                record.flow_direction = Some(Direction::from_word(value).ok_or("ingress or egress")?);
            }
            Field::TrafficPath => record.traffic_path = Some(number(value, "a traffic path")?),
            Field::TrafficClass => {
                record.traffic_class = Some(parse::<TrafficClass>(value, "a traffic class")?);
            }
            Field::TaskName => {
                if self.task.0.as_deref() != Some(value) {
                    parse::<TaskName>(value, "a task name")?;
                }
                record.task_name = Some(self.task.get(value)?);
            }
            Field::DropReason => {
                record.drop_reason = Some(DropReason::from_word(value).ok_or("a reason to refuse traffic")?);
            }
            Field::NextHopInterfaceId => {
                record.next_hop_interface_id = Some(self.next_eni.get(value, "an ENI id")?);
            }
            Field::NextHopSubnetId => {
                record.next_hop_subnet_id = Some(self.next_subnet.get(value, "a subnet id")?);
            }
            Field::NextHopVpcId => record.next_hop_vpc_id = Some(self.next_vpc.get(value, "a VPC id")?),
            Field::PacketsDropped => record.packets_dropped = Some(number(value, "a count")?),
            Field::BytesDropped => record.bytes_dropped = Some(number(value, "a count")?),
            Field::RecordsDropped => record.records_dropped = Some(number(value, "a count")?),
            Field::EncryptionStatus => {
                record.encryption_status = Some(number(value, "an encryption status")?);
            }
            other => record.others.push((other, self.others.entry(other).or_default().get(value)?)),
        }
        Ok(())
    }
}

/// Text that is handed out again as long as it stays the same.
#[derive(Debug, Default)]
struct Shared(Option<Arc<str>>);

impl Shared {
    fn get(&mut self, text: &str) -> Result<Arc<str>, Expected> {
        match &self.0 {
            Some(last) if **last == *text => Ok(Arc::clone(last)),
            _ if text.is_empty()
                || text.contains(|letter: char| letter.is_whitespace() || letter.is_control()) =>
            {
                Err("a word")
            }
            _ => Ok(Arc::clone(self.0.insert(text.into()))),
        }
    }
}

/// A value that need not be parsed again as long as its text stays the same.
#[derive(Debug)]
struct Remembered<T>(Option<(String, T)>);

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: FromStr + Copy> Remembered<T> {
    fn get(&mut self, text: &str, expected: Expected) -> Result<T, Expected> {
        match &self.0 {
            Some((last, value)) if last == text => Ok(*value),
            _ => {
                let value = parse(text, expected)?;
                self.0 = Some((text.to_owned(), value));
                Ok(value)
            }
        }
    }
}

fn parse<T: FromStr>(text: &str, expected: Expected) -> Result<T, Expected> {
    text.parse().map_err(|_| expected)
}

/// Decimal digits alone: unlike [`str::parse`], no leading plus sign.
fn number<T: TryFrom<u64>>(text: &str, expected: Expected) -> Result<T, Expected> {
    let mut number = 0_u64;
    for byte in text.bytes() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(expected);
        }
        number =
            number.checked_mul(10).and_then(|number| number.checked_add(digit.into())).ok_or(expected)?;
    }
    if text.is_empty() {
        return Err(expected);
    }
    T::try_from(number).map_err(|_| expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{any_format, any_record, line, ssh};
    use crate::value::Fields;
    use proptest::prelude::*;

    const VERSION_3: &str = "${version} ${vpc-id} ${subnet-id} ${instance-id} ${interface-id} ${account-id} ${type} \
        ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${pkt-srcaddr} ${pkt-dstaddr} ${protocol} ${bytes} ${packets} \
        ${start} ${end} ${action} ${tcp-flags} ${log-status}";
    const VERSION_5: &str = "${version} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${start} ${end} \
        ${type} ${packets} ${bytes} ${account-id} ${vpc-id} ${subnet-id} ${instance-id} ${interface-id} ${region} \
        ${az-id} ${sublocation-type} ${sublocation-id} ${action} ${tcp-flags} ${pkt-srcaddr} ${pkt-dstaddr} \
        ${pkt-src-aws-service} ${pkt-dst-aws-service} ${traffic-path} ${flow-direction} ${log-status}";

    #[test]
    fn the_documented_examples_read_and_write_back() {
        let default = Format::default().to_string();
        for (format, text) in [
            (
                &*default,
                "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 \
                 1418530070 ACCEPT OK",
            ),
            (
                &default,
                "2 123456789010 eni-1235b8ca123456789 172.31.9.69 172.31.9.12 49761 3389 6 20 4249 1418530010 \
                 1418530070 REJECT OK",
            ),
            (&default, "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA"),
            (&default, "2 123456789010 eni-11111111aaaaaaaaa - - - - - - - 1431280876 1431280934 - SKIPDATA"),
            (
                &default,
                "2 123456789010 eni-1235b8ca123456789 203.0.113.12 172.31.16.139 0 0 1 4 336 1432917027 1432917142 \
                 ACCEPT OK",
            ),
            (
                &default,
                "2 123456789010 eni-1235b8ca123456789 2001:db8:1234:a100:8d6e:3477:df66:f105 \
                 2001:db8:1234:a102:3304:8879:34cf:4071 34892 22 6 54 8855 1477913708 1477913820 ACCEPT OK",
            ),
            (
                VERSION_3,
                "3 vpc-abcdefab012345678 subnet-aaaaaaaa012345678 i-01234567890123456 eni-1235b8ca123456789 \
                 123456789010 IPv4 52.213.180.42 10.0.0.62 43416 5001 52.213.180.42 10.0.0.62 6 568 8 1566848875 \
                 1566848933 ACCEPT 2 OK",
            ),
            (
                VERSION_5,
                "5 52.95.128.179 10.0.0.71 80 34210 6 1616729292 1616729349 IPv4 14 15044 123456789012 \
                 vpc-abcdefab012345678 subnet-aaaaaaaa012345678 i-0c50d5961bcb2d47b eni-1235b8ca123456789 \
                 ap-southeast-2 apse2-az3 - - ACCEPT 19 52.95.128.179 10.0.0.71 S3 - - ingress OK",
            ),
        ] {
            let format: Format = format.parse().unwrap();
            let record = LineParser::new(format.clone()).parse(text).unwrap();
            assert_eq!(line(&format, &record), text);
        }
    }

    #[test]
    fn a_bad_line_says_what_is_wrong() {
        let good = line(&Format::default(), &ssh());
        for (from, to, message) in [
            (" OK", "", "expected 14 values, found 13"),
            (" OK", " OK OK", "expected 14 values, found 15"),
            (" OK", "  OK", "expected 14 values, found 15"),
            ("20641", "65536", "srcport \"65536\" is not a port"),
            ("20641", "+1", "srcport \"+1\" is not a port"),
            ("20641", "", "srcport \"\" is not a port"),
            (" 4249", " 18446744073709551616", "bytes \"18446744073709551616\" is not a count"),
            ("172.31.16.21 ", "172.31.16.256 ", "dstaddr \"172.31.16.256\" is not an address"),
            ("eni-1", "eni-x", "interface-id \"eni-x235b8ca123456789\" is not an ENI id"),
            ("ACCEPT", "accept", "action \"accept\" is not ACCEPT or REJECT"),
            ("123456789010", "1\t2", "account-id \"1\\t2\" is not a word"),
            ("OK", "OK\r", "log-status \"OK\\r\" is not one of OK, NODATA, SKIPDATA"),
        ] {
            let bad = good.replacen(from, to, 1);
            let error = LineParser::new(Format::default()).parse(&bad).unwrap_err();
            assert_eq!(error.to_string(), message, "{bad}");
        }
    }

    #[test]
    fn a_long_bad_value_is_cut_short() {
        let error = LineParser::new("${srcaddr}".parse().unwrap()).parse(&"x".repeat(10_000)).unwrap_err();
        assert!(error.to_string().len() < 120, "{error}");
    }

    proptest! {
        #[test]
        fn what_was_rendered_reads_back(format in any_format(), records in prop::collection::vec(any_record(), 1..4)) {
            let mut parser = LineParser::new(Format::from_header(&format.header()).unwrap());
            for record in records {
                let text = line(&format, &record);
                let parsed = parser.parse(&text).unwrap();
                for field in Field::ALL {
                    let expected = record.value(*field).filter(|_| format.contains(*field));
                    prop_assert_eq!(parsed.value(*field), expected, "{}", field);
                }
                prop_assert_eq!(&line(&format, &parsed), &text);
                prop_assert_eq!(&line(&format, &ParsedRecord::from(&record)), &text);
            }
        }

        #[test]
        fn formats_read_back(format in any_format()) {
            prop_assert_eq!(&format.to_string().parse::<Format>().unwrap(), &format);
        }

        #[test]
        fn any_text_is_a_record_or_an_error(format in any_format(), text in "\\PC*") {
            let _ = LineParser::new(format).parse(&text);
            let _ = text.parse::<Format>();
            let _ = Format::from_header(&text);
            let _ = text.parse::<Field>();
        }

        #[test]
        fn one_changed_byte_is_a_record_or_an_error(record in any_record(), at in any::<prop::sample::Index>(), byte in 0_u8..128) {
            let format = Format::complete();
            let mut text = line(&format, &record).into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            let _ = LineParser::new(format).parse(&String::from_utf8(text).unwrap());
        }
    }
}
