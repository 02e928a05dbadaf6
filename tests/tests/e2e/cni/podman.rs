//! podman, with CNI for its networks.

use std::fs;
use std::process::Command;

use enid_testbed::Host;
use serde_json::json;

use super::plugin::with;
use super::runtime::{Folders, assert_pinged, enid, output, run, task_of};
use crate::kernel::assert_only_listed_tasks;
use crate::ledger::flush;
use crate::networks::{host, ipv4, ipv6};

/// podman with folders of its own.
struct Podman<'h> {
    host: &'h Host,
    folders: &'h Folders,
}

impl Podman<'_> {
    fn configure(&self) {
        let configuration = format!(
            r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[network]
network_backend = "cni"
cni_plugin_dirs = ["{plugins}"]
network_config_dir = "{lists}"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
static_dir = "{root}/static"
tmp_dir = "{root}/tmp"
volume_path = "{root}/volumes"
"#,
            plugins = self.folders.plugins.display(),
            lists = self.folders.lists.display(),
            root = self.folders.root.display(),
        );
        fs::write(self.folders.root.join("containers.conf"), configuration).unwrap();
    }

    fn command(&self) -> Command {
        let root = &self.folders.root;
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", root.join("containers.conf"));
        command.arg("--root").arg(root.join("storage")).arg("--runroot").arg(root.join("run"));
        // crun takes no cgroups of both versions, as there are on some hosts.
        command.args(["--storage-driver", "vfs", "--runtime", "runc"]);
        command
    }

    #[track_caller]
    fn start(&self, name: &str, options: &[&str]) -> String {
        let mut command = self.command();
        command
            .args(["run", "--detach", "--name", name, "--network", "vpc", "--cap-add", "NET_RAW"])
            .args(options);
        command.arg("--rootfs").arg(&self.folders.busybox).args(["/bin/busybox", "sleep", "600"]);
        run(self.host, &command).trim().to_owned()
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        output(self.host, self.command().args(["rm", "--all", "--force", "--time", "0"]));
    }
}

#[test]
fn containers_of_podman_have_enis() {
    let host = host();
    let folders = Folders::make(&host);
    let plugin = with(&enid(&host, "red/a"), "capabilities", json!({"ips": true}));
    folders.write_list("0.4.0", &plugin, &[]);
    let podman = Podman { host: &host, folders: &folders };
    podman.configure();
    let one = podman.start("one", &[]);
    let two = podman.start("two", &["--ip", "10.0.0.77"]);
    let tasks = [&one, &two].map(|id| task_of(&host, id));
    assert_eq!(ipv4(&tasks[1]).to_string(), "10.0.0.77");
    for (from, to) in [("one", &tasks[1]), ("two", &tasks[0])] {
        for address in [ipv4(to), ipv6(to)] {
            let family = if address.is_ipv4() { "-4" } else { "-6" };
            let ping =
                ["exec", from, "/bin/busybox", "ping", family, "-c", "1", "-W", "5", &address.to_string()]
                    .map(str::to_owned);
            run(&host, podman.command().args(ping));
        }
    }
    // What it has read of the result.
    let inspected = run(
        &host,
        podman.command().args([
            "inspect",
            "one",
            "--format",
            "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}} {{.MacAddress}}{{end}}",
        ]),
    );
    let mac = &tasks[0].eni.as_ref().unwrap().mac;
    assert_eq!(inspected.trim(), format!("{} {} {mac}", ipv4(&tasks[0]), ipv6(&tasks[0])));
    flush(&host);
    assert_pinged(&host, &tasks);
    run(&host, podman.command().args(["rm", "--force", "--time", "0", "one", "two"]));
    assert_eq!(host.tasks(), []);
    drop(podman);
    assert_only_listed_tasks(&host);
}
