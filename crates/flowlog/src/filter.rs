//! Which records are wanted.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use enid_model::{EniId, Ipv4Cidr, Ipv6Cidr, ModelError, TaskName, TrafficClass};

use crate::error::FlowLogError;
use crate::field::Field;
use crate::format::Format;
use crate::record::{Action, Direction, DropReason};
use crate::value::{Fields, Value};

/// Which records are wanted: those that meet every condition that is set. The default wants all.
///
/// A record without traffic meets no condition on traffic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// The first Unix second that the record may end in.
    pub since: Option<u64>,
    /// The first Unix second that the record may not end in any more, so that adjoining ranges share no record.
    pub until: Option<u64>,
    /// The ENI.
    pub eni: Option<EniId>,
    /// The task.
    pub task: Option<TaskName>,
    /// The traffic class.
    pub class: Option<TrafficClass>,
    /// The block that the source address is in.
    pub src: Option<Cidr>,
    /// The block that the destination address is in.
    pub dst: Option<Cidr>,
    /// The block that the other side's address is in: the destination of what goes out, the source of what comes in.
    pub peer: Option<Cidr>,
    /// The port of either side.
    pub port: Option<u16>,
    /// The IANA protocol number.
    pub protocol: Option<u8>,
    /// What became of the traffic.
    pub action: Option<Action>,
    /// Why it was refused.
    pub reason: Option<DropReason>,
    /// The direction, as the ENI sees it.
    pub direction: Option<Direction>,
}

impl Filter {
    /// Whether the record meets every condition.
    pub fn matches(&self, record: &impl Fields) -> bool {
        self.matches_time(record)
            && wanted(self.eni.map(Value::Eni), record, Field::InterfaceId)
            && wanted(self.task.as_ref().map(|task| Value::Text(task.as_str())), record, Field::TaskName)
            && wanted(self.class.map(|class| Value::Text(class.as_str())), record, Field::TrafficClass)
            && wanted(self.action.map(|action| Value::Text(action.as_str())), record, Field::Action)
            && wanted(self.reason.map(|reason| Value::Text(reason.as_str())), record, Field::DropReason)
            && wanted(
                self.direction.map(|direction| Value::Text(direction.as_str())),
                record,
                Field::FlowDirection,
            )
            && wanted(self.protocol.map(|protocol| Value::Number(protocol.into())), record, Field::Protocol)
            && wanted_block(self.src, record, Field::SrcAddr)
            && wanted_block(self.dst, record, Field::DstAddr)
            && (self.peer.is_none()
                || peer_field(record).is_some_and(|peer| wanted_block(self.peer, record, peer)))
            && self.port.is_none_or(|port| {
                let port = Some(Value::Number(port.into()));
                record.value(Field::SrcPort) == port || record.value(Field::DstPort) == port
            })
    }

    fn matches_time(&self, record: &impl Fields) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        let Some(Value::Number(end)) = record.value(Field::End) else {
            return false;
        };
        self.since.is_none_or(|since| since <= end) && self.until.is_none_or(|until| end < until)
    }

    /// The conditions that are set, each on its field; what they say of a range of values, to pass over what can't meet
    /// them. A port's condition is on either side's, so it says nothing of one alone; neither does a peer's: see
    /// [`alternatives`](Self::alternatives).
    pub(crate) fn conditions(&self) -> Vec<(Field, Condition<'_>)> {
        let mut conditions = Vec::new();
        if self.since.is_some() || self.until.is_some() {
            let range = Condition::Between(self.since.unwrap_or(0), self.until.unwrap_or(u64::MAX));
            conditions.push((Field::End, range));
        }
        let words = [
            (Field::InterfaceId, self.eni.map(|eni| eni.to_string().into())),
            (Field::TaskName, self.task.as_ref().map(|task| task.as_str().into())),
            (Field::TrafficClass, self.class.map(|class| class.as_str().into())),
            (Field::Action, self.action.map(|action| action.as_str().into())),
            (Field::DropReason, self.reason.map(|reason| reason.as_str().into())),
            (Field::FlowDirection, self.direction.map(|direction| direction.as_str().into())),
        ];
        conditions
            .extend(words.into_iter().filter_map(|(field, word)| Some((field, Condition::Equal(word?)))));
        if let Some(protocol) = self.protocol.map(u64::from) {
            conditions.push((Field::Protocol, Condition::Between(protocol, protocol + 1)));
        }
        for (field, block) in [(Field::SrcAddr, self.src), (Field::DstAddr, self.dst)] {
            conditions.extend(block.map(|block| (field, block.condition())));
        }
        let others = [
            (Field::SrcAddr, self.peer.is_some()),
            (Field::DstAddr, self.peer.is_some()),
            (Field::FlowDirection, self.peer.is_some()),
            (Field::SrcPort, self.port.is_some()),
            (Field::DstPort, self.port.is_some()),
        ];
        conditions
            .extend(others.into_iter().filter(|(_, set)| *set).map(|(field, _)| (field, Condition::Other)));
        conditions
    }

    /// The conditions that one of two fields must meet.
    pub(crate) fn alternatives(&self) -> Vec<([Field; 2], Condition<'static>)> {
        let port = self.port.map(|port| {
            let port = u64::from(port);
            ([Field::SrcPort, Field::DstPort], Condition::Between(port, port + 1))
        });
        let peer = self.peer.map(|peer| ([Field::SrcAddr, Field::DstAddr], peer.condition()));
        port.into_iter().chain(peer).collect()
    }

    /// Refuses a format that lacks a field which a condition is on: the error names the field and the option.
    pub fn check(&self, format: &Format) -> Result<(), FlowLogError> {
        let needs = [
            (self.since.is_some(), Field::End, "--since"),
            (self.until.is_some(), Field::End, "--until"),
            (self.eni.is_some(), Field::InterfaceId, "--eni"),
            (self.task.is_some(), Field::TaskName, "--task"),
            (self.class.is_some(), Field::TrafficClass, "--class"),
            (self.src.is_some(), Field::SrcAddr, "--src"),
            (self.dst.is_some(), Field::DstAddr, "--dst"),
            (self.peer.is_some(), Field::FlowDirection, "--peer"),
            (self.peer.is_some(), Field::SrcAddr, "--peer"),
            (self.peer.is_some(), Field::DstAddr, "--peer"),
            (self.port.is_some(), Field::SrcPort, "--port"),
            (self.port.is_some(), Field::DstPort, "--port"),
            (self.protocol.is_some(), Field::Protocol, "--protocol"),
            (self.action.is_some(), Field::Action, "--action"),
            (self.reason.is_some(), Field::DropReason, "--reason"),
            (self.direction.is_some(), Field::FlowDirection, "--direction"),
        ];
        match needs.into_iter().find(|(needed, field, _)| *needed && !format.contains(*field)) {
            Some((_, field, needed_by)) => Err(FlowLogError::MissingField { field, needed_by }),
            None => Ok(()),
        }
    }
}

/// What a condition says of a field's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition<'a> {
    /// A number from the first until before the second.
    Between(u64, u64),
    /// This word.
    Equal(Cow<'a, str>),
    /// Something that a range of values does not tell.
    Other,
}

fn wanted(condition: Option<Value<'_>>, record: &impl Fields, field: Field) -> bool {
    condition.is_none() || record.value(field) == condition
}

fn wanted_block(condition: Option<Cidr>, record: &impl Fields, field: Field) -> bool {
    condition.is_none_or(
        |block| matches!(record.value(field), Some(Value::Address(address)) if block.contains(address)),
    )
}

/// Which field the other side's address is in; none where the direction is not known.
fn peer_field(record: &impl Fields) -> Option<Field> {
    let direction = record.value(Field::FlowDirection)?;
    let is_egress = direction == Value::Text(Direction::Egress.as_str());
    Some(if is_egress { Field::DstAddr } else { Field::SrcAddr })
}

/// A block of addresses of either family. An address alone is the block of that address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cidr {
    /// IPv4 addresses.
    Ipv4(Ipv4Cidr),
    /// IPv6 addresses.
    Ipv6(Ipv6Cidr),
}

impl Cidr {
    /// What being in the block says of an address as text: something only where it is one IPv4 address. Blocks are no
    /// ranges of text, and IPv6 addresses of other writers may be spelled in other ways.
    fn condition(self) -> Condition<'static> {
        match self {
            Self::Ipv4(block) if block.prefix() == 32 => Condition::Equal(block.network().to_string().into()),
            Self::Ipv4(_) | Self::Ipv6(_) => Condition::Other,
        }
    }

    /// Whether the address lies in the block; never, if it is of the other family.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Ipv4(block), IpAddr::V4(address)) => block.contains(address),
            (Self::Ipv6(block), IpAddr::V6(address)) => block.contains(address),
            (Self::Ipv4(_), IpAddr::V6(_)) | (Self::Ipv6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(block) => block.fmt(f),
            Self::Ipv6(block) => block.fmt(f),
        }
    }
}

impl FromStr for Cidr {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        match text.parse() {
            Ok(IpAddr::V4(address)) => Ipv4Cidr::new(address, 32).map(Self::Ipv4),
            Ok(IpAddr::V6(address)) => Ipv6Cidr::new(address, 128).map(Self::Ipv6),
            Err(_) if text.contains(':') => text.parse().map(Self::Ipv6),
            Err(_) => text.parse().map(Self::Ipv4),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test helpers")]
mod tests {
    use super::*;
    use crate::parse::LineParser;
    use crate::record::Observation;
    use crate::testing::{any_record, ending_at, line, ssh, traffic_mut};
    use proptest::prelude::*;

    /// A name, and a change to a filter.
    type Case = (&'static str, fn(&mut Filter));

    const MET: [Case; 14] = [
        ("nothing", |_| {}),
        ("since", |filter| filter.since = Some(1_418_530_070)),
        ("until", |filter| filter.until = Some(1_418_530_071)),
        ("eni", |filter| filter.eni = "eni-1235b8ca123456789".parse().ok()),
        ("task", |filter| filter.task = "web-1".parse().ok()),
        ("class", |filter| filter.class = Some(TrafficClass::Application)),
        ("src", |filter| filter.src = "172.31.16.139".parse().ok()),
        ("dst", |filter| filter.dst = "172.31.0.0/16".parse().ok()),
        ("peer", |filter| filter.peer = "172.31.16.139".parse().ok()),
        ("source port", |filter| filter.port = Some(20641)),
        ("destination port", |filter| filter.port = Some(22)),
        ("protocol", |filter| filter.protocol = Some(6)),
        ("action", |filter| filter.action = Some(Action::Accept)),
        ("direction", |filter| filter.direction = Some(Direction::Ingress)),
    ];
    const UNMET: [Case; 14] = [
        ("since", |filter| filter.since = Some(1_418_530_071)),
        ("until", |filter| filter.until = Some(1_418_530_070)),
        ("eni", |filter| filter.eni = "eni-00000000000000000".parse().ok()),
        ("task", |filter| filter.task = "web-2".parse().ok()),
        ("class", |filter| filter.class = Some(TrafficClass::Logs)),
        ("src", |filter| filter.src = "172.31.16.138".parse().ok()),
        ("src of the other family", |filter| {
            filter.src = "::/0".parse().ok();
        }),
        ("dst", |filter| filter.dst = "10.0.0.0/8".parse().ok()),
        ("peer", |filter| filter.peer = "172.31.16.21".parse().ok()),
        ("port", |filter| filter.port = Some(0)),
        ("protocol", |filter| filter.protocol = Some(17)),
        ("action", |filter| filter.action = Some(Action::Reject)),
        ("reason", |filter| filter.reason = Some(DropReason::NoRule)),
        ("direction", |filter| filter.direction = Some(Direction::Egress)),
    ];

    fn filter(set: fn(&mut Filter)) -> Filter {
        let mut filter = Filter::default();
        set(&mut filter);
        filter
    }

    #[test]
    fn each_condition_lets_through_and_refuses() {
        let mut all = Filter::default();
        for (name, set) in MET {
            assert!(filter(set).matches(&ssh()), "{name}");
            set(&mut all);
        }
        assert!(all.matches(&ssh()));
        for (name, set) in UNMET {
            assert_ne!(filter(set), Filter::default(), "{name}");
            assert!(!filter(set).matches(&ssh()), "{name}");
            let mut all_but_one = all.clone();
            set(&mut all_but_one);
            assert!(!all_but_one.matches(&ssh()), "{name}");
        }
    }

    #[test]
    fn the_peer_of_what_goes_out_is_its_destination() {
        let only = |peer: &str| Filter { peer: peer.parse().ok(), ..Filter::default() };
        let mut outgoing = ssh();
        traffic_mut(&mut outgoing).direction = Direction::Egress;
        assert!(only("172.31.16.21").matches(&outgoing));
        assert!(!only("172.31.16.139").matches(&outgoing));
        let line: Format = "${srcaddr} ${dstaddr}".parse().unwrap();
        let parsed = LineParser::new(line).parse("172.31.16.21 172.31.16.21").unwrap();
        assert!(!only("172.31.16.21").matches(&parsed), "the direction is not known");
    }

    #[test]
    fn refused_traffic_is_found_by_its_reason() {
        for reason in DropReason::ALL {
            let mut refused = ssh();
            traffic_mut(&mut refused).drop_reason = Some(*reason);
            let only = Filter { reason: Some(*reason), ..Filter::default() };
            assert!(only.matches(&refused));
            assert!(Filter { action: Some(Action::Reject), ..only.clone() }.matches(&refused));
            assert!(!Filter { action: Some(Action::Accept), ..only.clone() }.matches(&refused));
            assert!(!only.matches(&ssh()));
            assert_eq!(
                only.check(&Format::default()).unwrap_err().to_string(),
                "the files do not hold the field `drop-reason` that --reason needs"
            );
            assert_eq!(DropReason::from_word(reason.as_str()), Some(*reason));
        }
    }

    #[test]
    fn a_record_without_traffic_meets_no_condition_on_traffic() {
        let mut idle = ssh();
        idle.observation = Observation::NoData;
        for (name, set) in MET {
            let of_the_interface = ["nothing", "since", "until", "eni", "task"].contains(&name);
            assert_eq!(filter(set).matches(&idle), of_the_interface, "{name}");
        }
    }

    #[test]
    fn a_format_without_a_needed_field_is_refused() {
        let class = filter(|filter| filter.class = Some(TrafficClass::Logs));
        assert_eq!(
            class.check(&Format::default()).unwrap_err().to_string(),
            "the files do not hold the field `traffic-class` that --class needs"
        );
        let version_2 = ["task", "class", "peer", "direction"];
        for (name, set) in MET {
            assert!(filter(set).check(&Format::complete()).is_ok(), "{name}");
            assert_eq!(filter(set).check(&Format::default()).is_err(), version_2.contains(&name), "{name}");
            let none = "${version}".parse().unwrap();
            assert_eq!(filter(set).check(&none).is_err(), name != "nothing", "{name}");
        }
    }

    #[test]
    fn blocks_are_of_one_family_and_addresses_are_blocks() {
        for (text, same) in
            [("10.0.0.5", "10.0.0.5/32"), ("fd00::5", "fd00::5/128"), ("fd00::/56", "fd00::/56")]
        {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), same);
        }
        for text in ["", "10.0.0.5/8", "fd00::5/8", "10.0.0.0/33", "example.com"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn adjoining_ranges_share_no_record_and_lose_none(end in 0_u64..2_000, border in 0_u64..2_000) {
            let record = ending_at(end);
            let before = Filter { until: Some(border), ..Filter::default() };
            let after = Filter { since: Some(border), ..Filter::default() };
            prop_assert!(before.matches(&record) != after.matches(&record));
        }

        #[test]
        fn a_record_and_its_line_meet_the_same_conditions(record in any_record(), index in 0..MET.len() + UNMET.len()) {
            let format = Format::complete();
            let parsed = LineParser::new(format.clone()).parse(&line(&format, &record)).unwrap();
            let (_, set) = MET.iter().chain(&UNMET).nth(index).unwrap();
            prop_assert_eq!(filter(*set).matches(&record), filter(*set).matches(&parsed));
        }
    }
}
