//! Other accountants beside enid, of the same packets at the same time: CPU time, and what they see of what was sent.

mod tools;

use std::fs;
use std::io::Read as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use self::tools::{FILLER, Tool};
use super::crowd::Crowd;
use super::{Arguments, start};
use crate::enid::{Daemon, Session};
use crate::figures::{figure, print_head, print_row};
use crate::traffic::{Pair, RawSocket, Tuple, datagram, inside, ipv4};

/// What a task sends.
#[derive(Clone, Copy)]
enum Traffic {
    /// The same thousand flows again and again.
    Steady,
    /// Every packet is a new flow.
    New,
    /// One TCP connection, as fast as it goes.
    Stream,
}

/// Packets and layer-3 bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Seen {
    packets: u64,
    bytes: u64,
}

const RATE: u32 = 50_000;
const STEADY_FLOWS: u32 = 1_000;
/// Room for what all traffic makes.
const CAPACITY: u32 = 2_097_152;
/// Bytes of a datagram of [`Crowd`]: both headers and four of payload.
const DATAGRAM: u64 = 32;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (daemon, session, pair) = start(arguments, "peers", CAPACITY, "auto")?;
    let seconds = arguments.seconds.unwrap_or(5.0);
    let _counted = RunTimes::count()?;
    println!("\n{seconds} s of each; CPU time of the processes, and of enid's programs besides\n");
    print_head(
        &["traffic", "accountant", "packets sent", "seen", "error in bytes", "CPU s"].map(str::to_owned),
    );
    for (traffic, name) in [
        (Traffic::Steady, "1,000 flows"),
        (Traffic::Stream, "a TCP stream"),
        (Traffic::New, "a flow a packet"),
    ] {
        for (turn, tool) in [(0, Tool::Softflowd), (1, Tool::Pmacctd)] {
            let folder = arguments.work.join(format!("{}-{name}", tool.name()).replace(' ', "-"));
            fs::create_dir(&folder)?;
            let running = tool.start(&pair.client.namespace, &folder)?;
            session.flush()?;
            let before = enid_seen(arguments, &daemon)?;
            let (cpu, programs) = (daemon.cpu_seconds()?, daemon.program_seconds()?);
            let sent = send(traffic, turn, &pair, seconds)?;
            session.flush()?;
            let cpu = daemon.cpu_seconds()? - cpu;
            let programs = daemon.program_seconds()? - programs;
            let after = enid_seen(arguments, &daemon)?;
            let enid = Seen { packets: after.packets - before.packets, bytes: after.bytes - before.bytes };
            fill(&pair)?;
            let (peer, peer_cpu) = running.stop(&pair.client)?;
            let row = |name: &str, accountant: &str, seen: Seen, cpu: String| {
                #[allow(clippy::cast_precision_loss, reason = "a ratio")]
                let error = (seen.bytes as f64 - sent.bytes as f64) / sent.bytes as f64 * 100.0;
                print_row(&[
                    name.to_owned(),
                    accountant.to_owned(),
                    sent.packets.to_string(),
                    seen.packets.to_string(),
                    format!("{} ({error:.2} %)", i128::from(seen.bytes) - i128::from(sent.bytes)),
                    cpu,
                ]);
            };
            row(name, "enid", enid, format!("{} + {}", figure(cpu), figure(programs)));
            row("", tool.name(), peer, figure(peer_cpu));
        }
    }
    drop::<Session>(session);
    Ok(())
}

/// Sends, and says what. New flows are others in each turn.
fn send(traffic: Traffic, turn: u32, pair: &Pair, seconds: f64) -> Result<Seen> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some hundred thousand")]
    let packets = (f64::from(RATE) * seconds) as u32;
    let datagrams = |crowd: &Crowd<'_>, dropped: u64| -> Result<Seen> {
        let packets = u64::from(packets) - (crowd.dropped()? - dropped);
        Ok(Seen { packets, bytes: packets * DATAGRAM })
    };
    let sent = match traffic {
        Traffic::Steady => {
            let crowd = Crowd::new(pair, STEADY_FLOWS)?;
            let dropped = crowd.dropped()?;
            for _ in 0..packets / STEADY_FLOWS {
                crowd.send(0..STEADY_FLOWS, Some(RATE))?;
            }
            datagrams(&crowd, dropped)?
        }
        Traffic::New => {
            let crowd = Crowd::new(pair, (turn + 1) * packets)?;
            let dropped = crowd.dropped()?;
            crowd.send(turn * packets..(turn + 1) * packets, Some(RATE))?;
            datagrams(&crowd, dropped)?
        }
        Traffic::Stream => stream(pair, Duration::from_secs_f64(seconds))?,
    };
    Ok(sent)
}

/// Sends what nobody counts, and leaves time to read it.
fn fill(pair: &Pair) -> Result<()> {
    let (from, to) = (ipv4(&pair.client)?, ipv4(&pair.server)?);
    sleep(Duration::from_secs(1));
    inside(&pair.client.namespace, || {
        let socket = RawSocket::open()?;
        let packet = datagram(Tuple { source: (from, FILLER), destination: (to, FILLER) }, b"");
        for _ in 0..100 {
            (0..100).try_for_each(|_| socket.send(&packet, to))?;
            sleep(Duration::from_millis(5));
        }
        Ok(())
    })?;
    sleep(Duration::from_secs(1));
    Ok(())
}

/// A connection from the client to the server; what the client's TCP says that it has sent, again or not: segments, and their bytes with
/// headers of 20 and, with time stamps, 32 bytes, 8 more in the SYN.
fn stream(pair: &Pair, length: Duration) -> Result<Seen> {
    const HEADERS: u64 = 52;
    const MORE_IN_SYN: u64 = 8;
    let to = (Ipv4Addr::to_owned(&ipv4(&pair.server)?), 5_001);
    let listener = inside(&pair.server.namespace, || Ok(TcpListener::bind(to)?))?;
    thread::scope(|scope| {
        let reader = scope.spawn(move || -> Result<()> {
            let (mut stream, _) = listener.accept()?;
            let mut buffer = vec![0; 128 * 1024];
            while stream.read(&mut buffer)? > 0 {}
            Ok(())
        });
        let mut stream = inside(&pair.client.namespace, || Ok(TcpStream::connect(to)?))?;
        let (begin, buffer) = (Instant::now(), vec![0; 128 * 1024]);
        while begin.elapsed() < length {
            stream.write_all(&buffer)?;
        }
        stream.shutdown(std::net::Shutdown::Write)?;
        reader.join().unwrap_or_else(|_| Err(anyhow!("a thread ended early")))?;
        // The last one acknowledges the server's FIN.
        sleep(Duration::from_millis(100));
        let info = tcp_info(&stream)?;
        let packets = u64::from(info.tcpi_segs_out);
        Ok(Seen { packets, bytes: info.tcpi_bytes_sent + packets * HEADERS + MORE_IN_SYN })
    })
}

/// What the kernel knows of a connection: tcp(7), TCP_INFO.
fn tcp_info(stream: &TcpStream) -> Result<libc::tcp_info> {
    // SAFETY: it is integers alone, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>())?;
    // SAFETY: the kernel writes at most `length` bytes, for which there is room.
    let outcome = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    ensure!(outcome == 0, "TCP_INFO: {}", std::io::Error::last_os_error());
    Ok(info)
}

/// What the flow records of the client's egress add up to.
fn enid_seen(arguments: &Arguments, daemon: &Daemon) -> Result<Seen> {
    let mut command = Command::new(arguments.enid.with_file_name("enictl"));
    command.arg("--socket").arg(daemon.socket()).args(["-o", "csv", "flows", "--task", "client"]);
    let output = command.args(["--direction", "egress", "--top", "1", "--group", "task"]).output()?;
    ensure!(output.status.success(), "enictl flows: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    // Name, flows, packets, bytes; there is but one task.
    let Some(row) = text.lines().nth(1) else { return Ok(Seen::default()) };
    let numbers: Vec<u64> = row.split(',').skip(1).filter_map(|number| number.parse().ok()).collect();
    let [_, packets, bytes] = numbers[..] else { return Err(anyhow!("enictl flows says `{row}`")) };
    Ok(Seen { packets, bytes })
}

/// While it is there, the kernel counts how long eBPF programs run.
struct RunTimes(String);

impl RunTimes {
    const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

    fn count() -> Result<Self> {
        let before = fs::read_to_string(Self::SWITCH).context("ask whether programs are timed")?;
        fs::write(Self::SWITCH, "1").context("have programs timed")?;
        Ok(Self(before))
    }
}

impl Drop for RunTimes {
    fn drop(&mut self) {
        let _ = fs::write(Self::SWITCH, &self.0);
    }
}
