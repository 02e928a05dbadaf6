//! `scripts/bench flowlog`: what flow logs cost, and whether they are exact when there is much to log.

mod crowd;
mod drain;
mod forward;
mod new;
mod peers;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use enid_api::v1::create_flow_log_request::Target;
use enid_api::v1::{CreateFlowLogRequest, CreateTaskRequest, FlowLogFiles};

use crate::enid::{Daemon, Session, task_end};
use crate::forward::Measure;
use crate::subject::Kind;
use crate::traffic::Pair;

#[derive(Args)]
pub(crate) struct Arguments {
    /// What to measure.
    part: Part,
    /// The folder to work in: with enid.toml and, for the daemon, run/ on a tmpfs.
    #[arg(long)]
    work: PathBuf,
    /// The daemon's program; enictl is beside it.
    #[arg(long)]
    enid: PathBuf,
    /// drain: how many entries the flow table has.
    #[arg(long, default_value_t = 1_000_000)]
    entries: u32,
    /// drain, forward: how often each is measured; 5 and 8 if left out.
    #[arg(long)]
    rounds: Option<u32>,
    /// new: flows a second.
    #[arg(long, default_value_t = 200_000)]
    rate: u32,
    /// How long new flows come (10 if left out), a round of forwarding is (1), or traffic beside others is sent (5).
    #[arg(long)]
    seconds: Option<f64>,
    /// forward: only these measures, with commas between them.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Measure>,
    /// The aggregation interval of the flow log, in seconds; 600 for drain, 5 for new, 1 for forward if left out.
    #[arg(long)]
    interval: Option<u32>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Part {
    /// The daemon's time and memory, and the kernel's, with a full flow table.
    Drain,
    /// Many new flows: records and what is stated to be lost, against what was sent.
    New,
    /// What flow logs take from traffic.
    Forward,
    /// softflowd and pmacctd beside enid.
    Peers,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match arguments.part {
        Part::Drain => drain::run(arguments),
        Part::New => new::run(arguments),
        Part::Forward => forward::run(arguments),
        Part::Peers => peers::run(arguments),
    }
}

const KIND: Kind = Kind { ipv6: false, mtu: 9001 };

/// Everybody may send everything to everybody in the VPC.
const NETWORK: &str = r#"
[[vpc]]
name = "bench"
ipv4_cidr = "10.9.0.0/16"

[[vpc.subnet]]
name = "bench-a"
zone = "local-a"
ipv4_cidr = "10.9.0.0/20"

[[vpc.security_group]]
name = "open"
ingress = [{ cidr = "10.9.0.0/16" }]
"#;

/// All fields that a table of flows is asked for, the ENI's and the task's among them.
const FORMAT: &str = "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} \
    ${packets} ${bytes} ${start} ${end} ${action} ${log-status} ${flow-direction} ${traffic-class} ${task-name} \
    ${packets-dropped}";

/// A daemon whose one ENI may have all `capacity` flow entries, and two tasks.
fn start(
    arguments: &Arguments,
    name: &str,
    capacity: u32,
    forwarding: &str,
) -> Result<(Daemon, Session, Pair)> {
    // Buffers no larger than those of a bare veth, which others can read too.
    let more = format!(
        "[eni]\ngso_max_size = 65536\n[flow_table]\ncapacity = {capacity}\nflows_per_eni = {capacity}\n[forwarding]\nmode = \"{forwarding}\"\n"
    );
    let daemon = Daemon::start(&arguments.enid, &arguments.work, name, &more)?;
    let session = daemon.session()?;
    session.apply(NETWORK)?;
    let end = |task: &str| {
        let request = CreateTaskRequest {
            name: task.to_owned(),
            subnet: "bench-a".to_owned(),
            security_groups: vec!["open".to_owned()],
            ..CreateTaskRequest::default()
        };
        task_end(&session.create(request)?, KIND)
    };
    let pair = Pair { client: end("client")?, server: end("server")? };
    Ok((daemon, session, pair))
}

/// A flow log of the VPC, as Parquet into a folder of its own, which is returned.
fn log_to_folder(session: &Session, work: &Path, name: &str, interval: u32) -> Result<PathBuf> {
    let folder = work.join(format!("files-{name}"));
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    session.create_flow_log(CreateFlowLogRequest {
        name: "bench".to_owned(),
        target: Some(Target::Vpc("bench".to_owned())),
        destination: folder.display().to_string(),
        format: Some(FORMAT.to_owned()),
        interval_seconds: Some(interval),
        files: Some(FlowLogFiles { format: "parquet".to_owned(), ..FlowLogFiles::default() }),
        ..CreateFlowLogRequest::default()
    })?;
    Ok(folder)
}
