//! Time as the programs keep it: a coarse clock, and the aggregation interval.

use crate::Plain;

/// How far jiffies are shifted to become ticks: a tick is 4 to 40 ms, as the kernel was built (`CONFIG_HZ`), which is
/// more than enough for records in whole seconds. Jiffies, because reading them is one load, where every other clock
/// is a call; a shift, because 32 bits then last for 198 days of uptime and more.
pub const TICK_SHIFT: u32 = 2;

/// A moment in ticks, which wraps. Ticks keep pace with `CLOCK_MONOTONIC` but begin elsewhere: the program `now`
/// answers with the present one, so that user space can relate them.
pub type Tick = u32;

/// The number of an aggregation interval: 24 bits, never 0, so that an entry of zeroes belongs to none. Its lowest
/// bit says which window of a flow it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Interval(u32);

impl Interval {
    /// The first interval after the maps were made.
    pub const FIRST: Self = Self(1);
    /// The last before the numbers begin anew: after 31 years of minutes.
    pub const LAST: Self = Self((1 << 24) - 1);

    /// The interval with this number; only the low 24 bits count.
    #[inline]
    pub const fn new(number: u32) -> Self {
        Self(number & Self::LAST.0)
    }

    /// The number.
    #[inline]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Which of the two windows of a flow it uses, 0 or 1.
    #[inline]
    pub const fn window(self) -> usize {
        (self.0 & 1) as usize
    }

    /// The interval after this one. The last is odd, so the even number that follows it is 2: 0 means none.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 >= Self::LAST.0 { Self(2) } else { Self(self.0 + 1) }
    }

    /// How many intervals have begun since `earlier`.
    #[inline]
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0) & Self::LAST.0
    }
}

/// What user space tells the programs about time, and about policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Clock {
    /// The number of the current interval; 0 before user space has set one.
    pub interval: u32,
    /// When it began. Entries expire by this time, which all programs have in common, and not by their own.
    pub began: Tick,
    /// The policy epoch, never 0: what was decided in another is decided anew.
    pub epoch: u32,
    /// Zero.
    pub reserved: u32,
}

// SAFETY: `#[repr(C)]`, four integers of one size.
unsafe impl Plain for Clock {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_never_share_a_window() {
        for interval in [Interval::FIRST, Interval::new(2), Interval::new(77_776), Interval::LAST] {
            assert_ne!(interval.window(), interval.next().window());
            assert_ne!(interval.next().number(), 0);
        }
    }

    #[test]
    fn age_survives_the_wrap() {
        assert_eq!(Interval::new(9).since(Interval::new(7)), 2);
        assert!(Interval::LAST.next().since(Interval::LAST) < 4);
    }
}
