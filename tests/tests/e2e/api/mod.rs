//! The gRPC door: what other programs are built on.

mod access;
mod errors;
mod events;
mod python;
mod query;
mod steps;
