//! Ledgers: what went through an ENI in one direction.

use crate::{Bucket, Plain, Reason};

/// Packets on the wire and their layer-3 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Count {
    /// Packets on the wire: a segmented buffer counts as its segments.
    pub packets: u64,
    /// Bytes from the IP header on; of a frame without IP, all but the 14 bytes of the Ethernet header.
    pub bytes: u64,
}

/// Both ledgers of an ENI and direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Ledger {
    /// Ledger (a): socket buffers, equal to the packet counter of the host end's interface.
    pub buffers: u64,
    /// Ledger (a): bytes from the Ethernet header on, equal to the byte counter of that interface.
    pub layer2_bytes: u64,
    /// Ledger (b), by the [window](crate::Interval::window) of the interval: what flow entries count in the same window, and
    /// buckets.
    pub wire: [Count; 2],
    /// What is in no flow entry, by window and [`Bucket::index`].
    pub buckets: [[Count; Bucket::PLACES]; 2],
    /// What of ledger (b) was refused, by [`Reason`], whether there was room to record it or not.
    pub refused: [Count; Reason::PLACES],
}

// SAFETY: `#[repr(C)]`, two integers of one size.
unsafe impl Plain for Count {}
// SAFETY: `#[repr(C)]`, 64-bit integers only.
unsafe impl Plain for Ledger {}

impl Count {
    /// Adds another count. Wraps, as counters do.
    pub const fn add(&mut self, other: Self) {
        self.packets = self.packets.wrapping_add(other.packets);
        self.bytes = self.bytes.wrapping_add(other.bytes);
    }
}

impl Ledger {
    /// Adds what another CPU counted.
    pub fn add(&mut self, other: &Self) {
        self.buffers = self.buffers.wrapping_add(other.buffers);
        self.layer2_bytes = self.layer2_bytes.wrapping_add(other.layer2_bytes);
        for (mine, theirs) in self.wire.iter_mut().zip(other.wire) {
            mine.add(theirs);
        }
        for (mine, theirs) in self.buckets.as_flattened_mut().iter_mut().zip(other.buckets.as_flattened()) {
            mine.add(*theirs);
        }
        for (mine, theirs) in self.refused.iter_mut().zip(other.refused) {
            mine.add(theirs);
        }
    }

    /// All of ledger (b).
    pub const fn wire(&self) -> Count {
        let [mut wire, other] = self.wire;
        wire.add(other);
        wire
    }

    /// What was refused for a reason.
    #[allow(clippy::indexing_slicing, reason = "there is a place for each reason")]
    pub const fn refused(&self, reason: Reason) -> Count {
        self.refused[reason as usize]
    }

    /// What a bucket holds.
    #[allow(clippy::indexing_slicing, reason = "there is a place for each bucket")]
    pub const fn bucket(&self, bucket: Bucket) -> Count {
        let [even, odd] = &self.buckets;
        let mut count = even[bucket.index()];
        count.add(odd[bucket.index()]);
        count
    }

    /// What all buckets hold together: ledger (b) less the flows.
    pub fn buckets_total(&self) -> Count {
        let mut total = Count::default();
        for count in self.buckets.as_flattened() {
            total.add(*count);
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ledgers_add_up_field_by_field() {
        let mut sum = Ledger::default();
        let mut one = Ledger {
            buffers: 1,
            layer2_bytes: 2,
            wire: [Count { packets: 3, bytes: 4 }; 2],
            ..Ledger::default()
        };
        one.buckets[1][Bucket::Closed.index()] = Count { packets: 5, bytes: 6 };
        sum.add(&one);
        sum.add(&one);
        assert_eq!((sum.buffers, sum.layer2_bytes), (2, 4));
        assert_eq!(sum.wire, [Count { packets: 6, bytes: 8 }; 2]);
        assert_eq!(sum.wire(), Count { packets: 12, bytes: 16 });
        assert_eq!(sum.bucket(Bucket::Closed), Count { packets: 10, bytes: 12 });
        assert_eq!(sum.bucket(Bucket::Arp), Count::default());
        assert_eq!(sum.buckets_total(), Count { packets: 10, bytes: 12 });
    }
}
