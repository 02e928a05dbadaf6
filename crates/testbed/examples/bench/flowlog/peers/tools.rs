//! Debian's softflowd, with nfcapd to collect what it says, and pmacctd.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::Seen;
use crate::traffic::{End, inside, ipv4};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Softflowd,
    Pmacctd,
}

/// A tool that reads what passes the client's eth0.
pub(super) struct Running {
    tool: Tool,
    folder: PathBuf,
    process: Child,
    collector: Option<Child>,
}

/// The port to which packets are sent that nobody counts: what libpcap has is read in blocks, so that others have to come
/// after the last ones.
pub(super) const FILLER: u16 = 9;
/// Of nfcapd, on the client's loopback.
const COLLECTOR: &str = "127.0.0.1:9995";

impl Tool {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Softflowd => "softflowd",
            Self::Pmacctd => "pmacctd",
        }
    }

    pub(super) fn start(self, namespace: &OwnedFd, folder: &Path) -> Result<Running> {
        let mut collector = None;
        let command = match self {
            Self::Softflowd => {
                let mut command = Command::new("nfcapd");
                command
                    .args(["-b", "127.0.0.1", "-p", "9995", "-t", "3600", "-B", "8000000", "-w"])
                    .arg(folder);
                collector = Some(spawn(namespace, folder, "nfcapd", command)?);
                let mut command = Command::new("softflowd");
                // As many flows as there are: by default it gives up the oldest beyond 8,192.
                command.args(["-d", "-N", "-i", "eth0", "-n", COLLECTOR, "-v", "9", "-m", "1000000", "-p"]);
                command.arg(folder.join("pid")).arg("-c").arg(folder.join("control"));
                command
            }
            Self::Pmacctd => {
                let configuration = folder.join("pmacctd.conf");
                let output = folder.join("flows.csv");
                // Its defaults lose most at such a rate; these are its own documentation's for more.
                let text = format!(
                    "daemonize: false\npcap_interface: eth0\nplugins: print\n\
                     aggregate: src_host, dst_host, src_port, dst_port, proto\nprint_output: csv\n\
                     print_output_file: {}\nprint_refresh_time: 3600\nprint_cache_entries: 65537\n\
                     plugin_pipe_size: 67108864\nplugin_buffer_size: 65536\n",
                    output.display()
                );
                fs::write(&configuration, text)?;
                let mut command = Command::new("pmacctd");
                command.arg("-f").arg(configuration);
                command
            }
        };
        let process = spawn(namespace, folder, self.name(), command)?;
        // Until it reads: neither says when.
        sleep(Duration::from_secs(2));
        Ok(Running { tool: self, folder: folder.to_owned(), process, collector })
    }
}

impl Running {
    /// Ends it. What it has seen of the client's packets, but for those that [`FILLER`] is for, and the CPU time of its
    /// processes until then.
    pub(super) fn stop(mut self, client: &End) -> Result<(Seen, f64)> {
        if self.tool == Tool::Softflowd {
            // What it does not do by itself when it ends.
            let mut command = Command::new("softflowctl");
            command.arg("-c").arg(self.folder.join("control")).arg("expire-all").stdout(Stdio::null());
            ensure!(command.status().context("start softflowctl")?.success(), "softflowctl has failed");
            sleep(Duration::from_secs(1));
        }
        let cpu = cpu_seconds(self.process.id())?;
        let signal = if self.tool == Tool::Pmacctd { Signal::INT } else { Signal::TERM };
        kill_process(Pid::from_child(&self.process), signal)?;
        self.process.wait()?;
        // For pmacctd's own children to write, and for what is on its way to nfcapd.
        sleep(Duration::from_secs(3));
        let address = ipv4(client)?;
        let seen = match &mut self.collector {
            Some(collector) => {
                kill_process(Pid::from_child(collector), Signal::TERM)?;
                collector.wait()?;
                collected(&self.folder, address)?
            }
            None => printed(&self.folder.join("flows.csv"), address)?,
        };
        Ok((seen, cpu))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in std::iter::once(&mut self.process).chain(&mut self.collector) {
            // One that has ended is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn spawn(namespace: &OwnedFd, folder: &Path, name: &str, mut command: Command) -> Result<Child> {
    let log = File::create(folder.join(format!("{name}.log")))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    inside(namespace, || command.spawn().with_context(|| format!("start {name}")))
}

/// What nfcapd has of a source.
fn collected(folder: &Path, client: Ipv4Addr) -> Result<Seen> {
    let mut command = Command::new("nfdump");
    command
        .arg("-R")
        .arg(folder)
        .args(["-q", "-N", "-o", "fmt:%pkt %byt"])
        .arg(format!("src ip {client} and not dst port {FILLER}"));
    let output = command.output().context("start nfdump")?;
    ensure!(output.status.success(), "nfdump: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    add(text.lines().map(str::split_whitespace))
}

/// What pmacctd has printed of a source.
fn printed(file: &Path, client: Ipv4Addr) -> Result<Seen> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| {
        head.iter().position(|known| *known == name).with_context(|| format!("no {name} in {head:?}"))
    };
    let (source, port) = (column("SRC_IP")?, column("DST_PORT")?);
    let (packets, bytes) = (column("PACKETS")?, column("BYTES")?);
    let (client, filler) = (client.to_string(), FILLER.to_string());
    let is_wanted = |row: &Vec<&str>| {
        row.get(source) == Some(&client.as_str()) && row.get(port) != Some(&filler.as_str())
    };
    let rows = lines.map(|line| line.split(',').collect::<Vec<_>>()).filter(is_wanted);
    add(rows.map(|row| [packets, bytes].map(|at| row.get(at).copied().unwrap_or_default())))
}

/// The sum of rows of packets and bytes.
fn add<'a, R: IntoIterator<Item = &'a str>>(rows: impl Iterator<Item = R>) -> Result<Seen> {
    let mut sum = Seen::default();
    for row in rows {
        let row: Vec<&str> = row.into_iter().collect();
        let [packets, bytes] = row[..] else { continue };
        let number = |text: &str| text.parse::<u64>().with_context(|| format!("`{text}` is no number"));
        sum.packets += number(packets)?;
        sum.bytes += number(bytes)?;
    }
    Ok(sum)
}

/// The CPU time of a process and its children, in seconds: proc_pid_stat(5).
fn cpu_seconds(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    let mut seconds = f64::from(ticks.sum::<Result<u32, _>>()?) / 100.0;
    for child in fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?.split_whitespace() {
        seconds += cpu_seconds(child.parse()?)?;
    }
    Ok(seconds)
}
