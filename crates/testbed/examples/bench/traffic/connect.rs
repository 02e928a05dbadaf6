//! TCP connections of one request and one answer.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::connection::{listen, wait_at_most};
use super::{CLIENT_CPU, PATIENCE, PORT, Pair, SERVER_CPU, Window, inside, joined, placed};

/// The request of the last connection.
const LAST: u8 = 1;

/// Connects, sends a byte, gets a byte, closes: one connection after the other. Returns how many a second.
///
/// The server closes first, so that the state that outlives a connection (TIME-WAIT) is its, and the client does not run
/// out of ports.
pub(crate) fn connects(pair: &Pair, window: Window) -> Result<f64> {
    let address = SocketAddr::new(pair.server.address, PORT);
    let listener = inside(&pair.server.namespace, || listen(address))?;
    thread::scope(|scope| {
        let client = placed(scope, &pair.client.namespace, CLIENT_CPU, || {
            let begin = Instant::now();
            let (first, last) = (begin + window.warm_up, begin + window.warm_up + window.length);
            let mut count = 0_u32;
            let mut now = begin;
            while now < last {
                exchange(address, 0)?;
                now = Instant::now();
                if now >= first {
                    count += 1;
                }
            }
            exchange(address, LAST)?;
            Ok(f64::from(count) / window.length.as_secs_f64())
        });
        let server = placed(scope, &pair.server.namespace, SERVER_CPU, || {
            let mut message = [0];
            while message != [LAST] {
                let (mut end, _) = listener.accept().context("nobody connects")?;
                wait_at_most(&end, PATIENCE)?;
                end.read_exact(&mut message).context("no request")?;
                end.write_all(&message).context("answer")?;
            }
            Ok(())
        });
        let rate = joined(client);
        joined(server)?;
        rate
    })
}

fn exchange(address: SocketAddr, request: u8) -> Result<()> {
    let mut end = TcpStream::connect(address).context("connect")?;
    wait_at_most(&end, PATIENCE)?;
    end.write_all(&[request]).context("ask")?;
    let mut answer = [0; 2];
    // The byte, then the end.
    let mut length = 0;
    loop {
        match end.read(&mut answer).context("no answer")? {
            0 => break,
            more => length += more,
        }
    }
    anyhow::ensure!(length == 1, "an answer of {length} bytes");
    Ok(())
}
