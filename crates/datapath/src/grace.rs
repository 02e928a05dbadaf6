//! Waiting until no program is left that began earlier.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use crate::error::DatapathError;
use crate::map::Map;
use crate::sys::{self, Create};

const ARRAY: u32 = 2;
const ARRAY_OF_MAPS: u32 = 12;
const NAME: &str = "the map of maps";

/// An RCU grace period on demand.
///
/// When user space replaces a map in a map of maps, the kernel waits, before the call returns, until no program is
/// left that could still use the old one (`maybe_wait_bpf_programs`, Linux 5.0). tc programs run in an RCU read-side
/// section from beginning to end, so this covers every program that began before the call. `membarrier(2)` with
/// `MEMBARRIER_CMD_GLOBAL` would do the same, but is refused on hosts with `nohz_full` CPUs, which are those that
/// care about packets.
#[derive(Debug)]
pub(crate) struct GracePeriod {
    outer: Map<u32, u32>,
    inner: OwnedFd,
}

impl GracePeriod {
    pub(crate) fn new() -> Result<Self, DatapathError> {
        let failed = |source: io::Error| DatapathError::Map { operation: "creating", map: NAME, source };
        let array = |map_type, inner_map| Create {
            map_type,
            key_size: 4,
            value_size: 4,
            max_entries: 1,
            flags: 0,
            inner_map,
        };
        let inner = sys::create_map(array(ARRAY, 0)).map_err(failed)?;
        let outer = sys::create_map(array(ARRAY_OF_MAPS, sys::number(inner.as_fd()))).map_err(failed)?;
        Ok(Self { outer: Map::new(NAME, outer), inner })
    }

    /// Waits. Some milliseconds.
    pub(crate) fn wait(&self) -> Result<(), DatapathError> {
        self.outer.set(&0, &sys::number(self.inner.as_fd()))
    }
}
