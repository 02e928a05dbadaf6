//! Traffic classes as the programs see them: numbers, by socket or by cgroup.

use crate::Plain;

/// What a socket, or each that is made in a cgroup, is tagged with. The numbers of the classes are the domain model's; 0 is `application`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct ClassTag {
    /// The ENI it is for. The tag means nothing on another.
    pub eni: u32,
    /// The class.
    pub class: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

// SAFETY: `#[repr(C)]`, integers only, the padding is named.
unsafe impl Plain for ClassTag {}
