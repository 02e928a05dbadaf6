//! What the machine's CPUs did.

use std::fs;

use anyhow::{Context as _, Result};

/// The unit of /proc/stat, sysconf(_SC_CLK_TCK): 100 on every architecture that this is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// How long all CPUs together have been busy since the machine was started, in seconds. What a soft interrupt does for a
/// packet is in no process's time, but it is in this, as is whatever else runs on the machine.
pub(crate) fn busy_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("/proc/stat")?;
    // user nice system idle iowait irq softirq steal …: proc_stat(5).
    let mut busy = 0.0;
    for (position, ticks) in line.split_whitespace().take(7).enumerate() {
        if position != 3 && position != 4 {
            busy += ticks.parse::<f64>()?;
        }
    }
    Ok(busy / TICKS_PER_SECOND)
}
