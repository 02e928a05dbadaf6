//! What becomes of a packet.

use enid_abi::Bucket;

use crate::account::InBucket;
use crate::packet::FLOW;

/// What becomes of a packet, and where it is counted.
#[derive(Clone, Copy)]
pub struct Outcome {
    /// [`Outcome::PASS`], [`Outcome::DROP`], or the number of the ENI that it is delivered to.
    pub action: u32,
    /// Its bucket, if it is in one.
    pub bucket: InBucket,
}

impl Outcome {
    /// It goes on by the kernel's way.
    pub const PASS: u32 = 0;
    /// It goes nowhere.
    pub const DROP: u32 = 1;

    /// It is counted in its flow, and goes to the ENI that the flow leads to, if any.
    #[inline(always)]
    pub fn counted(target: u32) -> Self {
        Self { action: target, bucket: InBucket(FLOW) }
    }

    /// It is for the rules to judge, after all.
    pub const FOR_RULES: Self = Self { action: Self::PASS, bucket: InBucket(FLOW) };

    /// Whether it is [`Outcome::FOR_RULES`].
    #[inline(always)]
    pub fn is_for_rules(self) -> bool {
        self.bucket.0 == FLOW
    }

    /// It is dropped, and counted in a bucket.
    #[inline(always)]
    pub fn dropped(bucket: Bucket) -> Self {
        Self { action: Self::DROP, bucket: InBucket(bucket as u8) }
    }

    /// What a bucket's packets meet with.
    #[inline(always)]
    pub fn of_bucket(bucket: u8) -> Self {
        let passes = bucket == Bucket::Arp as u8 || bucket == Bucket::NeighborDiscovery as u8;
        Self { action: if passes { Self::PASS } else { Self::DROP }, bucket: InBucket(bucket) }
    }

    /// Both in one register, which is what a function can return.
    #[inline(always)]
    pub fn pack(self) -> u32 {
        self.action | u32::from(self.bucket.0) << BUCKET_SHIFT
    }

    /// From one register.
    #[inline(always)]
    pub fn unpack(packed: u32) -> Self {
        Self { action: packed & ACTION, bucket: InBucket((packed >> BUCKET_SHIFT) as u8) }
    }
}

/// ENI numbers have 26 bits here: 67 million.
const BUCKET_SHIFT: u32 = 26;
const ACTION: u32 = (1 << BUCKET_SHIFT) - 1;
