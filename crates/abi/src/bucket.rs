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
    /// Any other frame that carries no IP, tagged (IEEE 802.1Q) frames among them.
    NotIp = 2,
    /// IP whose headers do not fit or contradict each other. Passed on: the kernel judges.
    Malformed = 3,
    /// IPv4 with a link-local address (169.254.0.0/16, RFC 3927) on either side.
    LinkLocal = 4,
    /// For the instance metadata service (169.254.169.254 or fd00:ec2::254). Dropped.
    InstanceMetadata = 5,
    /// IP packets for which the flow table had no room. Passed on.
    Skipped = 6,
    /// Packets of an ENI that is closed. Dropped.
    Closed = 7,
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
    ];
    /// How many there are.
    pub const COUNT: usize = 8;

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
        }
    }

    /// Whether its packets are dropped rather than passed on.
    pub const fn is_dropped(self) -> bool {
        matches!(self, Self::InstanceMetadata | Self::Closed)
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
