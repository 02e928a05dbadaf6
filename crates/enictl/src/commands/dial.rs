//! `enictl dial`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use enid_api::dial::wire::Protocol;
use enid_api::dial::{Dialed, Dialer};
use enid_model::TrafficClass;
use tokio::runtime::Builder;

use super::run::class_parser;
use crate::failure::Failure;
use crate::session::Session;

/// Connect through a task's ENI, and be the connection: its other end on the standard streams
///
/// What comes in is sent, and what arrives goes out, until the other end closes. The end of the standard input is passed
/// on, and the answer still awaited.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  enictl dial web --class exec db.internal:5432\n  ssh -o ProxyCommand='enictl dial web --class exec %h:%p' admin@bastion"
)]
pub(crate) struct Dial {
    /// The task's name
    task: String,
    /// On whose behalf the connection is
    #[arg(long, value_parser = class_parser())]
    class: TrafficClass,
    /// How many seconds connecting may take, names included
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    timeout: u64,
    /// Whom to connect to: a name or an address, IPv6 in brackets
    #[arg(value_name = "HOST:PORT", value_parser = host_and_port)]
    to: (String, u16),
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let wrong = || "expected HOST:PORT, an IPv6 address in brackets".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| format!("`{port}` is not a port"))?;
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.strip_suffix(']').ok_or_else(wrong)?,
        None if host.contains(':') => return Err(wrong()),
        None => host,
    };
    Ok((host.to_owned(), port))
}

impl Dial {
    pub(crate) fn execute(&self, session: &Session) -> Result<ExitCode, Failure> {
        let (host, port) = &self.to;
        let dialer = Dialer::new(session.socket.with_file_name("dial.sock"), self.task.as_str())
            .class(self.class)
            .timeout(Duration::from_secs(self.timeout));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
        let Dialed { socket, .. } = runtime.block_on(dialer.dial(host, *port, Protocol::Tcp))?;
        converse(TcpStream::from(socket))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Passes bytes both ways until the other end closes.
fn converse(mut connection: TcpStream) -> io::Result<()> {
    let mut sending = connection.try_clone()?;
    // It ends with the process: a terminal may have nothing to say any more.
    thread::spawn(move || {
        if pass_on(&mut io::stdin().lock(), &mut sending).is_ok() {
            // The other end may have closed meanwhile.
            let _ = sending.shutdown(Shutdown::Write);
        }
    });
    // As it comes, not line by line: the other end may wait for an answer to half a line.
    let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    pass_on(&mut connection, &mut out)
}

/// Passes bytes on until there are no more. `io::copy` would have the kernel move them (splice(2)), which keeps a pipe locked while it
/// waits for a socket: whoever reads the pipe then waits for what comes next before it gets what is there.
fn pass_on(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return to.flush(),
            Ok(length) => to.write_all(buffer.get(..length).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_read() {
        let is = |host: &str, port| Ok((host.to_owned(), port));
        assert_eq!(host_and_port("db.internal:5432"), is("db.internal", 5432));
        assert_eq!(host_and_port("[fd00::1]:80"), is("fd00::1", 80));
        for wrong in ["db", "db:", "db:x", "db:70000", "fd00::1:80", "[fd00::1:80", "[fd00::1]"] {
            assert!(host_and_port(wrong).is_err(), "{wrong}");
        }
    }
}
