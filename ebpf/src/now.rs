//! Time, and the program that tells it to user space.

use aya_ebpf::helpers::bpf_jiffies64;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use enid_abi::{Clock, Interval, TICK_SHIFT, Tick};

use crate::maps::CLOCK;

/// Answers a test run with the present tick. It is attached nowhere.
#[classifier]
pub fn now(_context: TcContext) -> i32 {
    tick() as i32
}

/// The present tick. The verifier makes one load of it.
#[inline(always)]
pub fn tick() -> Tick {
    // SAFETY: no arguments, no side effects.
    (unsafe { bpf_jiffies64() } >> TICK_SHIFT) as Tick
}

/// When a packet came: all that is read of the clock, once.
#[derive(Clone, Copy)]
pub struct Moment {
    /// The aggregation interval.
    pub interval: Interval,
    /// When it began: what entries expire by.
    pub began: Tick,
    /// The policy epoch.
    pub epoch: u32,
    /// The present tick.
    pub now: Tick,
}

impl Moment {
    /// The present one.
    #[inline(always)]
    pub fn read() -> Self {
        let clock = CLOCK.get(0).copied().unwrap_or(Clock { interval: 0, began: 0, epoch: 0, reserved: 0 });
        Self { interval: Interval::new(clock.interval), began: clock.began, epoch: clock.epoch, now: tick() }
    }
}
