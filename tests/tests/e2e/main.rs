//! End-to-end tests: each has a host of its own, made of network namespaces, with a real daemon on it.
//!
//! They need root, and fail without.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a step that fails ends the test, and says where"
)]

mod accounting;
mod adopted;
mod api;
mod audit_range;
mod bad_input;
mod bursts;
mod classes;
mod cni;
mod command_line;
mod connectivity;
mod create;
mod damage;
mod delivery;
mod dial;
mod disk;
mod doctor;
mod exactness;
mod flow_log;
mod flow_log_fields;
mod flow_logs;
mod host_manager;
mod idempotence;
mod jumbo;
mod kernel;
mod killed;
mod ledger;
mod network_file;
mod networks;
mod outside;
mod path_mtu;
mod platform_versions;
mod policy;
mod proxy;
mod purge;
mod refused;
mod refused_records;
mod restart;
mod security_groups;
mod storm;
mod uplink;
