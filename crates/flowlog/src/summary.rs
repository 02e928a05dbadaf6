//! Totals of many records: who, what and where most of the traffic was.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ahash::RandomState;
use enid_model::{EniId, ModelError, Protocol};

use crate::error::FlowLogError;
use crate::field::Field;
use crate::format::Format;
use crate::record::Direction;
use crate::value::{Fields, Value};

/// Defines an enum of choices that a user makes by name.
macro_rules! choices {
    ($(#[$doc:meta])* $name:ident $kind:literal { $($(#[$variant_doc:meta])* $variant:ident $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// All choices.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = ModelError;

            fn from_str(text: &str) -> Result<Self, ModelError> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(ModelError::Malformed {
                        kind: $kind,
                        value: text.to_owned(),
                        reason: format!("expected one of {}", [$($word),+].join(", ")),
                    }),
                }
            }
        }
    };
}

choices!(
    /// What the records of one group have in common.
    GroupBy "a grouping" {
        /// The traffic class.
        Class "class",
        /// The task.
        Task "task",
        /// The ENI.
        Eni "eni",
        /// The address of the other side.
        Peer "peer",
        /// The service's port: the lower of the two, as clients' ports are high.
        Port "port",
        /// The service whose published prefix, or endpoint, has the address of the other side.
        Service "service",
        /// Why the traffic was refused; what was let through has no reason.
        Reason "reason",
    }
);
choices!(
    /// What the groups are ordered by.
    SortBy "an order" {
        /// Layer-3 bytes.
        Bytes "bytes",
        /// Packets.
        Packets "packets",
        /// Flows.
        Flows "flows",
    }
);

/// Packets, bytes and flows added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Totals {
    /// Packets on the wire.
    pub packets: u64,
    /// Layer-3 bytes on the wire.
    pub bytes: u64,
    /// Records: a flow that goes on for several intervals counts in each.
    pub flows: u64,
}

impl Totals {
    pub(crate) const fn add(&mut self, packets: u64, bytes: u64) {
        self.merge(Self { packets, bytes, flows: 1 });
    }

    pub(crate) const fn merge(&mut self, other: Self) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.flows = self.flows.saturating_add(other.flows);
    }

    /// The one that an order is by.
    pub const fn of(&self, sort_by: SortBy) -> u64 {
        match sort_by {
            SortBy::Bytes => self.bytes,
            SortBy::Packets => self.packets,
            SortBy::Flows => self.flows,
        }
    }
}

/// What the records of one group have in common. Written as a person reads it; `-` where the records don't say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A traffic class, a task, a service or a reason.
    Text(Box<str>),
    /// An ENI.
    Eni(EniId),
    /// A peer.
    Address(IpAddr),
    /// A service: port and IANA protocol number. Protocols without ports have port 0.
    Port(u16, u8),
    /// The records don't say.
    Unknown,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.pad(text),
            Self::Eni(id) => f.pad(&id.to_string()),
            Self::Address(address) => address.fmt(f),
            Self::Port(0, protocol) => f.pad(&Protocol::Number(*protocol).to_string()),
            Self::Port(port, protocol) => f.pad(&format!("{port}/{}", Protocol::Number(*protocol))),
            Self::Unknown => f.pad("-"),
        }
    }
}

impl serde::Serialize for Key {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Adds records up by what they have in common.
#[derive(Debug, Clone)]
pub struct Summary {
    group_by: GroupBy,
    /// The groups that a text is the key of: looked up without making a key.
    texts: HashMap<Box<str>, Totals, RandomState>,
    groups: HashMap<Key, Totals, RandomState>,
    total: Totals,
}

impl Summary {
    /// An empty summary.
    pub fn new(group_by: GroupBy) -> Self {
        Self { group_by, texts: HashMap::default(), groups: HashMap::default(), total: Totals::default() }
    }

    /// The fields that the grouping needs, and the option that asks for them.
    pub fn needs(group_by: GroupBy) -> Vec<(Field, &'static str)> {
        let (needed_by, fields): (_, &[Field]) = match group_by {
            GroupBy::Class => ("--group class", &[Field::TrafficClass]),
            GroupBy::Task => ("--group task", &[Field::TaskName]),
            GroupBy::Eni => ("--group eni", &[Field::InterfaceId]),
            GroupBy::Peer => ("--group peer", &[Field::FlowDirection, Field::SrcAddr, Field::DstAddr]),
            GroupBy::Port => ("--group port", &[Field::SrcPort, Field::DstPort, Field::Protocol]),
            GroupBy::Reason => ("--group reason", &[Field::DropReason]),
            GroupBy::Service => {
                ("--group service", &[Field::FlowDirection, Field::PktSrcAwsService, Field::PktDstAwsService])
            }
        };
        [Field::Packets, Field::Bytes].iter().chain(fields).map(|field| (*field, needed_by)).collect()
    }

    /// Refuses a format that lacks a field which the grouping needs.
    pub fn check(group_by: GroupBy, format: &Format) -> Result<(), FlowLogError> {
        match Self::needs(group_by).into_iter().find(|(field, _)| !format.contains(*field)) {
            Some((field, needed_by)) => Err(FlowLogError::MissingField { field, needed_by }),
            None => Ok(()),
        }
    }

    /// Adds a record. One without traffic adds nothing.
    pub fn add(&mut self, record: &impl Fields) {
        let (Some(packets), Some(bytes)) = (number(record, Field::Packets), number(record, Field::Bytes))
        else {
            return;
        };
        let totals = Totals { packets, bytes, flows: 1 };
        match service_port(self.group_by, record) {
            Some(port) => {
                self.total.merge(totals);
                self.groups.entry(port).or_default().merge(totals);
            }
            None => self.add_totals(key_value(self.group_by, record), totals),
        }
    }

    /// Adds what records with this key have together.
    pub(crate) fn add_totals(&mut self, key: Option<Value<'_>>, totals: Totals) {
        self.total.merge(totals);
        let key = match key {
            Some(Value::Text(text)) => {
                match self.texts.get_mut(text) {
                    Some(group) => group.merge(totals),
                    None => self.texts.entry(text.into()).or_default().merge(totals),
                }
                return;
            }
            Some(Value::Eni(id)) => Key::Eni(id),
            Some(Value::Address(address)) => Key::Address(address),
            _ => Key::Unknown,
        };
        self.groups.entry(key).or_default().merge(totals);
    }

    /// What the records are grouped by.
    pub(crate) const fn group_by(&self) -> GroupBy {
        self.group_by
    }

    /// Adds what another one of the same grouping has added up.
    pub fn merge(&mut self, other: Self) {
        for (key, totals) in other.texts {
            self.texts.entry(key).or_default().merge(totals);
        }
        for (key, totals) in other.groups {
            self.groups.entry(key).or_default().merge(totals);
        }
        self.total.merge(other.total);
    }

    /// All records together.
    pub const fn total(&self) -> Totals {
        self.total
    }

    /// The first `count` groups, the largest first; equals in the order of their keys.
    pub fn top(&self, count: usize, sort_by: SortBy) -> Vec<(Key, Totals)> {
        let texts = self.texts.iter().map(|(text, totals)| (Key::Text(text.clone()), *totals));
        let mut groups: Vec<_> =
            self.groups.iter().map(|(key, totals)| (key.clone(), *totals)).chain(texts).collect();
        let order = |(key, totals): &(Key, Totals), (other_key, other): &(Key, Totals)| {
            other.of(sort_by).cmp(&totals.of(sort_by)).then_with(|| key.cmp(other_key))
        };
        // Of many groups, a few are wanted: only these are put in order.
        if count < groups.len() {
            groups.select_nth_unstable_by(count, order);
            groups.truncate(count);
        }
        groups.sort_unstable_by(order);
        groups
    }
}

/// The value that is the record's key, where one is.
fn key_value<R: Fields>(group_by: GroupBy, record: &R) -> Option<Value<'_>> {
    let far_side = |src, dst| match record.value(Field::FlowDirection)? {
        Value::Text(word) if word == Direction::Egress.as_str() => record.value(dst),
        _ => record.value(src),
    };
    match group_by {
        GroupBy::Class => record.value(Field::TrafficClass),
        GroupBy::Task => record.value(Field::TaskName),
        GroupBy::Eni => record.value(Field::InterfaceId),
        GroupBy::Reason => record.value(Field::DropReason),
        GroupBy::Peer => far_side(Field::SrcAddr, Field::DstAddr),
        GroupBy::Service => far_side(Field::PktSrcAwsService, Field::PktDstAwsService),
        GroupBy::Port => None,
    }
}

fn service_port(group_by: GroupBy, record: &impl Fields) -> Option<Key> {
    if group_by != GroupBy::Port {
        return None;
    }
    let ports = (number(record, Field::SrcPort)?, number(record, Field::DstPort)?);
    let port = ports.0.min(ports.1);
    let protocol = number(record, Field::Protocol)?;
    Some(Key::Port(u16::try_from(port).ok()?, u8::try_from(protocol).ok()?))
}

pub(crate) fn number(record: &impl Fields, field: Field) -> Option<u64> {
    match record.value(field)? {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{DropReason, FlowRecord, Observation};
    use crate::testing::{any_record, ssh, traffic_mut};
    use enid_model::TrafficClass;
    use proptest::prelude::*;

    fn flow(class: TrafficClass, direction: Direction, bytes: u64) -> FlowRecord {
        let mut record = ssh();
        let traffic = traffic_mut(&mut record);
        (traffic.class, traffic.direction, traffic.bytes) = (class, direction, bytes);
        (traffic.packets, traffic.src_port, traffic.dst_port) = (2, 40_000, 443);
        record
    }

    fn rows(group_by: GroupBy, records: &[FlowRecord]) -> Vec<(String, u64, u64)> {
        let mut summary = Summary::new(group_by);
        for record in records {
            summary.add(record);
        }
        summary
            .top(usize::MAX, SortBy::Bytes)
            .into_iter()
            .map(|(key, totals)| (key.to_string(), totals.bytes, totals.flows))
            .collect()
    }

    #[test]
    fn records_are_added_up_by_each_key() {
        let records = [
            flow(TrafficClass::Logs, Direction::Egress, 100),
            flow(TrafficClass::ImagePull, Direction::Ingress, 1000),
            flow(TrafficClass::Logs, Direction::Ingress, 10),
        ];
        let row = |key: &str, bytes, flows| (key.to_owned(), bytes, flows);
        assert_eq!(rows(GroupBy::Class, &records), [row("image-pull", 1000, 1), row("logs", 110, 2)]);
        assert_eq!(rows(GroupBy::Task, &records), [row("web-1", 1110, 3)]);
        assert_eq!(rows(GroupBy::Eni, &records), [row("eni-1235b8ca123456789", 1110, 3)]);
        assert_eq!(
            rows(GroupBy::Peer, &records),
            [row("172.31.16.139", 1010, 2), row("172.31.16.21", 100, 1)]
        );
        assert_eq!(rows(GroupBy::Port, &records), [row("443/tcp", 1110, 3)]);
        assert_eq!(rows(GroupBy::Service, &records), [row("EC2", 1010, 2), row("AMAZON", 100, 1)]);
        let mut refused = flow(TrafficClass::Logs, Direction::Ingress, 60);
        traffic_mut(&mut refused).drop_reason = Some(DropReason::NoRule);
        let [first, ..] = records;
        assert_eq!(rows(GroupBy::Reason, &[first, refused]), [row("-", 100, 1), row("no-rule", 60, 1)]);
    }

    #[test]
    fn what_has_no_ports_is_grouped_by_protocol() {
        let mut ping = ssh();
        let traffic = traffic_mut(&mut ping);
        (traffic.protocol, traffic.src_port, traffic.dst_port) = (1, 0, 0);
        assert_eq!(rows(GroupBy::Port, &[ping]), [("icmp".to_owned(), 4249, 1)]);
    }

    #[test]
    fn idle_intervals_add_nothing_and_a_missing_key_is_shown() {
        let mut idle = ssh();
        idle.observation = Observation::NoData;
        assert_eq!(rows(GroupBy::Task, &[idle]), []);
        let mut hosts_own = ssh();
        let interface = crate::testing::interface();
        hosts_own.interface = crate::record::Interface { task: None, ..interface }.into();
        assert_eq!(rows(GroupBy::Task, &[hosts_own]), [("-".to_owned(), 4249, 1)]);
    }

    #[test]
    fn the_top_is_cut_and_ordered_by_choice() {
        let mut summary = Summary::new(GroupBy::Class);
        for (class, bytes) in [(TrafficClass::Logs, 5), (TrafficClass::Logs, 5), (TrafficClass::Exec, 50)] {
            summary.add(&flow(class, Direction::Egress, bytes));
        }
        let first = |sort_by| summary.top(1, sort_by)[0].0.to_string();
        assert_eq!(first(SortBy::Bytes), "exec");
        assert_eq!(first(SortBy::Flows), "logs");
        assert_eq!(first(SortBy::Packets), "logs");
        assert_eq!(summary.total(), Totals { packets: 6, bytes: 60, flows: 3 });
    }

    #[test]
    fn a_format_without_the_key_is_refused() {
        for group_by in GroupBy::ALL {
            assert_eq!(group_by.as_str().parse(), Ok(*group_by));
            assert!(Summary::check(*group_by, &Format::complete()).is_ok());
        }
        assert_eq!(
            Summary::check(GroupBy::Peer, &Format::default()).unwrap_err().to_string(),
            "the files do not hold the field `flow-direction` that --group peer needs"
        );
        assert!(Summary::check(GroupBy::Eni, &"${interface-id} ${bytes}".parse().unwrap()).is_err());
        assert_eq!(
            "host".parse::<GroupBy>().unwrap_err().to_string(),
            "`host` is not a grouping: expected one of class, task, eni, peer, port, service, reason"
        );
    }

    proptest! {
        #[test]
        fn groups_add_up_to_the_total(records in prop::collection::vec(any_record(), 0..20)) {
            for group_by in GroupBy::ALL {
                let mut summary = Summary::new(*group_by);
                for record in &records { summary.add(record); }
                let flows = summary.top(usize::MAX, SortBy::Flows);
                prop_assert_eq!(flows.iter().map(|(_, totals)| totals.flows).sum::<u64>(), summary.total().flows);
                prop_assert!(flows.is_sorted_by_key(|(_, totals)| std::cmp::Reverse(totals.flows)));
                prop_assert_eq!(&flows[..flows.len().min(2)], &*summary.top(2, SortBy::Flows));
                let (first, second) = records.split_at(records.len() / 2);
                let mut merged = Summary::new(*group_by);
                for record in first { merged.add(record); }
                let mut other = Summary::new(*group_by);
                for record in second { other.add(record); }
                merged.merge(other);
                prop_assert_eq!(merged.total(), summary.total());
                prop_assert_eq!(merged.top(usize::MAX, SortBy::Flows), flows);
            }
        }
    }
}
