//! Dialing: connections through a task's ENI, asked for at the dial socket.

mod ahead;
mod conversations;
mod ends;
mod limits;
mod names;
mod refusals;
mod wire;

use std::time::Duration;

use enid_api::dial::wire::ErrorCode;
use enid_api::dial::{DialError, Dialer};
use enid_testbed::Host;
use tokio::net::TcpStream;

/// A dialer for a task.
pub(crate) fn dialer(host: &Host, task: &str) -> Dialer {
    Dialer::new(host.dial_socket(), task)
}

/// The code that a dial is refused by, and the sentence.
#[track_caller]
pub(crate) fn refused(host: &Host, dialer: &Dialer, to: &str, port: u16) -> (ErrorCode, String) {
    refusal(host.wait(dialer.connect(to, port)))
}

#[track_caller]
pub(crate) fn refusal(dialed: Result<TcpStream, DialError>) -> (ErrorCode, String) {
    match dialed {
        Err(DialError::Daemon(refusal)) => (refusal.code, refusal.message),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Shorter than a test's deadline, longer than what should come at once takes.
pub(crate) const SOON: Duration = Duration::from_secs(3);
