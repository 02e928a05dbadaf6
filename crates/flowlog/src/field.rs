//! The fields that a flow record can have.

use std::fmt;
use std::str::FromStr;

use crate::error::FlowLogError;

/// Defines the fields once: variant, name in format strings, key in JSON, version (0: enid's own), filled or empty.
macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident $name:literal $key:literal $version:literal $filled:literal,)+) => {
        /// A field of a flow record.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Field {
            $($(#[$doc])* $variant,)+
        }

        impl Field {
            /// All fields: by version, and in the order that the documentation lists them; enid's own come last.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name, as format strings and headers spell it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The key in JSON: the name in camel case.
            pub const fn json_key(self) -> &'static str {
                match self { $(Self::$variant => $key,)+ }
            }

            /// Whether enid's records have a value for it. The others are read from other writers' files, and
            /// written as `-`.
            pub const fn is_filled(self) -> bool {
                match self { $(Self::$variant => $filled,)+ }
            }

            const fn version_or_zero(self) -> u8 {
                match self { $(Self::$variant => $version,)+ }
            }
        }
    };
}

fields! {
    /// The highest version among the fields of the format.
    Version "version" "version" 2 true,
    /// The account that owns the ENI.
    AccountId "account-id" "accountId" 2 true,
    /// The ENI.
    InterfaceId "interface-id" "interfaceId" 2 true,
    /// Where the traffic comes from; the ENI's primary address on its own side.
    SrcAddr "srcaddr" "srcaddr" 2 true,
    /// Where the traffic goes; the ENI's primary address on its own side.
    DstAddr "dstaddr" "dstaddr" 2 true,
    /// The source port; 0 for ICMP and for fragments whose first was not seen.
    SrcPort "srcport" "srcport" 2 true,
    /// The destination port; 0 for ICMP and for fragments whose first was not seen.
    DstPort "dstport" "dstport" 2 true,
    /// The IANA protocol number.
    Protocol "protocol" "protocol" 2 true,
    /// Packets on the wire.
    Packets "packets" "packets" 2 true,
    /// Layer-3 bytes on the wire.
    Bytes "bytes" "bytes" 2 true,
    /// Unix seconds of the first packet in the interval.
    Start "start" "start" 2 true,
    /// Unix seconds of the last packet in the interval.
    End "end" "end" 2 true,
    /// ACCEPT or REJECT.
    Action "action" "action" 2 true,
    /// OK, NODATA or SKIPDATA.
    LogStatus "log-status" "logStatus" 2 true,
    /// The VPC.
    VpcId "vpc-id" "vpcId" 3 true,
    /// The subnet.
    SubnetId "subnet-id" "subnetId" 3 true,
    /// The virtual machine that the ENI belongs to: a task is none.
    InstanceId "instance-id" "instanceId" 3 false,
    /// FIN 1, SYN 2, RST 4, SYN-ACK 18, or-ed over the interval.
    TcpFlags "tcp-flags" "tcpFlags" 3 true,
    /// IPv4, IPv6 or EFA.
    Type "type" "type" 3 true,
    /// The packet's own source address.
    PktSrcAddr "pkt-srcaddr" "pktSrcaddr" 3 true,
    /// The packet's own destination address.
    PktDstAddr "pkt-dstaddr" "pktDstaddr" 3 true,
    /// The region.
    Region "region" "region" 4 true,
    /// The availability zone.
    AzId "az-id" "azId" 4 true,
    /// wavelength, outpost or localzone.
    SublocationType "sublocation-type" "sublocationType" 4 false,
    /// The sublocation.
    SublocationId "sublocation-id" "sublocationId" 4 false,
    /// The service whose published prefix holds `pkt-srcaddr`.
    PktSrcAwsService "pkt-src-aws-service" "pktSrcAwsService" 5 true,
    /// The service whose published prefix holds `pkt-dstaddr`.
    PktDstAwsService "pkt-dst-aws-service" "pktDstAwsService" 5 true,
    /// ingress or egress, as the ENI sees it.
    FlowDirection "flow-direction" "flowDirection" 5 true,
    /// The way that egress traffic takes, 1 to 8.
    TrafficPath "traffic-path" "trafficPath" 5 true,
    /// The ARN of the ECS cluster that the task runs in.
    EcsClusterArn "ecs-cluster-arn" "ecsClusterArn" 7 true,
    /// The name of the ECS cluster.
    EcsClusterName "ecs-cluster-name" "ecsClusterName" 7 true,
    /// The ARN of the container instance: on Fargate there is none.
    EcsContainerInstanceArn "ecs-container-instance-arn" "ecsContainerInstanceArn" 7 false,
    /// The id of the container instance: on Fargate there is none.
    EcsContainerInstanceId "ecs-container-instance-id" "ecsContainerInstanceId" 7 false,
    /// The runtime's id of the task's first container.
    EcsContainerId "ecs-container-id" "ecsContainerId" 7 true,
    /// The runtime's id of the task's second container.
    EcsSecondContainerId "ecs-second-container-id" "ecsSecondContainerId" 7 true,
    /// The ECS service that started the task.
    EcsServiceName "ecs-service-name" "ecsServiceName" 7 true,
    /// The ARN of the task definition.
    EcsTaskDefinitionArn "ecs-task-definition-arn" "ecsTaskDefinitionArn" 7 true,
    /// The ARN of the task.
    EcsTaskArn "ecs-task-arn" "ecsTaskArn" 7 true,
    /// The id of the task.
    EcsTaskId "ecs-task-id" "ecsTaskId" 7 true,
    /// Why the traffic was refused, where a VPC's Block Public Access did so: the only published value is `BPA`. A host
    /// has no such thing.
    RejectReason "reject-reason" "rejectReason" 8 false,
    /// The resource that the ENI belongs to, where that is a gateway's.
    ResourceId "resource-id" "resourceId" 9 false,
    /// 0 none, 1 by hardware, 2 by the application, 3 both: whether an application encrypts, a host does not see.
    EncryptionStatus "encryption-status" "encryptionStatus" 10 false,
    /// The value of an instance's tag, percent-encoded: a task is no instance.
    InstanceTag "instance-tag" "instanceTag" 11 false,
    /// The value of another tag of the instance.
    InstanceTag2 "instance-tag-2" "instanceTag2" 11 false,
    /// The value of the ENI's tag whose key the flow log names, percent-encoded.
    InterfaceTag "interface-tag" "interfaceTag" 11 true,
    /// The value of another tag of the ENI.
    InterfaceTag2 "interface-tag-2" "interfaceTag2" 11 true,
    /// The value of an Auto Scaling group's tag: a task is in none.
    AsgTag "asg-tag" "asgTag" 11 false,
    /// The value of another tag of the Auto Scaling group.
    AsgTag2 "asg-tag-2" "asgTag2" 11 false,
    /// What kind of interface the ENI is.
    InterfaceType "interface-type" "interfaceType" 11 true,
    /// The ENI at the other side, where it is one of this host: on egress it receives, on ingress it sends.
    NextHopInterfaceId "next-hop-interface-id" "nextHopInterfaceId" 11 true,
    /// The next hop's subnet.
    NextHopSubnetId "next-hop-subnet-id" "nextHopSubnetId" 11 true,
    /// The next hop's availability zone.
    NextHopAzId "next-hop-az-id" "nextHopAzId" 11 true,
    /// The next hop's VPC.
    NextHopVpcId "next-hop-vpc-id" "nextHopVpcId" 11 true,
    /// What kind of interface the next hop is.
    NextHopInterfaceType "next-hop-interface-type" "nextHopInterfaceType" 11 true,
    /// On whose behalf the flow runs; enid's own.
    TrafficClass "traffic-class" "trafficClass" 0 true,
    /// The task that the ENI belongs to; enid's own.
    TaskName "task-name" "taskName" 0 true,
    /// Why the traffic was refused, of any of a host's reasons; enid's own.
    DropReason "drop-reason" "dropReason" 0 true,
    /// Of a SKIPDATA record, how many packets are in no record; enid's own.
    PacketsDropped "packets-dropped" "packetsDropped" 0 true,
    /// Of a SKIPDATA record, how many bytes are in no record; enid's own.
    BytesDropped "bytes-dropped" "bytesDropped" 0 true,
    /// Of a SKIPDATA record, how many records were made and given up; enid's own.
    RecordsDropped "records-dropped" "recordsDropped" 0 true,
}

/// What a field's values are, and so the type of its Parquet column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// A number that fits INT32: a port, a protocol, flags, a version.
    Small,
    /// A number of 64 bits, INT64: a count, a time.
    Count,
    /// An IP address, as text.
    Address,
    /// Other text: an identifier, a name, a word.
    Text,
}

impl Field {
    /// The version of the record format that brought the field; none for enid's own.
    pub const fn version(self) -> Option<u8> {
        match self.version_or_zero() {
            0 => None,
            version => Some(version),
        }
    }

    /// The field's bit in a set of fields.
    pub(crate) const fn bit(self) -> u128 {
        1 << self as u8
    }

    /// What its values are.
    pub const fn kind(self) -> FieldKind {
        use FieldKind::{Address, Count, Small, Text};
        match self {
            Self::Version
            | Self::SrcPort
            | Self::DstPort
            | Self::Protocol
            | Self::TcpFlags
            | Self::TrafficPath
            | Self::EncryptionStatus => Small,
            Self::Packets
            | Self::Bytes
            | Self::Start
            | Self::End
            | Self::PacketsDropped
            | Self::BytesDropped
            | Self::RecordsDropped => Count,
            Self::SrcAddr | Self::DstAddr | Self::PktSrcAddr | Self::PktDstAddr => Address,
            _ => Text,
        }
    }

    /// The field whose name is fewest edits away, if it is near enough to be what was meant.
    fn nearest(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase().replace('_', "-");
        // A word as short as `end` has neighbours at distance 2 that have nothing to do with it.
        let near_enough = (name.len() / 3).min(3);
        Self::ALL
            .iter()
            .map(|field| (edit_distance(&name, field.name()), *field))
            .min_by_key(|(distance, _)| *distance)
            .filter(|(distance, _)| *distance <= near_enough)
            .map(|(_, field)| field)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Field {
    type Err = FlowLogError;

    fn from_str(name: &str) -> Result<Self, FlowLogError> {
        Self::ALL
            .iter()
            .copied()
            .find(|field| field.name() == name)
            .ok_or_else(|| FlowLogError::UnknownField { name: name.to_owned(), nearest: Self::nearest(name) })
    }
}

/// Levenshtein's distance: the insertions, deletions and replacements that make one text the other.
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (count, letter) in (1..).zip(from.chars()) {
        let mut next = Vec::with_capacity(row.len());
        let mut left = count;
        next.push(left);
        for (pair, other) in row.windows(2).zip(&to) {
            let [diagonal, above] = *pair else { continue };
            left = (diagonal + usize::from(letter != *other)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_keys_are_the_names_in_camel_case() {
        for field in Field::ALL {
            assert_eq!(field.name().parse::<Field>().unwrap(), *field);
            let mut key = String::new();
            for (index, part) in field.name().split('-').enumerate() {
                let (first, rest) = part.split_at(1);
                key += &if index == 0 { first.to_owned() } else { first.to_uppercase() };
                key += rest;
            }
            assert_eq!(field.json_key(), key);
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        for (name, nearest) in [
            ("srcadr", "srcaddr"),
            ("src-addr", "srcaddr"),
            ("vpc_id", "vpc-id"),
            ("VPC-ID", "vpc-id"),
            ("traffic_clas", "traffic-class"),
            ("byte", "bytes"),
            ("pkt-dst-service", "pkt-dst-aws-service"),
        ] {
            let message = name.parse::<Field>().unwrap_err().to_string();
            if name == "pkt-dst-service" {
                // Four edits away: too far to guess.
                assert_eq!(message, "`pkt-dst-service` is not a flow log field");
                continue;
            }
            assert_eq!(message, format!("`{name}` is not a flow log field; did you mean `{nearest}`?"));
        }
        for name in ["", "x", "transit-gateway", "ünïcödé"] {
            assert_eq!(
                name.parse::<Field>().unwrap_err().to_string(),
                format!("`{name}` is not a flow log field")
            );
        }
    }

    #[test]
    fn edits_are_counted() {
        for (from, to, distance) in
            [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("start", "end", 5)]
        {
            assert_eq!(edit_distance(from, to), distance, "{from} {to}");
            assert_eq!(edit_distance(to, from), distance, "{to} {from}");
        }
    }
}
