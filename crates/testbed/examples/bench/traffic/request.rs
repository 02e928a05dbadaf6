//! Requests and answers over one TCP connection, one at a time.

use std::io::{Read as _, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{CLIENT_CPU, Connection, Pair, SERVER_CPU, Window, joined, placed};

/// The first byte of the last request.
const LAST: u8 = 1;

/// What requests took.
#[derive(Clone, Copy)]
pub(crate) struct RequestResult {
    /// Requests answered a second.
    pub(crate) rate: f64,
    /// From writing a request until its answer was read.
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
}

/// Sends requests of `size` bytes and gets answers as long, each after the one before.
pub(crate) fn requests(
    pair: &Pair,
    connection: &Connection,
    size: usize,
    window: Window,
) -> Result<RequestResult> {
    let mut times = thread::scope(|scope| {
        let client = placed(scope, &pair.client.namespace, CLIENT_CPU, || {
            let mut end = &connection.client;
            let mut message = vec![0; size];
            let mut times = Vec::with_capacity(1 << 20);
            let begin = Instant::now();
            let (first, last) = (begin + window.warm_up, begin + window.warm_up + window.length);
            let mut now = begin;
            while now < last {
                let asked = now;
                end.write_all(&message).context("ask")?;
                end.read_exact(&mut message).context("no answer")?;
                now = Instant::now();
                if asked >= first {
                    times.push(now - asked);
                }
            }
            message[0] = LAST;
            end.write_all(&message)?;
            end.read_exact(&mut message)?;
            Ok(times)
        });
        let server = placed(scope, &pair.server.namespace, SERVER_CPU, || {
            let mut end = &connection.server;
            let mut message = vec![0; size];
            while message[0] != LAST {
                end.read_exact(&mut message).context("no request")?;
                end.write_all(&message).context("answer")?;
            }
            Ok(())
        });
        let times = joined(client);
        joined(server)?;
        times
    })?;
    times.sort_unstable();
    let quantile = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    #[allow(clippy::cast_precision_loss, reason = "some hundred thousand")]
    let rate = times.len() as f64 / window.length.as_secs_f64();
    Ok(RequestResult { rate, median: quantile(50), p99: quantile(99) })
}
