//! The gRPC services: requests parsed at the edge, work done elsewhere, answers put into messages.

mod admitted;
mod ecs;
mod event;
mod explain;
mod flow;
mod flow_log;
mod host;
mod message;
mod network;
mod query;
pub(crate) mod reflection;
mod setup_times;
mod task;

pub(crate) use event::EventApi;
pub(crate) use flow::FlowApi;
pub(crate) use flow_log::FlowLogApi;
pub(crate) use host::HostApi;
pub(crate) use network::NetworkApi;
pub(crate) use task::TaskApi;

use tonic::{Response, Status};

use crate::EnidError;

/// Runs blocking work off the runtime's workers. It runs to its end even if the caller goes away meanwhile, so that a
/// request that is given up leaves nothing half made.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EnidError> + Send + 'static,
) -> Result<Response<T>, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(Response::new(done.map_err(|_| EnidError::Stopping)??))
}
