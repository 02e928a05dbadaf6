//! CNI plugins as processes, enid's among them: one after the other, and many at once.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use enid_api::v1::CreateTaskRequest;
use enid_testbed::floor;

use super::measure::{Times, quantile};
use super::report::{milliseconds, ratio};
use crate::cni::Cni;
use crate::enid::Daemon;
use crate::host::{folder, new_host};

/// How many are started at once.
const BURSTS: [u32; 2] = [30, 200];
/// Each burst is done so often, taking turns.
const BURST_ROUNDS: u32 = 5;
/// Time for the kernel's own work behind a deletion, as in the other measurements.
const SETTLE: Duration = Duration::from_millis(30);

/// A plugin and what it takes for the host.
struct Plugin {
    name: &'static str,
    host: OwnedFd,
    cni: Cni,
}

/// Times of the plugins' processes, and nothing else: namespaces are made before, and removed after.
pub(crate) fn measure(enid: &Path, plugin: &Path, work: &Path, rounds: u32) -> Result<()> {
    let daemon = Daemon::start(enid, work, "cni", "")?;
    let mut subnets = daemon.networks()?.into_iter().flat_map(|vpc| vpc.subnets);
    let subnet = subnets.next().context("the default network has no subnet")?.id;
    let cni = Cni::enid(plugin.to_owned(), &folder(work, "calls-enid")?, daemon.socket(), &subnet);
    let mut plugins = vec![Plugin { name: "enid-cni", host: daemon.host().try_clone()?, cni }];
    for name in ["ptp", "bridge"] {
        let cni = Cni::new(name, &folder(work, &format!("calls-{name}"))?, &["10.8.0.0/16"], 9001);
        plugins.push(Plugin { name, host: new_host()?, cni });
    }
    let own = plugins.first().context("enid's plugin")?;
    for plugin in &plugins {
        // Nobody is measured on an empty host.
        plugin.prepare(0)?;
        plugin.cni.add(0)?;
    }

    let session = daemon.session()?;
    let own_namespace = CreateTaskRequest { subnet, ..CreateTaskRequest::default() };
    let (mut adopting, mut making) = (Times::default(), Times::default());
    let mut alone: Vec<Times> = plugins.iter().map(|_| Times::default()).collect();
    for task in 1..=rounds {
        for (plugin, times) in plugins.iter().zip(&mut alone) {
            plugin.prepare(task)?;
            times.create.push(timed(|| plugin.cni.add(task).map(drop))?);
            times.delete.push(timed(|| plugin.cni.delete(task))?);
            plugin.finish(task)?;
            thread::sleep(SETTLE);
        }
        // What of enid-cni is the daemon: the same over a connection that is open.
        for (times, is_adopted) in [(&mut adopting, true), (&mut making, false)] {
            own.prepare(task)?;
            let netns = is_adopted.then(|| own.cni.netns(task).display().to_string());
            let request = CreateTaskRequest { name: format!("call-{task}"), netns, ..own_namespace.clone() };
            times.create.push(timed(|| session.create(request.clone()).map(drop))?);
            times.delete.push(timed(|| session.delete(request.name.clone()))?);
            own.finish(task)?;
            thread::sleep(SETTLE);
        }
    }
    report(&format!("CNI calls one after the other; {rounds} rounds"), &plugins, &alone);

    println!(
        "  the daemon alone: create {:.3}, delete {:.3}; with a namespace of its own: create {:.3}, delete {:.3}",
        milliseconds(quantile(&adopting.create, 0.5)),
        milliseconds(quantile(&adopting.delete, 0.5)),
        milliseconds(quantile(&making.create, 0.5)),
        milliseconds(quantile(&making.delete, 0.5)),
    );

    for count in BURSTS {
        let mut times: Vec<Times> = plugins.iter().map(|_| Times::default()).collect();
        for _ in 0..BURST_ROUNDS {
            for (plugin, times) in plugins.iter().zip(&mut times) {
                let tasks = rounds + 1..rounds + 1 + count;
                for task in tasks.clone() {
                    plugin.prepare(task)?;
                }
                times.create.extend(plugin.at_once(tasks.clone(), |cni, task| cni.add(task).map(drop))?);
                thread::sleep(SETTLE);
                times.delete.extend(plugin.at_once(tasks.clone(), Cni::delete)?);
                for task in tasks {
                    plugin.finish(task)?;
                }
                thread::sleep(SETTLE * 10);
            }
        }
        report(&format!("CNI calls, {count} at once; {BURST_ROUNDS} rounds"), &plugins, &times);
    }
    for plugin in &plugins {
        floor::enter_namespace(&plugin.host)?;
        plugin.cni.delete(0)?;
        plugin.finish(0)?;
    }
    Ok(())
}

impl Plugin {
    /// Makes a container's namespace. The calling thread is in the plugin's host afterwards.
    fn prepare(&self, task: u32) -> Result<()> {
        floor::make_namespace(&self.cni.netns(task))?;
        Ok(floor::enter_namespace(&self.host)?)
    }

    fn finish(&self, task: u32) -> Result<()> {
        Ok(floor::remove_namespace(&self.cni.netns(task))?)
    }

    /// Each call on a thread of its own; returns what each took from when all were ready.
    fn at_once(
        &self,
        tasks: Range<u32>,
        call: impl Fn(&Cni, u32) -> Result<()> + Sync,
    ) -> Result<Vec<Duration>> {
        let ready = Barrier::new(tasks.len());
        thread::scope(|scope| {
            let threads: Vec<_> = tasks
                .map(|task| {
                    let (ready, call) = (&ready, &call);
                    scope.spawn(move || -> Result<Duration> {
                        let entered = floor::enter_namespace(&self.host);
                        // Reached whether or not it went well: the others wait here.
                        ready.wait();
                        entered?;
                        timed(|| call(&self.cni, task))
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().map_err(|_| anyhow!("a caller's thread ended early"))?)
                .collect::<Result<Vec<_>>>()
        })
        .with_context(|| format!("calls of {} at once", self.name))
    }
}

fn report(title: &str, plugins: &[Plugin], times: &[Times]) {
    println!("\n{title}; milliseconds; × is the ratio of medians");
    let picks =
        [("ADD", (|times| &times.create) as fn(&Times) -> &Vec<Duration>), ("DEL", |times| &times.delete)];
    for (verb, pick) in picks {
        println!("{verb:<10} {:>9} {:>9} {:>9} {:>11}", "median", "p99", "longest", "× enid-cni");
        let base = times.first().map(|times| quantile(pick(times), 0.5));
        for (plugin, times) in plugins.iter().zip(times) {
            let median = quantile(pick(times), 0.5);
            println!(
                "  {:<8} {:>9.3} {:>9.3} {:>9.3} {:>11}",
                plugin.name,
                milliseconds(median),
                milliseconds(quantile(pick(times), 0.99)),
                milliseconds(quantile(pick(times), 1.0)),
                ratio(median, base),
            );
        }
    }
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}
