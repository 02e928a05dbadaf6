//! The gRPC protocol `enid.v1` and its client.
//!
//! The daemon implements the services of [`v1`]; everybody else begins with [`Client::connect`]. Connections through a
//! task's ENI are not made by gRPC but by a socket of their own: [`dial`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use enid_api::Client;
//! use enid_api::v1::CreateTaskRequest;
//!
//! let client = Client::connect("/run/enid/enid.sock").await?;
//! let request = CreateTaskRequest {
//!     name: "web".to_owned(),
//!     subnet: "default-a".to_owned(),
//!     ..CreateTaskRequest::default()
//! };
//! let task = client.tasks().create(request).await?.into_inner();
//! println!("{} has {:?}", task.netns, task.eni.map(|eni| eni.ipv4));
//! # Ok(())
//! # }
//! ```

mod client;
pub mod dial;
mod refusal;

pub use client::{Client, ConnectError};
pub use refusal::Refusal;

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

/// The API that this crate speaks.
pub const API: &str = "enid.v1";

/// Grows with whatever is added to the API. A daemon of a greater revision serves clients of a smaller one.
pub const API_REVISION: u32 = 1;

/// The protocol's descriptors (`google.protobuf.FileDescriptorSet`), which reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/enid.v1.binpb"));
