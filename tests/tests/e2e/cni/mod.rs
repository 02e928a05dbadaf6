//! The CNI plugin: by hand, as the specification has it, and by real runtimes.

mod away;
mod chain;
mod conflicts;
mod plugin;
mod refused;
mod verbs;
