//! What every measured way of giving tasks an interface has in common.

use std::fs;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use enid_testbed::floor;

/// A way to give tasks network interfaces, with a host namespace of its own.
pub(crate) trait Contender: Sync {
    /// What the tables call it.
    fn name(&self) -> &'static str;

    /// The namespace that it considers the host's.
    fn host(&self) -> &OwnedFd;

    /// Somebody who asks for interfaces, one at a time. Made and used on one thread, in the host's namespace.
    fn caller(&self) -> Result<Box<dyn Caller + '_>>;

    /// The namespace that holds the host ends.
    fn router(&self) -> Result<OwnedFd> {
        Ok(self.host().try_clone()?)
    }

    /// What the names of the host ends begin with.
    fn device_prefix(&self) -> &'static str {
        "veth"
    }
}

/// Creates and deletes tasks, each known by a number.
pub(crate) trait Caller {
    /// Returns when the task could use its interface.
    fn create(&mut self, task: u32) -> Result<()>;
    /// Returns when the caller has its answer; the device may go later.
    fn delete(&mut self, task: u32) -> Result<()>;
}

/// How many host ends the contender has now. The calling thread is in the contender's host afterwards.
pub(crate) fn count_devices(contender: &dyn Contender) -> Result<usize> {
    floor::enter_namespace(contender.router()?)?;
    let table = fs::read_to_string("/proc/thread-self/net/dev")?;
    floor::enter_namespace(contender.host())?;
    let prefix = contender.device_prefix();
    Ok(table.lines().filter(|line| line.trim_start().starts_with(prefix)).count())
}

/// Waits until the contender has no more than `count` host ends; returns how long that took.
pub(crate) fn wait_for_devices(contender: &dyn Contender, count: usize) -> Result<Duration> {
    let start = Instant::now();
    loop {
        let present = count_devices(contender)?;
        if present <= count {
            return Ok(start.elapsed());
        }
        ensure!(
            start.elapsed() < Duration::from_mins(2),
            "{} still has {present} devices, not {count}, after two minutes",
            contender.name()
        );
        thread::sleep(Duration::from_millis(1));
    }
}
