//! A flow record as the host that saw the traffic knows it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use enid_model::{EcsTask, EniId, Name, SubnetId, Tags, TaskName, TrafficClass, VpcId};
use serde::{Deserialize, Serialize};

use crate::field::Field;
use crate::value::{Fields, Value, serialize_fields};

/// What all records of one ENI have in common; shared, so that a record costs no text of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interface {
    /// The account that owns the ENI; `unknown` where nobody said.
    pub account_id: Name,
    /// The ENI.
    pub eni: EniId,
    /// The task that it belongs to; none for the host's own ENI.
    pub task: Option<TaskName>,
    /// The VPC.
    pub vpc: VpcId,
    /// The subnet.
    pub subnet: SubnetId,
    /// The region.
    pub region: Name,
    /// The availability zone.
    pub zone: Name,
    /// The ECS objects that the task belongs to.
    #[serde(default)]
    pub ecs: EcsTask,
    /// The ENI's tags.
    #[serde(default)]
    pub tags: Tags,
    /// The values of the tags that the flow log at hand names, percent-encoded: `interface-tag` and `interface-tag-2`.
    #[serde(skip)]
    pub shown_tags: [Option<Box<str>>; 2],
}

/// `interface-type` of a task's ENI, as EC2 calls an ENI that is nothing special.
const INTERFACE_TYPE: &str = "interface";

/// What one flow, or one idle ENI, did in one aggregation interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRecord {
    /// The ENI, and where it is.
    pub interface: Arc<Interface>,
    /// Unix seconds of the flow's first packet in the interval; without traffic, of the interval's beginning.
    pub start: u64,
    /// Unix seconds of the flow's last packet in the interval; without traffic, of the interval's end.
    pub end: u64,
    /// What was seen.
    pub observation: Observation,
    /// The ENI at the other side, where it is one of this host: on egress it receives, on ingress it sends.
    pub next_hop: Option<Arc<Interface>>,
    /// The service whose published prefix, or endpoint, has the source address.
    pub src_service: Option<Arc<str>>,
    /// The service whose published prefix, or endpoint, has the destination address.
    pub dst_service: Option<Arc<str>>,
}

/// What is in no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Loss {
    /// Packets on the wire.
    pub packets: u64,
    /// Layer-3 bytes on the wire.
    pub bytes: u64,
    /// Records that were made and given up before they were delivered; 0 where there were no records to begin with.
    pub records: u64,
}

/// What was seen in the interval. Only traffic has addresses and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// A flow: log status OK.
    Traffic(Traffic),
    /// No traffic: log status NODATA.
    NoData,
    /// Records were skipped, for want of capacity or after an internal error: log status SKIPDATA.
    SkipData(Loss),
}

/// One flow: a unidirectional 5-tuple on one ENI, and what passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// The source address, which is the packet's own too.
    pub src: IpAddr,
    /// The destination address, which is the packet's own too. Of the same family as `src`.
    pub dst: IpAddr,
    /// The source port; 0 where the protocol has none, for ICMP, and for fragments whose first was not seen.
    pub src_port: u16,
    /// The destination port; 0 as `src_port`.
    pub dst_port: u16,
    /// The IANA protocol number.
    pub protocol: u8,
    /// Packets on the wire: a GSO buffer counts as its segments.
    pub packets: u64,
    /// Layer-3 bytes on the wire.
    pub bytes: u64,
    /// Why the traffic was refused; none if it was let through.
    pub drop_reason: Option<DropReason>,
    /// FIN 1, SYN 2, RST 4, SYN-ACK 18, or-ed over the interval; none where the protocol is not TCP.
    pub tcp_flags: u8,
    /// The direction, as the ENI sees it.
    pub direction: Direction,
    /// The way that egress traffic takes (1 to 8); none on ingress or where it is not known.
    pub traffic_path: Option<u8>,
    /// On whose behalf the flow runs.
    pub class: TrafficClass,
}

impl FlowRecord {
    /// A record of an ENI, of which no next hop and no services are known.
    pub const fn new(interface: Arc<Interface>, start: u64, end: u64, observation: Observation) -> Self {
        Self { interface, start, end, observation, next_hop: None, src_service: None, dst_service: None }
    }

    /// The record's log status.
    pub const fn log_status(&self) -> LogStatus {
        match self.observation {
            Observation::Traffic(_) => LogStatus::Ok,
            Observation::NoData => LogStatus::NoData,
            Observation::SkipData(_) => LogStatus::SkipData,
        }
    }

    fn next_hop(&self) -> Option<&Interface> {
        self.next_hop.as_deref()
    }

    /// What is in no record, if the record says so.
    pub const fn loss(&self) -> Option<&Loss> {
        match &self.observation {
            Observation::SkipData(loss) => Some(loss),
            Observation::Traffic(_) | Observation::NoData => None,
        }
    }

    /// The flow, where there was one.
    pub const fn traffic(&self) -> Option<&Traffic> {
        match &self.observation {
            Observation::Traffic(traffic) => Some(traffic),
            Observation::NoData | Observation::SkipData(_) => None,
        }
    }
}

impl Fields for FlowRecord {
    fn value(&self, field: Field) -> Option<Value<'_>> {
        let interface = &*self.interface;
        let value = match field {
            Field::AccountId => Value::Text(interface.account_id.as_str()),
            Field::InterfaceId => Value::Eni(interface.eni),
            Field::Start => Value::Number(self.start),
            Field::End => Value::Number(self.end),
            Field::LogStatus => Value::Text(self.log_status().as_str()),
            Field::VpcId => Value::Vpc(interface.vpc),
            Field::SubnetId => Value::Subnet(interface.subnet),
            Field::Region => Value::Text(interface.region.as_str()),
            Field::AzId => Value::Text(interface.zone.as_str()),
            Field::TaskName => Value::Text(interface.task.as_ref()?.as_str()),
            Field::InterfaceType => Value::Text(INTERFACE_TYPE),
            Field::InterfaceTag => Value::Text(interface.shown_tags[0].as_deref()?),
            Field::InterfaceTag2 => Value::Text(interface.shown_tags[1].as_deref()?),
            Field::NextHopInterfaceId => Value::Eni(self.next_hop()?.eni),
            Field::NextHopSubnetId => Value::Subnet(self.next_hop()?.subnet),
            Field::NextHopAzId => Value::Text(self.next_hop()?.zone.as_str()),
            Field::NextHopVpcId => Value::Vpc(self.next_hop()?.vpc),
            Field::NextHopInterfaceType => self.next_hop().map(|_| Value::Text(INTERFACE_TYPE))?,
            Field::PktSrcAwsService => Value::Text(self.src_service.as_deref()?),
            Field::PktDstAwsService => Value::Text(self.dst_service.as_deref()?),
            Field::PacketsDropped => Value::Number(self.loss()?.packets),
            Field::BytesDropped => Value::Number(self.loss()?.bytes),
            Field::RecordsDropped => Value::Number(self.loss()?.records),
            other => return ecs_value(&interface.ecs, other).or_else(|| self.traffic()?.value(other)),
        };
        Some(value)
    }
}

fn ecs_value(ecs: &EcsTask, field: Field) -> Option<Value<'_>> {
    let identifier = match field {
        Field::EcsClusterArn => &ecs.cluster_arn,
        Field::EcsClusterName => &ecs.cluster_name,
        Field::EcsContainerId => &ecs.container_id,
        Field::EcsSecondContainerId => &ecs.second_container_id,
        Field::EcsServiceName => &ecs.service_name,
        Field::EcsTaskDefinitionArn => &ecs.task_definition_arn,
        Field::EcsTaskArn => &ecs.task_arn,
        Field::EcsTaskId => &ecs.task_id,
        _ => return None,
    };
    identifier.as_ref().map(|identifier| Value::Text(identifier.as_str()))
}

impl Traffic {
    /// Whether the traffic was let through.
    pub const fn action(&self) -> Action {
        if self.drop_reason.is_some() { Action::Reject } else { Action::Accept }
    }

    fn value(&self, field: Field) -> Option<Value<'static>> {
        let value = match field {
            Field::SrcAddr | Field::PktSrcAddr => Value::Address(self.src),
            Field::DstAddr | Field::PktDstAddr => Value::Address(self.dst),
            Field::SrcPort => Value::Number(self.src_port.into()),
            Field::DstPort => Value::Number(self.dst_port.into()),
            Field::Protocol => Value::Number(self.protocol.into()),
            Field::Packets => Value::Number(self.packets),
            Field::Bytes => Value::Number(self.bytes),
            Field::Action => Value::Text(self.action().as_str()),
            Field::TcpFlags => Value::Number(self.tcp_flags.into()),
            Field::Type => Value::Text(IpType::of(self.src).as_str()),
            Field::FlowDirection => Value::Text(self.direction.as_str()),
            Field::TrafficPath => Value::Number(self.traffic_path?.into()),
            Field::TrafficClass => Value::Text(self.class.as_str()),
            Field::DropReason => Value::Text(self.drop_reason?.as_str()),
            // Of the interface, of the format, or not known on this host.
            _ => return None,
        };
        Some(value)
    }
}

impl Serialize for FlowRecord {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_fields(self, serializer)
    }
}

/// Defines an enum whose values are words in a record.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// All values.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word, as records spell it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The value that records spell so.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words!(
    /// What became of the traffic.
    Action {
        /// Let through.
        Accept "ACCEPT",
        /// Refused by a security group or network ACL, or come after the connection closed.
        Reject "REJECT",
    }
);
words!(
    /// Why a packet was refused.
    DropReason {
        /// No rule of the ENI's security groups allows it, nor is it part of a tracked flow.
        NoRule "no-rule",
        /// Its source address, MAC or IP, is not the ENI's.
        SpoofedSource "spoofed-source",
        /// The VPC has no route to its destination.
        NoRoute "no-route",
        /// No rule allows it, and the flow that it may answer had no room in the flow table.
        TableFull "table-full",
        /// No rule allows it, and the connection that it was part of is closed, or was idle for too long.
        ClosedConnection "closed-connection",
        /// It is for the VPC router itself, which answers nothing but ICMP echo.
        Router "router",
        /// It plays a part that is the VPC's: a DHCP server's.
        Impersonation "impersonation",
    }
);
words!(
    /// The direction of a flow, as the ENI sees it.
    Direction {
        /// Into the ENI.
        Ingress "ingress",
        /// Out of the ENI.
        Egress "egress",
    }
);
words!(
    /// Whether the interval was logged.
    LogStatus {
        /// It was.
        Ok "OK",
        /// There was no traffic.
        NoData "NODATA",
        /// Some records were skipped.
        SkipData "SKIPDATA",
    }
);
words!(
    /// The kind of traffic, field `type`.
    IpType {
        /// IPv4.
        Ipv4 "IPv4",
        /// IPv6.
        Ipv6 "IPv6",
        /// Elastic Fabric Adapter: only ever read from other writers' files.
        Efa "EFA",
    }
);

impl IpType {
    /// The kind of traffic between addresses of this family.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}
