//! `scripts/bench setup`: what creating and deleting a task's interface costs, beside CNI plugins, netavark and the floor.

mod bursts;
mod cni_calls;
mod contender;
mod enid;
mod floor;
mod measure;
mod plugins;
mod report;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use enid_testbed::floor::enter_namespace;

use self::contender::Contender;
use self::enid::EnidHost;
use self::floor::FloorHost;
use self::measure::{create_by, delete_by, latency};
use self::plugins::Plugin;

/// Measures, in one run: enid, the CNI plugins ptp and bridge, netavark, and the floor. Root only.
#[derive(Args)]
pub(crate) struct Arguments {
    /// An empty folder to work in. For the daemon it holds enid.toml, and run/ on a tmpfs.
    #[arg(long)]
    work: PathBuf,
    /// The daemon's program. Without it the others are measured alone.
    #[arg(long)]
    enid: Option<PathBuf>,
    /// How often each contender creates and deletes a task.
    #[arg(long, default_value_t = 200)]
    rounds: u32,
    /// How many tasks are present when a crowded host is measured.
    #[arg(long, default_value_t = 1000)]
    crowd: u32,
    /// How many tasks 1 and 4 callers create, and how many are deleted at once.
    #[arg(long, default_value_t = 200)]
    burst: u32,
    /// How many bursts of 30 and of 200 callers enid has, with slots ready and without.
    #[arg(long, default_value_t = 15)]
    burst_rounds: u32,
    /// Measure nothing but those bursts.
    #[arg(long, conflicts_with = "cni")]
    bursts_only: bool,
    /// enid's CNI plugin. With it, CNI calls as processes are measured, too.
    #[arg(long, requires = "enid")]
    enid_cni: Option<PathBuf>,
    /// Measure CNI calls alone.
    #[arg(long, requires = "enid_cni")]
    cni: bool,
}

/// The task that stays: nobody is measured on an empty host, where bridges and routers would come and go.
const RESIDENT: u32 = 0;
/// How many callers ask at once.
const CALLERS: u32 = 4;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let work = &arguments.work;
    if let Some(daemon) = &arguments.enid {
        if !arguments.cni {
            bursts::run(daemon, work, arguments.burst_rounds, arguments.rounds)?;
        }
        if let Some(plugin) = arguments.enid_cni.as_ref().filter(|_| !arguments.bursts_only) {
            cni_calls::measure(daemon, plugin, work, arguments.rounds)?;
        }
    }
    if arguments.bursts_only || arguments.cni {
        return Ok(());
    }
    let enid = arguments.enid.as_deref().map(|program| EnidHost::start(program, work)).transpose()?;
    let floor = FloorHost::new(work)?;
    let ptp = Plugin::cni(work, "ptp")?;
    let bridge = Plugin::cni(work, "bridge")?;
    let netavark = Plugin::netavark(work)?;

    // The first two are measured further.
    let mut contenders: Vec<&dyn Contender> = Vec::new();
    contenders.extend(enid.as_ref().map(|enid| enid as &dyn Contender));
    contenders.push(&floor);
    let scaling = contenders.clone();
    contenders.extend([&ptp as &dyn Contender, &bridge, &netavark]);
    for contender in &contenders {
        enter_namespace(contender.host())?;
        contender.caller()?.create(RESIDENT).with_context(|| contender.name())?;
    }
    let resident = enid.as_ref().map(EnidHost::resident).transpose()?;

    let alone = latency(&contenders, 1, arguments.rounds)?;
    report::latency("One task present", &contenders, &alone);

    let first = arguments.rounds + 1;
    report::throughput_header(arguments.burst);
    for contender in &scaling {
        enter_namespace(contender.host())?;
        let by_one = create_by(*contender, 1, first, arguments.burst)?;
        delete_by(*contender, CALLERS, first, arguments.burst)?;
        let by_many = create_by(*contender, CALLERS, first, arguments.burst)?;
        let burst = delete_by(*contender, arguments.burst, first, arguments.burst)?;
        report::throughput(contender.name(), arguments.burst, by_one, by_many, &burst);
    }

    let crowd = first + arguments.burst;
    for contender in &scaling {
        enter_namespace(contender.host())?;
        create_by(*contender, 1, crowd, arguments.crowd)?;
    }
    let crowded_resident = enid.as_ref().map(EnidHost::resident).transpose()?;
    let crowded = latency(&scaling, crowd + arguments.crowd, arguments.rounds)?;
    report::latency(&format!("{} tasks present", arguments.crowd + 1), &scaling, &crowded);
    report::growth(&scaling, &alone, &crowded);
    if let (Some(one), Some(many)) = (resident, crowded_resident) {
        report::memory(one, many, arguments.crowd);
    }

    for contender in &scaling {
        enter_namespace(contender.host())?;
        // Many at once, which the kernel does in batches; one after another would take a quarter of a minute.
        delete_by(*contender, arguments.burst, crowd, arguments.crowd)?;
    }
    for contender in &contenders {
        enter_namespace(contender.host())?;
        contender.caller()?.delete(RESIDENT)?;
    }
    Ok(())
}
