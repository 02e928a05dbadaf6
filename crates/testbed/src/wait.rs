//! Waiting, never for longer than a deadline.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a test waits for what should come at once: long, for machines under load, and never for luck.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `condition` holds, and says whether it did before the deadline.
pub fn wait_until(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        sleep(PAUSE);
    }
}
