//! Many new flows: what was sent is in records, or stated to be in none.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::crowd::{Crowd, ports};
use super::{Arguments, log_to_folder, start};
use crate::enid::{Daemon, Session};
use crate::figures::{print_head, print_row};

/// The default, and one with room for all.
const CAPACITIES: [u32; 2] = [1_048_576, 4_194_304];

/// What the delivered records of an ENI hold.
#[derive(Default)]
struct Found {
    records: u64,
    packets: u64,
    /// Flows that have a record.
    flows: u64,
    /// Packets in no record, by SKIPDATA.
    stated: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some million")]
    let flows = (f64::from(arguments.rate) * arguments.seconds.unwrap_or(10.0)) as u32;
    let interval = arguments.interval.unwrap_or(5);
    println!(
        "\n{flows} new flows of a packet each, {} a second wanted, a flow log into Parquet every {interval} s\n",
        arguments.rate
    );
    print_head(
        &["entries at most, ENI", "flows/s", "sent", "in records", "flows", "stated", "missing"]
            .map(str::to_owned),
    );
    for capacity in CAPACITIES {
        let name = format!("new-{capacity}");
        let (daemon, session, pair) = start(arguments, &name, capacity, "auto")?;
        let folder = log_to_folder(&session, &arguments.work, &name, interval)?;
        let crowd = Crowd::new(&pair, flows)?;
        let begin = Instant::now();
        crowd.send_by_two(flows, arguments.rate)?;
        let rate = f64::from(flows) / begin.elapsed().as_secs_f64();
        let sent = u64::from(flows) - crowd.dropped()?;
        flush(&session)?;
        for (task, direction) in [("client", "egress"), ("server", "ingress")] {
            let found = read(arguments, &folder, task, direction, flows)?;
            let missing = i128::from(sent) - i128::from(found.packets) - i128::from(found.stated);
            ensure!(found.flows == found.packets, "{} flows have {} packets", found.flows, found.packets);
            print_row(&[
                format!("{capacity}, {task}"),
                format!("{rate:.0}"),
                sent.to_string(),
                found.packets.to_string(),
                found.flows.to_string(),
                found.stated.to_string(),
                missing.to_string(),
            ]);
        }
        println!("\nenictl audit: {}\n", audit(arguments, &daemon)?);
    }
    Ok(())
}

/// Has all records delivered. A flush does not wait longer than half a minute for a destination.
fn flush(session: &Session) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(25);
    for _ in 0..10 {
        let begin = Instant::now();
        session.flush()?;
        if begin.elapsed() < PATIENCE {
            return Ok(());
        }
    }
    bail!("the records are not delivered")
}

fn enictl(arguments: &Arguments) -> Command {
    Command::new(arguments.enid.with_file_name("enictl"))
}

/// Reads the files that were delivered.
fn read(arguments: &Arguments, folder: &Path, task: &str, direction: &str, flows: u32) -> Result<Found> {
    let format = "${log-status} ${flow-direction} ${packets} ${srcport} ${dstport} ${packets-dropped}";
    let mut command = enictl(arguments);
    command.arg("flows").arg("--from").arg(folder).args(["--task", task, "--format", format]);
    let mut reading = command.stdout(Stdio::piped()).spawn().context("start enictl")?;
    let output = reading.stdout.take().context("enictl has an output")?;
    let mut found = Found::default();
    let mut seen = vec![false; usize::try_from(flows)?];
    let first = ports(0)?.map(usize::from);
    let sources = (1..flows).find(|flow| ports(*flow).is_ok_and(|ports| usize::from(ports[0]) == first[0]));
    let sources = sources.map_or(seen.len(), |flow| flow as usize);
    for line in BufReader::new(output).lines() {
        let line = line?;
        let fields: Vec<&str> = line.split(' ').collect();
        let [status, way, packets, source, destination, dropped] = fields[..] else { continue };
        match status {
            "OK" if way == direction => {
                found.records += 1;
                found.packets += packets.parse::<u64>()?;
                let [source, destination] = [source.parse::<usize>()?, destination.parse::<usize>()?];
                let flow = source.checked_sub(first[0]).zip(destination.checked_sub(first[1]));
                let place = flow.map(|(source, destination)| destination * sources + source);
                if let Some(seen) = place.and_then(|place| seen.get_mut(place)) {
                    found.flows += u64::from(!*seen);
                    *seen = true;
                }
            }
            "SKIPDATA" => found.stated += dropped.parse::<u64>()?,
            _ => {}
        }
    }
    ensure!(reading.wait()?.success(), "enictl flows has failed");
    Ok(found)
}

/// The last line of the audit, which fails if anything is left over.
fn audit(arguments: &Arguments, daemon: &Daemon) -> Result<String> {
    let output = enictl(arguments).arg("--socket").arg(daemon.socket()).arg("audit").output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "enictl audit: {text}{}", String::from_utf8_lossy(&output.stderr));
    Ok(text.lines().last().unwrap_or_default().to_owned())
}
