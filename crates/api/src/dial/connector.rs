//! For HTTP clients.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection as HyperConnection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::codegen::http::Uri;
use tower::Service;

use super::dialer::Dialer;
use super::error::DialError;

/// A connector of hyper-util's client, and of what is built on it: for each URI a connection through a task's ENI. What
/// speaks TLS is layered on top, as with any connector (hyper-rustls: `HttpsConnectorBuilder::wrap_connector`).
///
/// ```no_run
/// use enid_api::dial::{Connector, Dialer};
/// use enid_model::TrafficClass;
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let dialer = Dialer::new("/run/enid/dial.sock", "web").class(TrafficClass::ImagePull);
/// let client: Client<_, String> = Client::builder(TokioExecutor::new()).build(Connector::new(dialer));
/// let response = client.get("http://registry.internal:5000/v2/".parse()?).await?;
/// println!("{}", response.status());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Connector {
    dialer: Dialer,
}

impl Connector {
    /// Connects as `dialer` does.
    pub fn new(dialer: Dialer) -> Self {
        Self { dialer }
    }
}

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialer = self.dialer.clone();
        Box::pin(async move {
            let (host, port) = host_and_port(&uri).ok_or_else(|| DialError::Uri(uri.to_string()))?;
            let stream = dialer.connect(host, port).await?;
            // As HTTP clients have it: a request's parts must not wait for each other.
            stream.set_nodelay(true).map_err(DialError::Socket)?;
            Ok(Connection { stream: TokioIo::new(stream) })
        })
    }
}

/// Whom a URI names: an IPv6 address without its brackets, and a scheme's own port where none is given.
fn host_and_port(uri: &Uri) -> Option<(&str, u16)> {
    let host = uri.host().filter(|host| !host.is_empty())?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = match (uri.port_u16(), uri.scheme_str()) {
        (Some(port), _) => port,
        (None, Some("http" | "ws")) => 80,
        (None, Some("https" | "wss")) => 443,
        (None, _) => return None,
    };
    Some((host, port))
}

/// A connection through a task's ENI, as hyper takes it.
#[derive(Debug)]
pub struct Connection {
    stream: TokioIo<TcpStream>,
}

impl HyperConnection for Connection {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_name_hosts_and_ports() {
        let named = |text: &str| {
            let uri: Uri = text.parse().unwrap();
            host_and_port(&uri).map(|(host, port)| (host.to_owned(), port))
        };
        let is = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(named("http://registry/v2/"), is("registry", 80));
        assert_eq!(named("https://registry/v2/"), is("registry", 443));
        assert_eq!(named("https://user@[fd00::1]:5000/v2/"), is("fd00::1", 5000));
        assert_eq!(named("registry:5000"), is("registry", 5000));
        assert_eq!(named("/v2/"), None);
        assert_eq!(named("ftp://registry/"), None);
    }
}
