//! Ways to a connection.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use enid_api::dial::Dialer;
use enid_model::TrafficClass;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Builder;

use super::{authority, blocking};
use crate::traffic::{Pair, inside};

/// A way to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Inside the task's namespace, by the task itself.
    Plain,
    /// By the dial socket.
    Dialed,
    /// With sockets that the daemon made ahead.
    Ahead,
    /// By the proxy.
    Proxy,
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [Self::Plain, Self::Dialed, Self::Ahead, Self::Proxy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain, inside the task",
            Self::Dialed => "dialed",
            Self::Ahead => "dialed, made ahead",
            Self::Proxy => "by the proxy",
        }
    }
}

/// Who connects, and to whom.
pub(crate) struct Connects<'a> {
    pub(crate) pair: &'a Pair,
    /// The namespace of the daemon, which callers are in.
    pub(crate) daemon: &'a OwnedFd,
    pub(crate) socket: PathBuf,
    pub(crate) proxy: String,
    pub(crate) to: SocketAddr,
}

impl Connects<'_> {
    /// Connects one after the other, and says how long each took. All are tokio's, in a runtime of one thread.
    pub(crate) fn measure(&self, way: Way, count: usize) -> Result<Vec<Duration>> {
        self.run(way, async |caller| {
            // What a way needs once is not what a connection takes.
            for _ in 0..5 {
                drop(caller.connect().await?);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            let mut times = Vec::with_capacity(count);
            for _ in 0..count {
                let begin = Instant::now();
                let stream = caller.connect().await?;
                times.push(begin.elapsed());
                drop(stream);
                // What a connection leaves to be done is not the next one's.
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            Ok(times)
        })
    }

    /// One connection.
    pub(crate) fn connect(&self, way: Way) -> Result<TcpStream> {
        self.run(way, async |caller| blocking(caller.connect().await?))
    }

    fn run<T: Send>(&self, way: Way, work: impl AsyncFnOnce(&Caller) -> Result<T> + Send) -> Result<T> {
        let namespace = if way == Way::Plain { &self.pair.client.namespace } else { self.daemon };
        let dialer = Dialer::new(&self.socket, "client-9001").class(TrafficClass::Logs);
        let caller = Caller {
            way,
            dialer: if way == Way::Ahead { dialer.ahead() } else { dialer },
            proxy: self.proxy.clone(),
            to: self.to,
        };
        inside(namespace, || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(work(&caller))
        })
    }
}

/// Somebody who connects.
struct Caller {
    way: Way,
    dialer: Dialer,
    proxy: String,
    to: SocketAddr,
}

impl Caller {
    async fn connect(&self) -> Result<tokio::net::TcpStream> {
        let (host, port) = (self.to.ip().to_string(), self.to.port());
        match self.way {
            Way::Plain => Ok(tokio::net::TcpStream::connect(self.to).await?),
            Way::Dialed | Way::Ahead => Ok(self.dialer.connect(&host, port).await?),
            Way::Proxy => self.connect_by_proxy().await,
        }
    }

    async fn connect_by_proxy(&self) -> Result<tokio::net::TcpStream> {
        let (credentials, address) = self
            .proxy
            .strip_prefix("http://")
            .and_then(|url| url.split_once('@'))
            .context("the proxy's URL")?;
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        let to = authority(self.to);
        let credentials = base64(credentials.as_bytes());
        let request = format!(
            "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nProxy-Authorization: Basic {credentials}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(256);
        while !answer.ends_with(b"\r\n\r\n") {
            ensure!(stream.read_buf(&mut answer).await? > 0, "the proxy closed");
        }
        ensure!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
        Ok(stream)
    }
}

/// RFC 4648, 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = (bits >> (18 - 6 * at)) & 63;
            let character = DIGITS.get(digit as usize).copied().unwrap_or(b'=');
            text.push(if at <= chunk.len() { character.into() } else { '=' });
        }
    }
    text
}
