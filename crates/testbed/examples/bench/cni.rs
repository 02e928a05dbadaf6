//! CNI plugins, as a runtime calls them, with the address plugin host-local.

use std::env;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

const CNI_FOLDER: &str = "/usr/lib/cni";

/// A plugin with a network of its own.
pub(crate) struct Cni {
    name: &'static str,
    program: PathBuf,
    folder: PathBuf,
    configuration: Value,
}

impl Cni {
    /// The plugin of that name, with a task's addresses from `blocks`, one a family. It writes into `folder`.
    pub(crate) fn new(name: &'static str, folder: &Path, blocks: &[&str], mtu: u32) -> Self {
        let ranges: Vec<Value> = blocks.iter().map(|block| json!([{ "subnet": block }])).collect();
        let routes: Vec<Value> = blocks
            .iter()
            .map(|block| json!({ "dst": if block.contains(':') { "::/0" } else { "0.0.0.0/0" } }))
            .collect();
        let configuration = json!({
            "cniVersion": "1.0.0",
            "name": format!("bench-{name}"),
            "type": name,
            "bridge": "cni0",
            "isGateway": true,
            "ipMasq": false,
            "mtu": mtu,
            "ipam": {
                "type": "host-local",
                "dataDir": folder.join("addresses"),
                "ranges": ranges,
                "routes": routes,
            },
        });
        let program = Path::new(CNI_FOLDER).join(name);
        Self { name, program, folder: folder.to_owned(), configuration }
    }

    /// enid's plugin, with a task's addresses from a subnet of the daemon's that serves the socket.
    pub(crate) fn enid(program: PathBuf, folder: &Path, socket: &Path, subnet: &str) -> Self {
        let configuration = json!({
            "cniVersion": "1.0.0",
            "name": "bench-enid",
            "type": "enid-cni",
            "socket": socket,
            "subnet": subnet,
            "timeoutSeconds": 60,
        });
        Self { name: "enid-cni", program, folder: folder.to_owned(), configuration }
    }

    /// Where a task's namespace is bound.
    pub(crate) fn netns(&self, task: u32) -> PathBuf {
        self.folder.join(format!("netns-{task}"))
    }

    /// Gives a task an interface; the calling thread must be in the host's namespace. Returns the task's addresses.
    pub(crate) fn add(&self, task: u32) -> Result<Vec<IpAddr>> {
        let answer: Value = serde_json::from_slice(&self.call("ADD", task)?)?;
        let addresses = answer["ips"].as_array().context("a plugin's answer has no addresses")?;
        let addresses = addresses.iter().map(|entry| {
            let address = entry["address"].as_str().and_then(|address| address.split('/').next());
            Ok(address.context("an address that is not text")?.parse()?)
        });
        addresses.collect()
    }

    /// Takes a task's interface away.
    pub(crate) fn delete(&self, task: u32) -> Result<()> {
        self.call("DEL", task)?;
        Ok(())
    }

    fn call(&self, verb: &str, task: u32) -> Result<Vec<u8>> {
        let mut command = Command::new(&self.program);
        command.env("CNI_COMMAND", verb);
        command.env("CNI_CONTAINERID", format!("task-{task}"));
        command.env("CNI_NETNS", self.netns(task));
        command.env("CNI_IFNAME", "eth0");
        command.env("CNI_PATH", CNI_FOLDER);
        call(&mut command, &self.configuration).with_context(|| format!("{} {verb} {task}", self.name))
    }
}

/// Starts a plugin with its description on standard input and waits for it. Returns what it wrote.
pub(crate) fn call(command: &mut Command, input: &Value) -> Result<Vec<u8>> {
    command.env("PATH", env::var("PATH").unwrap_or_default());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("start a plugin; scripts/setup bench installs it")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.to_string().as_bytes())?;
    }
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}
