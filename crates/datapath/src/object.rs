//! The eBPF object that the daemon carries.

use aya::include_bytes_aligned;

/// The committed object, or the one that `ENID_BPF_OBJECT` named when this crate was built.
pub(crate) static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/enid.bpf.o"));
