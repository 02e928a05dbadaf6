//! The gRPC protocol `enid.v1` and its client.
//!
//! The daemon implements the services of [`v1`]; everybody else begins with [`Client::connect`]. Connections through a
//! task's ENI are not made by gRPC but by a socket of their own: [`dial`].

mod client;
pub mod dial;

pub use client::{Client, ConnectError};

/// The messages and services of `enid.v1`, generated from `proto/enid/v1/enid.proto`.
#[allow(
    warnings,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("enid.v1");
}
