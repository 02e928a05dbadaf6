//! `scripts/bench forward`: what gets from one task to another, beside a bare veth and CNI plugins.

mod measure;
mod report;
mod router;
pub(crate) mod tasks;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

pub(crate) use self::measure::{Measure, Rounds};
pub(crate) use self::report::table;
use self::router::Way;
use crate::subject::{self, Kind};
use crate::traffic::{Window, take_the_lead};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder to work in: with enid.toml and, for the daemon, run/ on a tmpfs.
    #[arg(long)]
    work: PathBuf,
    /// The daemon's program. Without it the others are measured alone.
    #[arg(long)]
    enid: Option<PathBuf>,
    /// How often each measure is taken of each subject.
    #[arg(long, default_value_t = 15)]
    rounds: u32,
    /// How long each is, after a warm-up of a quarter of it.
    #[arg(long, default_value_t = 0.25)]
    seconds: f64,
    /// Only these, with commas between them: stream, request, request-1k, connect, datagram.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Measure>,
    /// Only these, with commas between them: veth, ptp, bridge, enid, enid-big, routed, redirect, redirect-mac.
    #[arg(long, value_delimiter = ',')]
    subjects: Vec<String>,
    /// The MTUs, with commas between them.
    #[arg(long, value_delimiter = ',', default_values_t = [9001, 1500])]
    mtu: Vec<u32>,
    /// By IPv6 instead of IPv4.
    #[arg(long)]
    ipv6: bool,
    /// Also what shows where time goes: a router of the kernel's without firewall or programs (routed), and one of
    /// bpf_redirect_peer alone (redirect), with MAC addresses written besides (redirect-mac).
    #[arg(long)]
    parts: bool,
    /// Also enid with forwarding left to the kernel.
    #[arg(long)]
    kernel: bool,
}

impl Arguments {
    fn wants(&self, subject: &str) -> bool {
        self.subjects.is_empty() || self.subjects.iter().any(|wanted| wanted == subject)
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let work = &arguments.work;
    let mut daemons = Vec::new();
    if let Some(program) = &arguments.enid {
        if arguments.wants("enid") {
            daemons.push(("enid", tasks::start(program, work, "enid", "nat", tasks::PLAIN)?));
        }
        if arguments.wants("enid-big") {
            // Where no uplink sets a limit, BIG TCP is the default.
            daemons.push(("enid-big", tasks::start(program, work, "big", "none", "")?));
        }
        if arguments.kernel {
            let more = format!("{}[forwarding]\nmode = \"kernel\"\n", tasks::PLAIN);
            daemons.push(("enid-kernel", tasks::start(program, work, "kernel", "nat", &more)?));
        }
    }
    take_the_lead()?;
    let length = Duration::from_secs_f64(arguments.seconds);
    let window = Window { warm_up: length / 4, length };
    for &mtu in &arguments.mtu {
        let kind = Kind { ipv6: arguments.ipv6, mtu };
        let mut subjects = Vec::new();
        if arguments.wants("veth") {
            subjects.push(subject::veth(work, "veth", kind)?);
        }
        for name in ["ptp", "bridge"] {
            if arguments.wants(name) {
                subjects.push(subject::plugin(work, name, kind)?);
            }
        }
        let ways = [("routed", Way::Kernel), ("redirect", Way::Redirect), ("redirect-mac", Way::RedirectMac)];
        for (name, way) in ways {
            if arguments.parts && arguments.wants(name) {
                subjects.push(router::routed(work, name, way, kind)?);
            }
        }
        for (name, daemon) in &daemons {
            subjects.push(tasks::tasks(daemon, name, kind)?);
        }
        let measures = Measure::chosen(&arguments.only);
        let rounds = Rounds::take(&subjects, &measures, window, arguments.rounds, |_| Ok(()))?;
        table(kind, &subjects, &rounds);
        report::ratios("enid", &subjects, &rounds);
    }
    Ok(())
}
