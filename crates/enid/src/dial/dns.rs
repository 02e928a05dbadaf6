//! Asking a task's resolvers: by sockets of the task's namespace, so that what is asked goes through its ENI, in the class
//! of who asks.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use enid_api::dial::wire::{Family, Protocol};
use hickory_resolver::Resolver;
use hickory_resolver::config::{
    NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{RuntimeProvider, TokioHandle, TokioTime};
use hickory_resolver::net::{DnsError as ProtocolError, NetError};
use hickory_resolver::proto::rr::{Name, RData};
use tokio::net::{TcpStream, UdpSocket};

use super::sockets::Sockets;

/// How long a resolver may take to answer; then the next is asked, and the first again.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often each is asked again.
const ATTEMPTS: usize = 2;
/// More addresses than this of a family are no help.
const MOST_ADDRESSES: usize = 8;

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub(super) enum DnsError {
    /// The resolver says so.
    #[error("it does not exist, or has no {0} address")]
    None(&'static str),
    /// None answered.
    #[error("no resolver answered in time")]
    Silence,
    /// It can't be a name.
    #[error("it is not a name that can be asked for")]
    NotAName,
    /// Something else.
    #[error("{0}")]
    Failed(String),
}

/// A resolver as a task's resolv.conf describes it.
pub(super) fn resolver(
    servers: &[IpAddr],
    domain: &str,
    sockets: &Sockets,
) -> Result<Resolver<TaskRuntime>, DnsError> {
    let servers = servers.iter().map(|server| NameServerConfig::udp_and_tcp(*server)).collect();
    let search = domain.parse::<Name>().map_err(|error| DnsError::Failed(error.to_string()))?;
    let config = ResolverConfig::from_parts(None, vec![search], servers);
    let runtime = TaskRuntime { sockets: sockets.clone(), handle: TokioHandle::default() };
    let mut options = ResolverOpts::default();
    options.ndots = 1;
    options.timeout = PATIENCE;
    options.attempts = ATTEMPTS;
    // As libc does: each dial asks.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    let builder = Resolver::builder_with_config(config, runtime).with_options(options);
    builder.build().map_err(|error| DnsError::Failed(error.to_string()))
}

/// The addresses of a name in one family.
pub(super) async fn look_up(
    resolver: &Resolver<TaskRuntime>,
    name: &str,
    family: Family,
) -> Result<Vec<IpAddr>, DnsError> {
    let name = Name::from_utf8(name).map_err(|_| DnsError::NotAName)?;
    let (answer, text) = match family {
        Family::Ipv4 => (resolver.ipv4_lookup(name).await, "IPv4"),
        Family::Ipv6 => (resolver.ipv6_lookup(name).await, "IPv6"),
    };
    let answer = answer.map_err(|error| match error {
        NetError::Timeout => DnsError::Silence,
        NetError::Dns(ProtocolError::NoRecordsFound(_)) => DnsError::None(text),
        other => DnsError::Failed(other.to_string()),
    })?;
    let addresses = answer.answers().iter().filter_map(|record| match record.data {
        RData::A(address) if family == Family::Ipv4 => Some(IpAddr::from(address.0)),
        // One that stands for an IPv4 address is that.
        RData::AAAA(address) if family == Family::Ipv6 => Some(IpAddr::from(address.0).to_canonical()),
        _ => None,
    });
    let addresses: Vec<IpAddr> = addresses.take(MOST_ADDRESSES).collect();
    if addresses.is_empty() { Err(DnsError::None(text)) } else { Ok(addresses) }
}

/// Makes sockets where the task is.
#[derive(Clone)]
pub(super) struct TaskRuntime {
    sockets: Sockets,
    /// What it spawns ends with the resolver.
    handle: TokioHandle,
}

type Made<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl RuntimeProvider for TaskRuntime {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = UdpSocket;
    type Tcp = AsyncIoTokioAsStd<TcpStream>;

    fn create_handle(&self) -> Self::Handle {
        self.handle.clone()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        _own: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Made<Self::Tcp> {
        let sockets = self.sockets.clone();
        Box::pin(async move {
            let connected = tokio::time::timeout(timeout.unwrap_or(PATIENCE), sockets.connect(server)).await;
            let stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            Ok(AsyncIoTokioAsStd(stream))
        })
    }

    fn bind_udp(&self, own: SocketAddr, server: SocketAddr) -> Made<Self::Udp> {
        let sockets = self.sockets.clone();
        Box::pin(async move {
            let socket = sockets.make_one(super::family(server.ip()), Protocol::Udp).await?;
            rustix::net::bind(&socket, &own)?;
            UdpSocket::from_std(socket.into())
        })
    }
}
