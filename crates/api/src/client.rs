//! The client: one connection to a daemon's socket.

use std::io;
use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use crate::v1::event_service_client::EventServiceClient;
use crate::v1::flow_log_service_client::FlowLogServiceClient;
use crate::v1::flow_service_client::FlowServiceClient;
use crate::v1::host_service_client::HostServiceClient;
use crate::v1::network_service_client::NetworkServiceClient;
use crate::v1::task_service_client::TaskServiceClient;

/// Why a daemon could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens on the socket.
    #[error("no daemon listens on {path}: {source}; is `enid serve` running, with this run directory?")]
    NobodyListens {
        /// The socket's path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The caller may not open the socket.
    #[error(
        "{path} may not be opened by this user: {source}; run as root or as a member of the socket's group"
    )]
    Refused {
        /// The socket's path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The socket answers, but not with gRPC.
    #[error("{path} does not speak gRPC: {source}")]
    Protocol {
        /// The socket's path.
        path: PathBuf,
        /// What the handshake said.
        source: tonic::transport::Error,
    },
}

/// One connection to a daemon; cheap to clone, shared by the services.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
}

impl Client {
    /// Connects to the daemon that listens on the Unix socket at `path`.
    ///
    /// # Errors
    /// Nobody listens there, the caller may not open it, or what answers is not gRPC.
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self, ConnectError> {
        let path = path.as_ref();
        let stream = UnixStream::connect(path).await.map_err(|source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::PermissionDenied => ConnectError::Refused { path, source },
                _ => ConnectError::NobodyListens { path, source },
            }
        })?;
        // The connection made above serves first, so that its error is the caller's; later ones reconnect.
        let mut first = Some(stream);
        let socket = path.to_owned();
        let connector = tower::service_fn(move |_| {
            let ready = first.take();
            let socket = socket.clone();
            async move {
                let stream = match ready {
                    Some(stream) => stream,
                    None => UnixStream::connect(socket).await?,
                };
                Ok::<_, io::Error>(TokioIo::new(stream))
            }
        });
        // The address is not used: the connector knows the socket.
        let channel = Endpoint::from_static("http://enid.sock")
            .connect_with_connector(connector)
            .await
            .map_err(|source| ConnectError::Protocol { path: path.to_owned(), source })?;
        Ok(Self { channel })
    }

    /// VPCs, subnets and security groups.
    pub fn networks(&self) -> NetworkServiceClient<Channel> {
        NetworkServiceClient::new(self.channel.clone())
    }

    /// Tasks and their ENIs.
    pub fn tasks(&self) -> TaskServiceClient<Channel> {
        TaskServiceClient::new(self.channel.clone())
    }

    /// Flow logs.
    pub fn flow_logs(&self) -> FlowLogServiceClient<Channel> {
        FlowLogServiceClient::new(self.channel.clone())
    }

    /// Flow records, counters and the ledgers.
    pub fn flows(&self) -> FlowServiceClient<Channel> {
        FlowServiceClient::new(self.channel.clone())
    }

    /// What happens on the host.
    pub fn events(&self) -> EventServiceClient<Channel> {
        EventServiceClient::new(self.channel.clone())
    }

    /// The host.
    pub fn host(&self) -> HostServiceClient<Channel> {
        HostServiceClient::new(self.channel.clone())
    }
}
