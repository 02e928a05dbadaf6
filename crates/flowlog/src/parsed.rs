//! A record as it was read from a file.

use std::net::IpAddr;
use std::sync::Arc;

use enid_model::{EniId, SubnetId, TrafficClass, VpcId};

use crate::field::Field;
use crate::record::{Action, Direction, DropReason, FlowRecord, IpType, LogStatus};
use crate::value::{Fields, Value, serialize_fields};

/// A record read back: the fields that its file holds. A field is absent where the file does not hold it, or
/// holds `-`. Fields that enid can't fill are kept too, so that other writers' files read without loss.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the fields are those of the same name in Field, where they are described")]
pub struct ParsedRecord {
    pub account_id: Option<Arc<str>>,
    pub interface_id: Option<EniId>,
    pub srcaddr: Option<IpAddr>,
    pub dstaddr: Option<IpAddr>,
    pub srcport: Option<u16>,
    pub dstport: Option<u16>,
    pub protocol: Option<u8>,
    pub packets: Option<u64>,
    pub bytes: Option<u64>,
    pub start: Option<u64>,
    pub end: Option<u64>,
    pub action: Option<Action>,
    pub log_status: Option<LogStatus>,
    pub vpc_id: Option<VpcId>,
    pub subnet_id: Option<SubnetId>,
    pub tcp_flags: Option<u8>,
    pub ip_type: Option<IpType>,
    pub pkt_srcaddr: Option<IpAddr>,
    pub pkt_dstaddr: Option<IpAddr>,
    pub region: Option<Arc<str>>,
    pub az_id: Option<Arc<str>>,
    pub flow_direction: Option<Direction>,
    pub traffic_path: Option<u8>,
    pub traffic_class: Option<TrafficClass>,
    pub task_name: Option<Arc<str>>,
    pub drop_reason: Option<DropReason>,
    pub packets_dropped: Option<u64>,
    pub bytes_dropped: Option<u64>,
    pub records_dropped: Option<u64>,
    pub encryption_status: Option<u8>,
    pub next_hop_interface_id: Option<EniId>,
    pub next_hop_subnet_id: Option<SubnetId>,
    pub next_hop_vpc_id: Option<VpcId>,
    /// Fields of text that few records have.
    pub others: Vec<(Field, Arc<str>)>,
}

impl From<&FlowRecord> for ParsedRecord {
    /// As if it had been written in the complete format and read back.
    fn from(record: &FlowRecord) -> Self {
        let interface = &record.interface;
        let mut parsed = Self {
            account_id: Some(interface.account_id.as_str().into()),
            interface_id: Some(interface.eni),
            start: Some(record.start),
            end: Some(record.end),
            log_status: Some(record.log_status()),
            vpc_id: Some(interface.vpc),
            subnet_id: Some(interface.subnet),
            region: Some(interface.region.as_str().into()),
            az_id: Some(interface.zone.as_str().into()),
            task_name: interface.task.as_ref().map(|task| task.as_str().into()),
            packets_dropped: record.loss().map(|loss| loss.packets),
            bytes_dropped: record.loss().map(|loss| loss.bytes),
            records_dropped: record.loss().map(|loss| loss.records),
            next_hop_interface_id: record.next_hop.as_ref().map(|next_hop| next_hop.eni),
            next_hop_subnet_id: record.next_hop.as_ref().map(|next_hop| next_hop.subnet),
            next_hop_vpc_id: record.next_hop.as_ref().map(|next_hop| next_hop.vpc),
            ..Self::default()
        };
        if let Some(traffic) = record.traffic() {
            parsed = Self {
                srcaddr: Some(traffic.src),
                dstaddr: Some(traffic.dst),
                srcport: Some(traffic.src_port),
                dstport: Some(traffic.dst_port),
                protocol: Some(traffic.protocol),
                packets: Some(traffic.packets),
                bytes: Some(traffic.bytes),
                action: Some(traffic.action()),
                tcp_flags: Some(traffic.tcp_flags),
                ip_type: Some(IpType::of(traffic.src)),
                pkt_srcaddr: Some(traffic.src),
                pkt_dstaddr: Some(traffic.dst),
                flow_direction: Some(traffic.direction),
                traffic_path: traffic.traffic_path,
                traffic_class: Some(traffic.class),
                drop_reason: traffic.drop_reason,
                ..parsed
            };
        }
        for field in Field::ALL {
            if parsed.value(*field).is_none()
                && let Some(Value::Text(text)) = record.value(*field)
            {
                parsed.others.push((*field, text.into()));
            }
        }
        parsed
    }
}

impl Fields for ParsedRecord {
    fn value(&self, field: Field) -> Option<Value<'_>> {
        match field {
            // The format's to tell.
            Field::Version => None,
            Field::AccountId => text(self.account_id.as_ref()),
            Field::InterfaceId => self.interface_id.map(Value::Eni),
            Field::SrcAddr => self.srcaddr.map(Value::Address),
            Field::DstAddr => self.dstaddr.map(Value::Address),
            Field::SrcPort => number(self.srcport),
            Field::DstPort => number(self.dstport),
            Field::Protocol => number(self.protocol),
            Field::Packets => number(self.packets),
            Field::Bytes => number(self.bytes),
            Field::Start => number(self.start),
            Field::End => number(self.end),
            Field::Action => Some(Value::Text(self.action?.as_str())),
            Field::LogStatus => Some(Value::Text(self.log_status?.as_str())),
            Field::VpcId => self.vpc_id.map(Value::Vpc),
            Field::SubnetId => self.subnet_id.map(Value::Subnet),
            Field::TcpFlags => number(self.tcp_flags),
            Field::Type => Some(Value::Text(self.ip_type?.as_str())),
            Field::PktSrcAddr => self.pkt_srcaddr.map(Value::Address),
            Field::PktDstAddr => self.pkt_dstaddr.map(Value::Address),
            Field::Region => text(self.region.as_ref()),
            Field::AzId => text(self.az_id.as_ref()),
            Field::FlowDirection => Some(Value::Text(self.flow_direction?.as_str())),
            Field::TrafficPath => number(self.traffic_path),
            Field::TrafficClass => Some(Value::Text(self.traffic_class?.as_str())),
            Field::TaskName => text(self.task_name.as_ref()),
            Field::DropReason => Some(Value::Text(self.drop_reason?.as_str())),
            Field::PacketsDropped => number(self.packets_dropped),
            Field::BytesDropped => number(self.bytes_dropped),
            Field::RecordsDropped => number(self.records_dropped),
            Field::EncryptionStatus => number(self.encryption_status),
            Field::NextHopInterfaceId => self.next_hop_interface_id.map(Value::Eni),
            Field::NextHopSubnetId => self.next_hop_subnet_id.map(Value::Subnet),
            Field::NextHopVpcId => self.next_hop_vpc_id.map(Value::Vpc),
            other => text(self.others.iter().find(|(field, _)| *field == other).map(|(_, text)| text)),
        }
    }
}

impl serde::Serialize for ParsedRecord {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_fields(self, serializer)
    }
}

fn text(value: Option<&Arc<str>>) -> Option<Value<'_>> {
    value.map(|text| Value::Text(text))
}

fn number<'a>(value: Option<impl Into<u64>>) -> Option<Value<'a>> {
    value.map(|number| Value::Number(number.into()))
}
