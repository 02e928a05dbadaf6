//! `scripts/bench dial`: connections through a task's ENI that others make, beside those that the task makes.

mod connects;
mod server;

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use enid_api::v1::OpenProxyRequest;

use self::connects::{Connects, Way};
use self::server::Server;
use crate::enid::Session;
use crate::figures::{figure, median, print_head, print_row, ratio};
use crate::forward::tasks;
use crate::host::run as run_program;
use crate::subject::Kind;
use crate::traffic::{Connection, Window, inside, stream, take_the_lead};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder to work in: with enid.toml and, for the daemon, run/ on a tmpfs.
    #[arg(long)]
    work: PathBuf,
    /// The daemon's program.
    #[arg(long)]
    enid: PathBuf,
    /// How many rounds, in each of which every way has its turn.
    #[arg(long, default_value_t = 30)]
    rounds: usize,
    /// How many connections a way makes in a turn.
    #[arg(long, default_value_t = 100)]
    connections: usize,
    /// How many turns each way has to send a stream.
    #[arg(long, default_value_t = 5)]
    streams: usize,
}

/// How long a stream is measured.
const WINDOW: Window = Window { warm_up: Duration::from_millis(300), length: Duration::from_secs(1) };

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let daemon = tasks::start(&arguments.enid, &arguments.work, "enid", "none", tasks::PLAIN)?;
    // The proxy is on the host's loopback.
    inside(daemon.host(), || run_program("ip link set lo up"))?;
    let pair = tasks::tasks(&daemon, "enid", Kind { ipv6: false, mtu: 9001 })?.pair;
    let session = daemon.session()?;
    let proxy = open_proxy(&session)?;
    let server = Server::start(&pair.server)?;
    let socket = daemon.socket().with_file_name("dial.sock");
    take_the_lead()?;
    let connects = Connects { pair: &pair, daemon: daemon.host(), socket, proxy, to: server.address() };
    latency(&connects, arguments)?;
    throughput(&connects, &server, arguments)
}

fn open_proxy(session: &Session) -> Result<String> {
    session.open_proxy(OpenProxyRequest { task: "client-9001".to_owned(), traffic_class: "logs".to_owned() })
}

fn latency(connects: &Connects<'_>, arguments: &Arguments) -> Result<()> {
    let mut medians = vec![Vec::new(); Way::ALL.len()];
    for _ in 0..arguments.rounds {
        for (way, medians) in Way::ALL.into_iter().zip(&mut medians) {
            let times = connects.measure(way, arguments.connections)?;
            medians.push(median(times.iter().map(|time| time.as_secs_f64() * 1e6)));
        }
    }
    println!(
        "\nA connection, µs: medians of {} rounds of each round's median of {}\n",
        arguments.rounds, arguments.connections
    );
    print_head(&[String::new(), "p50".to_owned(), "to plain".to_owned()]);
    let plain = medians.first().context("no way")?.clone();
    for (way, medians) in Way::ALL.into_iter().zip(&medians) {
        // Of each round, since what else the machine does changes from one to the next.
        let ratios = medians.iter().zip(&plain).map(|(way, plain)| way / plain);
        let p50 = figure(median(medians.iter().copied()));
        print_row(&[way.name().to_owned(), p50, ratio(median(ratios))]);
    }
    Ok(())
}

fn throughput(connects: &Connects<'_>, server: &Server, arguments: &Arguments) -> Result<()> {
    let ways = [Way::Plain, Way::Dialed, Way::Ahead, Way::Proxy];
    let mut rates = vec![Vec::new(); ways.len()];
    for _ in 0..arguments.streams {
        for (way, rates) in ways.into_iter().zip(&mut rates) {
            let client = connects.connect(way)?;
            let server = server.accepted()?;
            let connection = Connection { client, server };
            rates.push(stream(connects.pair, &connection, WINDOW)?.rate);
        }
    }
    println!("\nA stream, Gbit/s: medians of {} rounds of 1 s\n", arguments.streams);
    print_head(&[String::new(), "Gbit/s".to_owned(), "to plain".to_owned()]);
    let plain = rates.first().context("no way")?.clone();
    for (way, rates) in ways.into_iter().zip(&rates) {
        let ratios = rates.iter().zip(&plain).map(|(way, plain)| way / plain);
        let rate = figure(median(rates.iter().copied()));
        print_row(&[way.name().to_owned(), rate, ratio(median(ratios))]);
    }
    Ok(())
}

/// A stream that blocks.
fn blocking(stream: tokio::net::TcpStream) -> Result<TcpStream> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// An address as a proxy is asked for it.
fn authority(address: SocketAddr) -> String {
    address.to_string()
}
