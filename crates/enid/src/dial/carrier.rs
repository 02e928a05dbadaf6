//! Which ENI carries a traffic class.

use enid_model::{PlatformVersion, TrafficClass};

/// The ENI that carries a traffic class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    /// The task's own.
    TaskEni,
    /// The host's own.
    #[allow(dead_code, reason = "of platform versions to come")]
    PlatformEni,
}

/// Which ENI carries a class; none if the version does not have it.
pub(super) fn carrier(version: PlatformVersion, _class: TrafficClass) -> Option<Carrier> {
    match version {
        PlatformVersion::V1_4_0 => Some(Carrier::TaskEni),
    }
}
