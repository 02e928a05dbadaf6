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
    PktSrcAwsService "pkt-src-aws-service" "pktSrcAwsService" 5 false,
    /// The service whose published prefix holds `pkt-dstaddr`.
    PktDstAwsService "pkt-dst-aws-service" "pktDstAwsService" 5 false,
    /// ingress or egress, as the ENI sees it.
    FlowDirection "flow-direction" "flowDirection" 5 true,
    /// The way that egress traffic takes, 1 to 8.
    TrafficPath "traffic-path" "trafficPath" 5 true,
    /// Why the traffic was refused, where a VPC's Block Public Access did so: the only published value is `BPA`. A host
    /// has no such thing.
    RejectReason "reject-reason" "rejectReason" 8 false,
    /// On whose behalf the flow runs; enid's own.
    TrafficClass "traffic-class" "trafficClass" 0 true,
    /// The task that the ENI belongs to; enid's own.
    TaskName "task-name" "taskName" 0 true,
    /// Why the traffic was refused, of any of a host's reasons; enid's own.
    DropReason "drop-reason" "dropReason" 0 true,
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
    pub(crate) const fn bit(self) -> u64 {
        1 << self as u8
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
        for name in ["", "x", "ecs-cluster-arn", "ünïcödé"] {
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
