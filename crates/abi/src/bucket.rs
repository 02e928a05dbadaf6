//! Named buckets: what is counted, but in no flow.

/// Where a packet is counted that is in no flow entry. The number is the bucket's place in a
/// [`Ledger`](crate::Ledger).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Bucket {
    /// ARP (EtherType 0x0806).
    Arp = 0,
    /// ICMPv6 neighbour discovery and multicast listener discovery: types 130–137 and 143 (RFC 4861, 2710, 3810).
    NeighborDiscovery = 1,
    /// Any other frame that carries no IP, tagged (IEEE 802.1Q) frames among them. Dropped.
    NotIp = 2,
    /// IP whose headers do not fit or contradict each other, so that no rule can judge it; or that no router passes on: IPv4
    /// with a source route, and what has no time to live left. Dropped.
    Malformed = 3,
    /// To a link-local IPv4 address (169.254.0.0/16, RFC 3927), which no router passes on. Dropped.
    LinkLocal = 4,
    /// For the instance metadata service (169.254.169.254 or fd00:ec2::254). Dropped.
    InstanceMetadata = 5,
    /// Allowed IP packets for which the flow table had no room. Passed on.
    Skipped = 6,
    /// Packets of an ENI that is closed. Dropped.
    Closed = 7,
    /// ARP and neighbour discovery that claim an address which is not the ENI's. Dropped.
    Spoofed = 8,
    /// Router advertisements and redirects that a task sends (ICMPv6 134 and 137). Dropped.
    Impersonation = 9,
    /// Refused packets for which the table of refusals had no room. Dropped.
    Unrecorded = 10,
}

impl Bucket {
    /// All buckets, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Arp,
        Self::NeighborDiscovery,
        Self::NotIp,
        Self::Malformed,
        Self::LinkLocal,
        Self::InstanceMetadata,
        Self::Skipped,
        Self::Closed,
        Self::Spoofed,
        Self::Impersonation,
        Self::Unrecorded,
    ];
    /// How many there are.
    pub const COUNT: usize = 11;
    /// Places for their counts: a power of two, so that programs can mask.
    pub const PLACES: usize = 16;

    /// The name as counters show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Arp => "arp",
            Self::NeighborDiscovery => "neighbor-discovery",
            Self::NotIp => "not-ip",
            Self::Malformed => "malformed",
            Self::LinkLocal => "link-local",
            Self::InstanceMetadata => "instance-metadata",
            Self::Skipped => "skipped",
            Self::Closed => "closed",
            Self::Spoofed => "spoofed",
            Self::Impersonation => "impersonation",
            Self::Unrecorded => "unrecorded",
        }
    }

    /// Whether its packets are dropped rather than passed on.
    pub const fn is_dropped(self) -> bool {
        !matches!(self, Self::Arp | Self::NeighborDiscovery | Self::Skipped)
    }

    /// Its place in [`Ledger::buckets`](crate::Ledger::buckets).
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places() {
        for (place, bucket) in Bucket::ALL.into_iter().enumerate() {
            assert_eq!(bucket.index(), place);
        }
    }
}
