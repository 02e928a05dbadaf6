//! The types and constants that the eBPF programs and the daemon share.
