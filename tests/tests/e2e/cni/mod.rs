//! The CNI plugin: by hand, as the specification has it, and by real runtimes.

mod away;
mod chain;
mod conflicts;
mod containerd;
pub(crate) mod containerd_process;
mod cri;
mod cri_client;
mod plugin;
mod podman;
mod refused;
pub(crate) mod runtime;
mod verbs;
