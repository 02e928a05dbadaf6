//! A TCP stream: as many bytes as get through.

use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::connection::wait_at_most;
use super::{CLIENT_CPU, Connection, PATIENCE, Pair, SERVER_CPU, Window, busy_seconds, joined, placed};

/// What a call writes or reads at most.
const CHUNK: usize = 128 * 1024;
/// How often a receiver that gets nothing asks whether it has everything.
const GLANCE: Duration = Duration::from_millis(20);

/// What a stream reached.
#[derive(Clone, Copy)]
pub(crate) struct StreamResult {
    /// Received, in Gbit/s.
    pub(crate) rate: f64,
    /// Of all CPUs, in seconds a Gbit.
    pub(crate) cpu: f64,
}

/// Sends from the client to the server. The connection is empty afterwards.
pub(crate) fn stream(pair: &Pair, connection: &Connection, window: Window) -> Result<StreamResult> {
    let over = AtomicBool::new(false);
    let sent = AtomicU64::new(u64::MAX);
    let received = AtomicU64::new(0);
    wait_at_most(&connection.server, GLANCE)?;
    let (before, after, time) = thread::scope(|scope| {
        let client = placed(scope, &pair.client.namespace, CLIENT_CPU, || {
            let buffer = vec![0x5a; CHUNK];
            let mut total = 0;
            let mut outcome = Ok(());
            while !over.load(Ordering::Relaxed) && outcome.is_ok() {
                outcome = (&connection.client).write(&buffer).map(|length| total += length as u64);
            }
            sent.store(total, Ordering::Relaxed);
            outcome.context("send a stream")
        });
        let server = placed(scope, &pair.server.namespace, SERVER_CPU, || {
            let mut buffer = vec![0; CHUNK];
            let mut total = 0;
            let mut last = Instant::now();
            while total < sent.load(Ordering::Relaxed) {
                match (&connection.server).read(&mut buffer) {
                    Ok(0) => bail!("the stream ended early"),
                    Ok(length) => {
                        total += length as u64;
                        last = Instant::now();
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        ensure!(last.elapsed() < PATIENCE, "the stream stopped");
                    }
                    Err(error) => return Err(error).context("receive a stream"),
                }
                received.store(total, Ordering::Relaxed);
            }
            Ok(())
        });
        let observed = window.observe(|| (received.load(Ordering::Relaxed), busy_seconds()));
        over.store(true, Ordering::Relaxed);
        joined(client)?;
        joined(server)?;
        anyhow::Ok(observed)
    })?;
    wait_at_most(&connection.server, PATIENCE)?;
    #[allow(clippy::cast_precision_loss, reason = "far fewer bits than 2^53 in a few seconds")]
    let gigabits = ((after.0 - before.0) * 8) as f64 / 1e9;
    Ok(StreamResult { rate: gigabits / time.as_secs_f64(), cpu: (after.1? - before.1?) / gigabits })
}
