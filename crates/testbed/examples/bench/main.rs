//! `scripts/bench`, but for what needs no host: each subcommand is a benchmark. docs/BENCHMARKS.md says what they measure.

mod cni;
mod dial;
mod enid;
mod figures;
mod flood;
mod flowlog;
mod forward;
mod host;
mod policy;
mod setup;
mod subject;
mod traffic;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Benchmarks with a daemon. Root only; `scripts/bench` makes the host that they need.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// Creating and deleting a task's interface: enid, CNI plugins, netavark, and the floor.
    Setup(setup::Arguments),
    /// Traffic between two tasks: a bare veth, CNI plugins, enid.
    Forward(forward::Arguments),
    /// How soon a changed rule is in force, among many ENIs and flows.
    Policy(policy::Arguments),
    /// What two tasks notice of a third one's flood.
    Flood(flood::Arguments),
    /// Connections on a task's behalf: by the dial socket and by a proxy, beside the task's own.
    Dial(dial::Arguments),
    /// What flow logs cost, and whether they are exact when there is much to log.
    Flowlog(flowlog::Arguments),
}

fn main() -> Result<()> {
    match Arguments::parse().benchmark {
        Benchmark::Setup(arguments) => setup::run(&arguments),
        Benchmark::Forward(arguments) => forward::run(&arguments),
        Benchmark::Policy(arguments) => policy::run(&arguments),
        Benchmark::Flood(arguments) => flood::run(&arguments),
        Benchmark::Dial(arguments) => dial::run(&arguments),
        Benchmark::Flowlog(arguments) => flowlog::run(&arguments),
    }
}
