//! A full flow table whose flows have all moved: the daemon's time to read it, the memory of the kernel and the daemon's.

use std::time::Instant;

use anyhow::{Context as _, Result};

use super::crowd::Crowd;
use super::{Arguments, log_to_folder, start};
use crate::enid::{Daemon, Session};
use crate::figures::{figure, median, print_head, print_row};

/// Bytes of a flow's key, by which its table is known among the daemon's.
const FLOW_KEY_BYTES: u32 = 44;

/// What one way of forwarding gave.
#[derive(Default)]
struct Results {
    records: u64,
    first: f64,
    again: Vec<f64>,
    again_wall: Vec<f64>,
    with_delivery: f64,
    kernel: u64,
    kernel_empty: u64,
    peak_drains: u64,
    peak: u64,
    resident: u64,
    filling: f64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let kernel = measure(arguments, "kernel", 2)?;
    let direct = measure(arguments, "direct", 1)?;
    println!(
        "\n{} entries in the flow table, all moved by packets from a task; {} rounds, medians\n",
        figure(arguments.entries.into()),
        kernel.again.len()
    );
    print_head(&[String::new(), "kernel's way".to_owned(), "direct".to_owned()]);
    let row = |name: &str, value: fn(&Results) -> f64| {
        print_row(&[name.to_owned(), figure(value(&kernel)), figure(value(&direct))]);
    };
    #[allow(clippy::cast_precision_loss, reason = "figures of a table")]
    {
        let entries = f64::from(arguments.entries);
        row("flow records a drain", |r| r.records as f64);
        row("a drain, CPU s", |r| median(r.again.iter().copied()));
        row("a drain, s", |r| median(r.again_wall.iter().copied()));
        row("the first drain, CPU s", |r| r.first);
        row("a drain and its delivery, CPU s", |r| r.with_delivery);
        let bytes = |name: &str, value: fn(&Results) -> u64, each: f64| {
            print_row(&[
                name.to_owned(),
                figure(value(&kernel) as f64 / each),
                figure(value(&direct) as f64 / each),
            ]);
        };
        bytes("kernel memory an entry, B", |r| r.kernel, entries);
        bytes("of it, while it is there, B", |r| r.kernel - r.kernel_empty, entries);
        bytes("daemon's peak, drains, MB", |r| r.peak_drains, 1e6);
        bytes("daemon's peak, all, MB", |r| r.peak, 1e6);
        bytes("resident afterwards, MB", |r| r.resident, 1e6);
        row("filling, packets/s", |r| r.filling);
    }
    Ok(())
}

/// Forwarding `direct` has one entry for both ENIs of a flow, `kernel` one for each.
fn measure(arguments: &Arguments, forwarding: &str, entries_a_tuple: u32) -> Result<Results> {
    let capacity = arguments.entries.next_power_of_two();
    let (daemon, session, pair) = start(arguments, forwarding, capacity, forwarding)?;
    let tuples = arguments.entries / entries_a_tuple;
    let crowd = Crowd::new(&pair, tuples)?;
    let mut results = Results {
        records: u64::from(tuples) * 2,
        kernel_empty: kernel_memory(&daemon)?,
        ..Results::default()
    };
    session.flush()?;
    let begin = Instant::now();
    crowd.send(0..tuples, None)?;
    results.filling = f64::from(tuples) / begin.elapsed().as_secs_f64();
    results.first = drain(&daemon, &session, results.records)?
        .context("an interval ended while the table was filled: try again")?
        .0;
    results.kernel = kernel_memory(&daemon)?;
    let wanted = arguments.rounds.unwrap_or(5) as usize;
    while results.again.len() < wanted {
        crowd.send(0..tuples, None)?;
        // A round in which the interval has ended by itself does not count.
        if let Some((cpu, wall)) = drain(&daemon, &session, results.records)? {
            results.again.push(cpu);
            results.again_wall.push(wall);
        }
    }
    results.peak_drains = daemon.memory("VmHWM")?;
    log_to_folder(&session, &arguments.work, forwarding, arguments.interval.unwrap_or(600))?;
    crowd.send(0..tuples, None)?;
    let before = daemon.cpu_seconds()?;
    // The answer comes when the files are there.
    let delivered = session.flush()?;
    results.with_delivery = daemon.cpu_seconds()? - before;
    anyhow::ensure!(delivered <= results.records, "{delivered} records of {}", results.records);
    results.peak = daemon.memory("VmHWM")?;
    results.resident = daemon.resident()?;
    Ok(results)
}

/// Has the interval closed. The daemon's time and the time it took; none if it was not all of the records.
fn drain(daemon: &Daemon, session: &Session, records: u64) -> Result<Option<(f64, f64)>> {
    let (begin, before) = (Instant::now(), daemon.cpu_seconds()?);
    let written = session.flush()?;
    let (wall, cpu) = (begin.elapsed().as_secs_f64(), daemon.cpu_seconds()? - before);
    // Of ENIs that were idle in the interval there may be a record each besides.
    Ok((written >= records).then_some((cpu, wall)))
}

/// What the flow table takes, as the kernel says of the daemon's map.
fn kernel_memory(daemon: &Daemon) -> Result<u64> {
    let maps = daemon.maps()?;
    let map = maps.iter().filter(|map| map.key_size == FLOW_KEY_BYTES);
    map.map(|map| map.memory).max().context("the daemon has no flow table")
}
