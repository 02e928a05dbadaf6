//! A proxy's listener, and what it is asked.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use enid_api::dial::wire::{DEFAULT_TIMEOUT_MS, ErrorCode, Protocol, Refusal};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, PROXY_AUTHENTICATE, TRANSFER_ENCODING,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

use super::authorization::{Credentials, Password};
use super::{forward, tunnel};
use crate::dial::{Caller, Dialing, Target, refuse};

/// The most connections of a proxy at a time, of those who have shown the password…
const MOST_CONNECTIONS: usize = 256;
/// …and of those who have not: any user of the host may knock. Of more the eldest goes.
const MOST_STRANGERS: usize = 64;
/// How long a request's head may take, and how long a connection may wait for the next.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;
/// The most header fields of a request.
const HEAD_FIELDS: usize = 100;
/// How long a connection may last.
pub(super) const LONGEST: Duration = Duration::from_hours(24);
/// How long nothing may move on a connection that is in use.
pub(super) const MOST_IDLE: Duration = Duration::from_mins(15);
/// How long to wait where the process has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// What a proxy sends: an answer of its own, or one that it passes on.
pub(super) type Body = BoxBody<Bytes, hyper::Error>;

/// A proxy of a task and a class.
#[derive(Clone)]
pub(super) struct Server {
    dialing: Arc<Dialing>,
    caller: Caller,
    credentials: Arc<Credentials>,
    room: Arc<Semaphore>,
}

/// A connection to the proxy, for as long as something of it is left.
pub(super) type Room = Arc<tokio::sync::OwnedSemaphorePermit>;

/// The room that a connection has; none before it has shown the password.
type Seat = Arc<OnceLock<Room>>;

impl Server {
    pub(super) fn new(dialing: Arc<Dialing>, caller: Caller, password: &Password) -> Self {
        let credentials = Arc::new(Credentials::new(caller.task.as_str(), password));
        Self { dialing, caller, credentials, room: Arc::new(Semaphore::new(MOST_CONNECTIONS)) }
    }

    /// Serves until it is dropped, and all connections with it.
    pub(super) async fn serve(self, listener: TcpListener) {
        let mut strangers: VecDeque<(AbortHandle, Seat)> = VecDeque::new();
        let (tunnels, mut opened) = tokio::sync::mpsc::unbounded_channel();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let seat = Seat::default();
                        let connection = self.clone().connection(stream, Arc::clone(&seat), tunnels.clone());
                        strangers.retain(|(handle, seat)| !handle.is_finished() && seat.get().is_none());
                        if strangers.len() >= MOST_STRANGERS
                            && let Some((eldest, _)) = strangers.pop_front()
                        {
                            eldest.abort();
                        }
                        strangers.push_back((connections.spawn(connection), seat));
                    }
                    Err(error) => {
                        tracing::warn!(task = %self.caller.task, %error, "a proxy can't accept a connection");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                // What a connection turned into is owned here too, so that it ends with the proxy.
                Some(tunnel) = opened.recv() => drop(connections.spawn(tunnel)),
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn connection(self, stream: TcpStream, seat: Seat, tunnels: tunnel::Sender) {
        // A tunnel's bytes must not wait for each other. Where it can't be set they do.
        let _ = stream.set_nodelay(true);
        let service = service_fn(move |request| {
            let (server, seat, tunnels) = (self.clone(), Arc::clone(&seat), tunnels.clone());
            async move { Ok::<_, std::convert::Infallible>(server.answer(request, &seat, &tunnels).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEAD_FIELDS)
            // Who has said all may still want the answer.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        // How a client ends it, or breaks it off, is its own affair.
        let _ = tokio::time::timeout(LONGEST, connection).await;
    }

    async fn answer(
        self,
        request: Request<Incoming>,
        seat: &Seat,
        tunnels: &tunnel::Sender,
    ) -> Response<Body> {
        if !self.credentials.are_in(request.headers()) {
            return unauthorized();
        }
        let Some(room) = self.seat(seat) else {
            let message = format!("this proxy has {MOST_CONNECTIONS} connections, the most at a time");
            return refused(&refuse(ErrorCode::TooMany, message));
        };
        let answered = if request.method() == Method::CONNECT {
            self.connect(request, room, tunnels).await
        } else {
            forward::forward(&self, request).await
        };
        answered.unwrap_or_else(|refusal| refused(&refusal))
    }

    /// The room that a connection has, from its first request on.
    fn seat(&self, seat: &Seat) -> Option<Room> {
        if seat.get().is_none() {
            let permit = Arc::clone(&self.room).try_acquire_owned().ok()?;
            // Requests of one connection come one after the other.
            let _ = seat.set(Arc::new(permit));
        }
        seat.get().cloned()
    }

    /// `CONNECT host:port` (RFC 9110, 9.3.6).
    async fn connect(
        &self,
        request: Request<Incoming>,
        room: Room,
        tunnels: &tunnel::Sender,
    ) -> Result<Response<Body>, Refusal> {
        let has_body =
            [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| request.headers().contains_key(name));
        if has_body {
            // Its bytes would be the tunnel's first (RFC 9110, 9.3.6).
            return Err(refuse(ErrorCode::BadRequest, "a CONNECT has no body"));
        }
        let far = self.dial(request.uri(), None).await?;
        tunnel::open(request, far, room, tunnels);
        Ok(Response::new(empty()))
    }

    /// Connects to the host and port of a URI.
    pub(super) async fn dial(&self, uri: &Uri, default_port: Option<u16>) -> Result<TcpStream, Refusal> {
        let wrong = || refuse(ErrorCode::BadRequest, "the request names no host and port to connect to");
        let host = uri.host().ok_or_else(wrong)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let target = Target::new(host, uri.port_u16().or(default_port).ok_or_else(wrong)?)?;
        let timeout = Duration::from_millis(DEFAULT_TIMEOUT_MS.into());
        let dialed = self.dialing.dial(&self.caller, &target, Protocol::Tcp, timeout).await?;
        let stream = TcpStream::from_std(dialed.socket.into())
            .map_err(|error| refuse(ErrorCode::Internal, format!("the connection can't be used: {error}")))?;
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

pub(super) fn empty() -> Body {
    text(String::new())
}

fn text(text: String) -> Body {
    Full::from(text).map_err(|never| match never {}).boxed()
}

fn unauthorized() -> Response<Body> {
    let mut response =
        Response::new(text("enid: this proxy wants the password that it was opened with\n".to_owned()));
    *response.status_mut() = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
    response.headers_mut().insert(PROXY_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"enid\""));
    // Whoever has it comes again.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// An answer that says why, by its status, the code in a field of its own, and a sentence.
fn refused(refusal: &Refusal) -> Response<Body> {
    let mut response = Response::new(text(format!("enid: {}\n", refusal.message)));
    *response.status_mut() = match refusal.code {
        ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
        ErrorCode::SecurityGroup => StatusCode::FORBIDDEN,
        ErrorCode::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::TooMany => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_GATEWAY,
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("enid-error", HeaderValue::from_static(refusal.code.as_str()));
    response
}
