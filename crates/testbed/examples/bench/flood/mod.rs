//! `scripts/bench flood`: what two tasks notice of a third one's flood of a fourth.

mod attack;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use enid_api::v1::CreateTaskRequest;

use self::attack::{Attack, during};
use crate::enid::{Daemon, task_end};
use crate::figures::{figure, median, print_head, print_row, ratio};
use crate::subject::{self, Kind};
use crate::traffic::{Connection, Pair, Window, connects, requests, stream, take_the_lead};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder to work in: with enid.toml and, for the daemon, run/ on a tmpfs.
    #[arg(long)]
    work: PathBuf,
    /// The daemon's program.
    #[arg(long)]
    enid: PathBuf,
    /// How often each measure is taken.
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// How long each is, after a warm-up of a quarter of it.
    #[arg(long, default_value_t = 0.25)]
    seconds: f64,
    /// Packets a second of the flood.
    #[arg(long, default_value_t = 50_000)]
    rate: u32,
    /// The most flow entries: few, so that a flood of SYNs fills the table.
    #[arg(long, default_value_t = 65_536)]
    flow_capacity: u32,
}

const KIND: Kind = Kind { ipv6: false, mtu: 9001 };

/// The victims' group lets them reach each other, the target's lets everything in, and the attacker's only TCP out.
const NETWORK: &str = r#"
[[vpc]]
name = "bench"
ipv4_cidr = "10.9.0.0/16"

[[vpc.subnet]]
name = "bench-a"
zone = "local-a"
ipv4_cidr = "10.9.0.0/20"

[[vpc.security_group]]
name = "victim"
ingress = [{ protocol = "tcp", ports = "5000-5999", security_group = "victim" }]
egress = [{ protocol = "tcp", security_group = "victim" }]

[[vpc.security_group]]
name = "attacker"
egress = [{ protocol = "tcp", cidr = "10.9.0.0/16" }]

[[vpc.security_group]]
name = "target"
ingress = [{ cidr = "10.9.0.0/16" }]
"#;

/// Victims, and an attacker with its target.
struct Subject {
    name: &'static str,
    victims: Pair,
    attack: Pair,
    /// Opened before any flood: connections that must not suffer.
    request: Connection,
    stream: Connection,
}

impl Subject {
    fn new(name: &'static str, victims: Pair, attack: Pair) -> Result<Self> {
        let request = Connection::open(&victims)?;
        let stream = Connection::open(&victims)?;
        Ok(Self { name, victims, attack, request, stream })
    }

    /// Each of the figures that [`FIGURES`] names.
    fn measure(&self, window: Window) -> Result<[f64; 4]> {
        let request = requests(&self.victims, &self.request, 1, window)?;
        let stream = stream(&self.victims, &self.stream, window)?;
        let connects = connects(&self.victims, window)?;
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        Ok([micros(request.median), micros(request.p99), stream.rate, connects])
    }
}

/// Of the victims.
const FIGURES: [&str; 4] = ["1 B request p50, µs", "1 B request p99, µs", "stream, Gbit/s", "connections/s"];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let work = &arguments.work;
    // And buffers no larger than those of a bare veth.
    let more = format!("[flow_table]\ncapacity = {}\n[eni]\ngso_max_size = 65536\n", arguments.flow_capacity);
    let daemon = Daemon::start(&arguments.enid, work, "enid", &more)?;
    let subjects = [enid(&daemon)?, floor(work)?];
    take_the_lead()?;
    let length = Duration::from_secs_f64(arguments.seconds);
    let window = Window { warm_up: length / 4, length };
    // By subject: quiet rounds, then those of each attack with the rate that it reached.
    let mut quiet = [Vec::new(), Vec::new()];
    let mut flooded = [(); 2].map(|()| Attack::ALL.map(|_| Vec::new()));
    for round in 0..arguments.rounds as usize {
        for turn in 0..subjects.len() {
            let position = (turn + round) % subjects.len();
            let (Some(subject), Some(quiet), Some(flooded)) =
                (subjects.get(position), quiet.get_mut(position), flooded.get_mut(position))
            else {
                continue;
            };
            quiet.push(subject.measure(window).context(subject.name)?);
            for (attack, results) in Attack::ALL.into_iter().zip(flooded) {
                let measured = during(attack, &subject.attack, arguments.rate, || subject.measure(window));
                results.push(measured.with_context(|| format!("{}, {}", subject.name, attack.name()))?);
            }
        }
    }
    println!(
        "\nFloods of {} packets/s, {} flow entries at most; {} rounds: medians, and × the median of the rounds' ratios to \
         quiet",
        arguments.rate, arguments.flow_capacity, arguments.rounds
    );
    for ((subject, quiet), flooded) in subjects.iter().zip(&quiet).zip(&flooded) {
        report(subject.name, quiet, flooded);
    }
    Ok(())
}

/// Four tasks of a daemon.
fn enid(daemon: &Daemon) -> Result<Subject> {
    let session = daemon.session()?;
    session.apply(NETWORK)?;
    let end = |name: &str, group: &str| {
        let task = session.create(CreateTaskRequest {
            name: name.to_owned(),
            subnet: "bench-a".to_owned(),
            security_groups: vec![group.to_owned()],
            ..CreateTaskRequest::default()
        })?;
        task_end(&task, KIND)
    };
    let victims = Pair { client: end("client", "victim")?, server: end("server", "victim")? };
    let attack = Pair { client: end("attacker", "attacker")?, server: end("target", "target")? };
    Subject::new("enid", victims, attack)
}

/// Two bare veths: what two pairs notice of each other that share nothing but CPUs.
fn floor(work: &Path) -> Result<Subject> {
    let victims = subject::veth(work, "victims", KIND)?.pair;
    let attack = subject::veth(work, "attack", KIND)?.pair;
    Subject::new("veth", victims, attack)
}

/// Prints a row an attack: the flood's rate, then every figure of the victims and its ratio to quiet.
fn report(name: &str, quiet: &[[f64; 4]], flooded: &[Vec<([f64; 4], f64)>; 3]) {
    let mut head = vec![name.to_owned(), "flood/s".to_owned()];
    let mut row = vec!["quiet".to_owned(), "0".to_owned()];
    for (position, name) in FIGURES.into_iter().enumerate() {
        head.extend([name.to_owned(), "×".to_owned()]);
        row.extend([figure(median(of(quiet.iter(), position))), String::new()]);
    }
    println!();
    print_head(&head);
    print_row(&row);
    for (attack, rounds) in Attack::ALL.into_iter().zip(flooded) {
        let mut row = vec![attack.name().to_owned(), figure(median(rounds.iter().map(|(_, rate)| *rate)))];
        for position in 0..FIGURES.len() {
            let values = of(rounds.iter().map(|(figures, _)| figures), position);
            let ratios = values.clone().zip(of(quiet.iter(), position)).map(|(value, quiet)| value / quiet);
            row.extend([figure(median(values)), ratio(median(ratios))]);
        }
        print_row(&row);
    }
}

/// One of the figures, of every round.
fn of<'a>(
    rounds: impl Iterator<Item = &'a [f64; 4]> + Clone,
    position: usize,
) -> impl Iterator<Item = f64> + Clone {
    rounds.filter_map(move |figures| figures.get(position).copied())
}
