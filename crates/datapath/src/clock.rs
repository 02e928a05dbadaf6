//! Aggregation intervals, and ticks as Unix time.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use enid_abi::{Clock, Interval, TICK_SHIFT, Tick};

use crate::error::DatapathError;
use crate::{Datapath, sys};

const SECOND: i128 = 1_000_000_000;

impl Datapath {
    /// Begins a new aggregation interval and returns the one that it closes.
    ///
    /// When this returns, no program is left in the closed interval: its windows are at rest, and
    /// [`Datapath::read_flows`] finds in them exactly what was counted in it.
    pub fn advance_interval(&self) -> Result<Interval, DatapathError> {
        let _one_at_a_time = self.clock_hand.lock().unwrap_or_else(PoisonError::into_inner);
        // Not from memory: a call that failed half-way may have begun the interval.
        let closed = self.clock.get(&0)?.unwrap_or_default();
        let closed = Interval::new(closed.interval);
        self.begin(closed.next())?;
        Ok(closed)
    }

    /// The interval that programs are in.
    pub fn interval(&self) -> Interval {
        Interval::new(self.settled.load(Ordering::Acquire))
    }

    /// When the current interval began, in Unix seconds.
    pub fn interval_began(&self) -> Result<u64, DatapathError> {
        Ok(self.ticks.wall_clock()?.unix_seconds(self.began.load(Ordering::Acquire)))
    }

    /// Waits until no program runs any more that began before the call. Some milliseconds.
    pub fn wait_for_programs(&self) -> Result<(), DatapathError> {
        self.grace.wait()
    }

    /// Begins a new policy epoch: what flows were allowed in an earlier one is decided anew by their next packet.
    pub fn advance_epoch(&self) -> Result<(), DatapathError> {
        let _one_at_a_time = self.clock_hand.lock().unwrap_or_else(PoisonError::into_inner);
        let mut clock = self.clock.get(&0)?.unwrap_or_default();
        clock.epoch = next_epoch(clock.epoch);
        self.clock.set(&0, &clock)
    }

    /// Makes an interval the current one and waits until every program is in it. The caller has the clock's hand.
    pub(crate) fn begin(&self, interval: Interval) -> Result<(), DatapathError> {
        let mut clock = self.clock.get(&0)?.unwrap_or_default();
        if clock.epoch == 0 {
            clock.epoch = next_epoch(0);
        }
        clock.interval = interval.number();
        clock.began = self.ticks.now()?;
        self.settle(&clock)
    }

    /// Goes on in the interval of an earlier daemon, which may have ended before every program had reached it; or begins the
    /// first.
    pub(crate) fn resume(&self) -> Result<(), DatapathError> {
        let _one_at_a_time = self.clock_hand.lock().unwrap_or_else(PoisonError::into_inner);
        match self.clock.get(&0)?.filter(|clock| clock.interval != 0 && clock.epoch != 0) {
            Some(found) => self.settle(&found),
            None => self.begin(Interval::FIRST),
        }
    }

    /// Sets the clock and waits until every program goes by it.
    fn settle(&self, clock: &Clock) -> Result<(), DatapathError> {
        self.clock.set(&0, clock)?;
        self.began.store(clock.began, Ordering::Release);
        self.grace.wait()?;
        self.settled.store(clock.interval, Ordering::Release);
        Ok(())
    }
}

/// Never 0, which no entry is allowed in.
const fn next_epoch(epoch: u32) -> u32 {
    if epoch == u32::MAX { 1 } else { epoch + 1 }
}

/// Relates ticks to Unix time.
///
/// Ticks keep pace with `CLOCK_MONOTONIC`, so their beginning is looked for once and kept: a tick then is the same
/// second whenever it is read. Only if the two have parted, as they may where a virtual machine stood still, is it
/// looked for again.
#[derive(Debug)]
pub(crate) struct Ticks {
    program: OwnedFd,
    /// Nanoseconds of a tick.
    length: i128,
    /// The monotonic time of the tick before the first, in nanoseconds.
    origin: Mutex<i128>,
}

/// Ticks as Unix time, at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WallClock {
    /// Ticks since the origin.
    now: i128,
    length: i128,
    /// The Unix time of the origin, in nanoseconds.
    origin: i128,
}

impl Ticks {
    /// `program` is the one that answers with the present tick.
    pub(crate) fn new(program: OwnedFd) -> Result<Self, DatapathError> {
        // The resolution of the coarse clocks is the length of a jiffy (Linux 2.6.32).
        let jiffy = call(libc::clock_getres, libc::CLOCK_MONOTONIC_COARSE);
        let ticks = Self { program, length: jiffy << TICK_SHIFT, origin: Mutex::new(0) };
        let origin = ticks.look()?;
        *ticks.origin.lock().unwrap_or_else(PoisonError::into_inner) = origin;
        Ok(ticks)
    }

    /// The present tick.
    pub(crate) fn now(&self) -> Result<Tick, DatapathError> {
        sys::test_run(self.program.as_fd()).map_err(|source| DatapathError::Clock { source })
    }

    /// How many ticks a length of time has, rounded up.
    pub(crate) fn ticks_of(&self, time: Duration) -> Tick {
        let ticks = i128::try_from(time.as_nanos()).unwrap_or(i128::MAX).div_euclid(self.length) + 1;
        // More could not be told from the past.
        Tick::try_from(ticks).unwrap_or(Tick::MAX).min(Tick::MAX / 4)
    }

    /// Ticks as Unix time now.
    pub(crate) fn wall_clock(&self) -> Result<WallClock, DatapathError> {
        let mut origin = self.origin.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = self.look()?;
        // Apart by a whole number of wraps is the same.
        let wrap = self.length << Tick::BITS;
        let apart = (seen - *origin + wrap / 2).rem_euclid(wrap) - wrap / 2;
        if apart.abs() > 2 * self.length {
            *origin += apart;
        }
        let monotonic = call(libc::clock_gettime, libc::CLOCK_MONOTONIC);
        Ok(WallClock {
            now: (monotonic - *origin) / self.length,
            length: self.length,
            origin: *origin + call(libc::clock_gettime, libc::CLOCK_REALTIME) - monotonic,
        })
    }

    /// Where ticks seem to begin, judged by the present one.
    fn look(&self) -> Result<i128, DatapathError> {
        let tick = self.now()?;
        let monotonic = call(libc::clock_gettime, libc::CLOCK_MONOTONIC);
        Ok(monotonic - i128::from(tick) * self.length)
    }
}

impl WallClock {
    /// The Unix time of a tick, in seconds. The tick is of the last half-year.
    pub(crate) fn unix_seconds(self, tick: Tick) -> u64 {
        let wrap = 1_i128 << Tick::BITS;
        // Packets that came after `now` was read are younger than it.
        let young = wrap / 16;
        let age = (self.now - i128::from(tick) + young).rem_euclid(wrap) - young;
        u64::try_from((self.origin + (self.now - age) * self.length) / SECOND).unwrap_or(0)
    }
}

#[cfg(test)]
impl WallClock {
    /// A second a tick, since 1970.
    pub(crate) const fn of_seconds() -> Self {
        Self { now: 1 << 31, length: SECOND, origin: 0 }
    }
}

type ClockCall = unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> libc::c_int;

fn call(function: ClockCall, clock: libc::clockid_t) -> i128 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes a time, for which there is room. These clocks can't fail.
    unsafe { function(clock, &raw mut time) };
    i128::from(time.tv_sec) * SECOND + i128::from(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_seconds_across_the_wrap() {
        let length = 16_000_000;
        let clock = WallClock { now: (1 << 32) + 100, length, origin: 1_700_000_000 * SECOND };
        let expected = |ticks: i128| u64::try_from(1_700_000_000 + ticks * length / SECOND).unwrap();
        assert_eq!(clock.unix_seconds(100), expected((1 << 32) + 100));
        assert_eq!(clock.unix_seconds(40), expected((1 << 32) + 40));
        assert_eq!(clock.unix_seconds(Tick::MAX), expected((1 << 32) - 1));
        assert_eq!(clock.unix_seconds(160), expected((1 << 32) + 160));
    }
}
