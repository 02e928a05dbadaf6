//! `scripts/bench policy`: how soon a changed rule is in force, among many ENIs and flows.

mod probe;

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use enid_api::v1::CreateTaskRequest;

use self::probe::{Probe, Prober};
use crate::enid::{Daemon, Session, task_end};
use crate::figures::median;
use crate::subject::Kind;
use crate::traffic::{Pair, RawSocket, Tuple, datagram, inside, ipv4, take_the_lead};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder to work in: with enid.toml and, for the daemon, run/ on a tmpfs.
    #[arg(long)]
    work: PathBuf,
    /// The daemon's program.
    #[arg(long)]
    enid: PathBuf,
    /// How often a rule is added and taken away.
    #[arg(long, default_value_t = 10)]
    rounds: u16,
    /// How many ENIs there are besides those of the probes, all in the group whose rules change.
    #[arg(long, default_value_t = 1000)]
    enis: u32,
    /// How many flows are in the table, at most 200,000.
    #[arg(long, default_value_t = 100_000)]
    flows: u32,
}

/// Of the rule that comes and goes; another one in each round, so that no flow of an earlier round is met again.
const FIRST_PORT: u16 = 20_000;
/// Ports that stay allowed: where the flows go.
const FLOW_PORTS: [u16; 4] = [5000, 5001, 5002, 5003];
/// How long probes are sent before a change, and after its answer.
const BEFORE: Duration = Duration::from_millis(100);
const AFTER: Duration = Duration::from_millis(400);

/// The network, with one rule more if a port is given. It and what goes out are open to everyone, so that its flows are
/// untracked: they end with the rule. The flows that fill the table are another rule's.
fn network(port: Option<u16>) -> String {
    let rule =
        port.map(|port| format!("  {{ protocol = \"udp\", ports = {port}, cidr = \"0.0.0.0/0\" }},\n"));
    format!(
        r#"
[[vpc]]
name = "bench"
ipv4_cidr = "10.9.0.0/16"

[[vpc.subnet]]
name = "bench-a"
zone = "local-a"
ipv4_cidr = "10.9.0.0/17"

[[vpc.security_group]]
name = "crowd"
ingress = [
  {{ protocol = "tcp", ports = 22, cidr = "192.0.2.0/24" }},
  {{ protocol = "tcp", ports = 443, cidr = "0.0.0.0/0" }},
  {{ protocol = "udp", ports = "5000-5999", security_group = "crowd" }},
  {{ protocol = "icmp", cidr = "10.9.0.0/16" }},
{}]
"#,
        rule.unwrap_or_default()
    )
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let daemon = Daemon::start(&arguments.enid, &arguments.work, "enid", "")?;
    let session = daemon.session()?;
    session.apply(&network(None))?;
    for number in 0..arguments.enis {
        session.create(member(&format!("crowd-{number}")))?;
    }
    let kind = Kind { ipv6: false, mtu: 9001 };
    let client = task_end(&session.create(member("client"))?, kind)?;
    let server = task_end(&session.create(member("server"))?, kind)?;
    let pair = Pair { client, server };
    make_flows(&pair, arguments.flows)?;

    take_the_lead()?;
    let mut added = Changes::default();
    let mut removed = Changes::default();
    let mut prober = Prober::new(&pair)?;
    for round in 0..arguments.rounds {
        let port = FIRST_PORT + round;
        added.add(&change(&session, &mut prober, port, &network(Some(port)))?, true)?;
        removed.add(&change(&session, &mut prober, port, &network(None))?, false)?;
    }
    let records = session.flush()?;
    println!(
        "\n{} ENIs in one group, {} flows; {} rounds; milliseconds from the call's begin; a probe of each kind every {} µs",
        arguments.enis + 2,
        arguments.flows,
        arguments.rounds,
        probe::PERIOD.as_micros()
    );
    println!("({records} flow records at the end say that the flows were there)\n");
    println!("| | a rule is added | a rule is removed |\n|---|---|---|");
    for (name, pick) in Changes::ROWS {
        println!("| {name} | {} | {} |", summary(pick(&added)), summary(pick(&removed)));
    }
    Ok(())
}

fn member(name: &str) -> CreateTaskRequest {
    CreateTaskRequest {
        name: name.to_owned(),
        subnet: "bench-a".to_owned(),
        security_groups: vec!["crowd".to_owned()],
        ..CreateTaskRequest::default()
    }
}

/// Sends one datagram of each flow.
fn make_flows(pair: &Pair, count: u32) -> Result<()> {
    let (from, to) = (ipv4(&pair.client)?, ipv4(&pair.server)?);
    // So that nothing is answered.
    let _receivers = inside(&pair.server.namespace, || {
        let sockets = FLOW_PORTS.map(|port| std::net::UdpSocket::bind((to, port)));
        Ok(sockets.into_iter().collect::<Result<Vec<_>, _>>()?)
    })?;
    let first = 10_000;
    let each = u16::try_from(count.div_ceil(4)).ok().filter(|each| *each < u16::MAX - first);
    let each = each.context("more flows than there are ports")?;
    inside(&pair.client.namespace, || {
        let socket = RawSocket::open()?;
        for source in first..first + each {
            for port in FLOW_PORTS {
                let tuple = Tuple { source: (from, source), destination: (to, port) };
                socket.send(&datagram(tuple, b"flow"), to)?;
            }
        }
        Ok(())
    })
}

/// What was seen of one change.
struct Change {
    begin: Instant,
    call: Duration,
    new: Vec<Probe>,
    same: Vec<Probe>,
}

/// Applies a network file while probes are sent.
fn change(session: &Session, prober: &mut Prober<'_>, port: u16, network: &str) -> Result<Change> {
    let ((begin, call), [new, same]) = prober.during(port, || {
        sleep(BEFORE);
        let begin = Instant::now();
        session.apply(network)?;
        let call = begin.elapsed();
        sleep(AFTER);
        Ok((begin, call))
    })?;
    Ok(Change { begin, call, new, same })
}

/// The times of all rounds; of a change that was never in force, none.
#[derive(Default)]
struct Changes {
    call: Vec<Option<Duration>>,
    new: Vec<Option<Duration>>,
    same: Vec<Option<Duration>>,
}

type Row = (&'static str, fn(&Changes) -> &[Option<Duration>]);

impl Changes {
    const ROWS: [Row; 3] = [
        ("the call, until its answer", |changes| &changes.call),
        ("in force for new flows", |changes| &changes.new),
        ("in force for a flow that went on (untracked)", |changes| &changes.same),
    ];

    fn add(&mut self, change: &Change, allowed: bool) -> Result<()> {
        self.call.push(Some(change.call));
        self.new.push(in_force(&change.new, change.begin, allowed)?);
        self.same.push(in_force(&change.same, change.begin, allowed)?);
        Ok(())
    }
}

/// From the begin of the change until the first probe from which on all fared as the new rules say. None if there is no
/// such.
fn in_force(probes: &[Probe], begin: Instant, allowed: bool) -> Result<Option<Duration>> {
    let early = probes.iter().filter(|probe| probe.sent < begin && probe.arrived == allowed).count();
    let word = if allowed { "arrived before they were" } else { "were lost while they were" };
    ensure!(early == 0, "{early} probes {word} allowed: are security groups enforced?");
    let last = probes.iter().rposition(|probe| probe.arrived != allowed);
    let first = probes.get(last.map_or(0, |last| last + 1));
    Ok(first.map(|probe| probe.sent.saturating_duration_since(begin)))
}

/// Median and greatest.
fn summary(times: &[Option<Duration>]) -> String {
    let missing = times.iter().filter(|time| time.is_none()).count();
    if missing > 0 {
        return format!("not in force after {} ms, {missing} times", AFTER.as_millis());
    }
    let times = times.iter().flatten().map(|time| time.as_secs_f64() * 1000.0);
    let most = times.clone().fold(0.0, f64::max);
    format!("{:.1}, at most {most:.1}", median(times))
}
