//! Asking for connections.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use enid_model::TrafficClass;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use super::channel::{Channel, Message};
use super::error::DialError;
use super::stock::{BATCH, Kind, Stock};
use super::wire::{Answer, Family, Protocol, Request};

/// Asks for connections on behalf of a task, in a traffic class. Cheap to clone; clones share connections to the daemon,
/// which are made as they are needed, and again where the daemon was restarted meanwhile.
///
/// A dial that is given up (its future dropped) ends at the daemon too.
#[derive(Debug, Clone)]
pub struct Dialer {
    daemon: Arc<Daemon>,
    task: Arc<str>,
    class: TrafficClass,
    timeout: Option<Duration>,
    /// Sockets made ahead, where that is wanted.
    stock: Option<Arc<Stock>>,
}

/// The daemon's socket, and connections to it on which nothing is asked.
#[derive(Debug)]
struct Daemon {
    socket: PathBuf,
    idle: Mutex<Vec<Channel>>,
}

/// A connected socket, and what the daemon says of it.
#[derive(Debug)]
pub struct Dialed {
    /// The socket. It blocks.
    pub socket: OwnedFd,
    /// Its own address.
    pub local: SocketAddr,
    /// The address that it is connected to.
    pub remote: SocketAddr,
    /// The id of the ENI that it goes through; [`PLATFORM`](super::wire::PLATFORM) if that is the host's own.
    pub eni: String,
}

/// Connections to the daemon that are kept for dials to come.
const MOST_IDLE: usize = 16;

impl Dialer {
    /// Dials on behalf of `task` by the daemon's dial socket at `socket`, in the class `application`. It does not connect yet.
    pub fn new(socket: impl Into<PathBuf>, task: impl Into<Arc<str>>) -> Self {
        let daemon = Daemon { socket: socket.into(), idle: Mutex::new(Vec::new()) };
        Self {
            daemon: Arc::new(daemon),
            task: task.into(),
            class: TrafficClass::default(),
            timeout: None,
            stock: None,
        }
    }

    /// Dials in another traffic class.
    #[must_use]
    pub fn class(mut self, class: TrafficClass) -> Self {
        self.class = class;
        self
    }

    /// Dials on behalf of another task.
    #[must_use]
    pub fn task(mut self, task: impl Into<Arc<str>>) -> Self {
        self.task = task.into();
        self
    }

    /// Lets the daemon try for so long, names included, in place of 10 s; at most 2 minutes.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Has the daemon make sockets ahead, which this process connects itself: for many connections to addresses, each of
    /// which then costs what it would cost the task itself, without a way to the daemon. Names still take that way.
    ///
    /// The sockets hold the task's namespace. They are closed when the task is deleted, and 10 s after they were made.
    #[must_use]
    pub fn ahead(mut self) -> Self {
        self.stock = Some(Arc::default());
        self
    }

    /// Connects by TCP to a name or an address.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        if let (Some(stock), Ok(address)) = (&self.stock, host.parse()) {
            let address = SocketAddr::new(address, port);
            if let Some(socket) = self.take(stock, address) {
                return self.connect_oneself(socket, address).await;
            }
        }
        self.connect_by_daemon(host, port).await
    }

    async fn connect_by_daemon(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        let socket = self.dial(host, port, Protocol::Tcp).await?.socket;
        let stream = std::net::TcpStream::from(socket);
        stream.set_nonblocking(true).map_err(DialError::Socket)?;
        TcpStream::from_std(stream).map_err(DialError::Socket)
    }

    /// Connects a socket that was made ahead. Where that fails or takes long, the daemon tries too, and says why.
    async fn connect_oneself(&self, socket: OwnedFd, to: SocketAddr) -> Result<TcpStream, DialError> {
        /// As long as the daemon waits before it asks for reasons.
        const PATIENCE: Duration = Duration::from_millis(300);
        let socket = std::net::TcpStream::from(socket);
        socket.set_nonblocking(true).map_err(DialError::Socket)?;
        let connecting = TcpSocket::from_std_stream(socket).connect(to);
        tokio::pin!(connecting);
        if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, &mut connecting).await {
            return Ok(stream);
        }
        self.connect_by_daemon(&to.ip().to_string(), to.port()).await
    }

    /// A socket that was made ahead. In the background more are asked for before there are none.
    fn take(&self, stock: &Arc<Stock>, to: SocketAddr) -> Option<OwnedFd> {
        let family = if to.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
        let kind = Kind { task: Arc::clone(&self.task), class: self.class, family };
        let (socket, is_low) = stock.take(&kind);
        if is_low {
            let request = Request { sockets: Some(BATCH), family: Some(family), ..self.request() };
            let (daemon, stock) = (Arc::clone(&self.daemon), Arc::clone(stock));
            tokio::spawn(async move {
                let filled = daemon.prepare(&request).await;
                stock.put(kind, filled);
            });
        }
        socket
    }

    /// A UDP socket that sends to a name or an address, and receives from there alone.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn connect_udp(&self, host: &str, port: u16) -> Result<UdpSocket, DialError> {
        let socket = self.dial(host, port, Protocol::Udp).await?.socket;
        let socket = std::net::UdpSocket::from(socket);
        socket.set_nonblocking(true).map_err(DialError::Socket)?;
        UdpSocket::from_std(socket).map_err(DialError::Socket)
    }

    /// A connected socket, for another runtime or none.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn dial(&self, host: &str, port: u16, protocol: Protocol) -> Result<Dialed, DialError> {
        let request = Request {
            host: Some(host.to_owned()),
            port: Some(port),
            protocol,
            timeout_ms: self.timeout.map(|timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX)),
            ..self.request()
        };
        let (answer, mut sockets) = self.daemon.ask(&request).await?;
        let Answer { local: Some(local), remote: Some(remote), eni: Some(eni), .. } = answer else {
            return Err(DialError::Answer("it lacks an address".to_owned()));
        };
        let socket = sockets.pop().ok_or_else(|| DialError::Answer("no socket came with it".to_owned()))?;
        Ok(Dialed { socket, local, remote, eni })
    }

    fn request(&self) -> Request {
        Request {
            task: self.task.as_ref().to_owned(),
            class: Some(self.class.as_str().to_owned()),
            ..Request::default()
        }
    }
}

impl Daemon {
    /// Asks, and waits for the answer. A connection that served others may be one to a daemon that has gone: then
    /// another is made.
    async fn ask(&self, request: &Request) -> Result<(Answer, Vec<OwnedFd>), DialError> {
        let text = serde_json::to_vec(request).map_err(|error| DialError::Answer(error.to_string()))?;
        while let Some(channel) = self.take_idle() {
            if let Ok(message) = exchange(&channel, &text).await {
                return self.finish(channel, request, message);
            }
        }
        let channel = self.connect()?;
        let message = exchange(&channel, &text).await.map_err(DialError::Broken)?;
        self.finish(channel, request, message)
    }

    /// Asks for sockets. Nothing if there are none: whoever dials by the daemon then learns why.
    async fn prepare(&self, request: &Request) -> Option<(Channel, Vec<OwnedFd>)> {
        let text = serde_json::to_vec(request).ok()?;
        // A conversation of their own: its end is theirs.
        let channel = self.connect().ok()?;
        let message = exchange(&channel, &text).await.ok()?;
        (!message.is_cut && !message.descriptors.is_empty()).then_some((channel, message.descriptors))
    }

    fn finish(
        &self,
        channel: Channel,
        request: &Request,
        message: Message,
    ) -> Result<(Answer, Vec<OwnedFd>), DialError> {
        let wrong = |what: &str| DialError::Answer(what.to_owned());
        if message.is_cut {
            return Err(wrong("it is cut off, as where a process may have no more open files"));
        }
        let answer: Answer =
            serde_json::from_slice(&message.bytes).map_err(|error| wrong(&error.to_string()))?;
        if answer.id != request.id {
            return Err(wrong("it is to another request"));
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push(channel);
        }
        match answer.error {
            Some(refusal) => Err(DialError::Daemon(refusal)),
            None => Ok((answer, message.descriptors)),
        }
    }

    fn take_idle(&self) -> Option<Channel> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn connect(&self) -> Result<Channel, DialError> {
        Channel::connect(&self.socket).map_err(|source| {
            let path = self.socket.clone();
            match source.kind() {
                io::ErrorKind::PermissionDenied => DialError::Refused { path, source },
                _ => DialError::NobodyListens { path, source },
            }
        })
    }
}

async fn exchange(channel: &Channel, text: &[u8]) -> io::Result<Message> {
    channel.send(text, &[]).await?;
    let message = channel.receive().await?;
    if message.bytes.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(message) }
}
