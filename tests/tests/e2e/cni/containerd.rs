//! `ctr run --cni`.

use std::fs;
use std::process::{Child, Command, Stdio};

use enid_testbed::namespace::inside as within;
use enid_testbed::traffic::ping;
use enid_testbed::{DEADLINE, wait_until};
use serde_json::json;

use super::containerd_process::Containerd;
use super::runtime::{Folders, assert_pinged, enid, run, task_of};
use crate::kernel::assert_only_listed_tasks;
use crate::ledger::flush;
use crate::networks::{host, inside, ipv4, ipv6};

/// A container that `ctr` runs and waits for.
struct Running<'c, 'h> {
    containerd: &'c Containerd<'h>,
    id: String,
    process: Child,
}

impl<'c, 'h> Running<'c, 'h> {
    /// Starts one that sleeps. `ctr` knows no other folders than the standard ones: it gets a mount namespace in which they are
    /// the test's.
    #[track_caller]
    fn start(containerd: &'c Containerd<'h>, name: &str) -> Self {
        const SCRIPT: &str = "mount -t tmpfs none /opt && mkdir -p /opt/cni/bin && mount --bind \"$1\" /opt/cni/bin \
            && mount -t tmpfs none /etc/cni && mkdir /etc/cni/net.d && mount --bind \"$2\" /etc/cni/net.d && shift 2 && exec \"$@\"";
        let folders = containerd.folders;
        // runc and cgroups know containers of all containerds of a machine by their ids.
        let id = format!("{}-{name}", containerd.host.folder().file_name().unwrap().display());
        let mut ctr = containerd.ctr("default");
        ctr.args(["run", "--rm", "--cni", "--rootfs"]).arg(&folders.busybox).args([
            &id,
            "/bin/busybox",
            "sleep",
            "600",
        ]);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "sh", "-c", SCRIPT, "sh"]).arg(&folders.plugins).arg(&folders.lists);
        command.arg(ctr.get_program()).args(ctr.get_args());
        let log = fs::File::create(folders.root.join(&id)).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = within(containerd.host.namespace(), || command.spawn()).unwrap();
        let mut running = Self { containerd, id, process };
        // ctr asks for the network before it starts the container, which runs commands already then.
        let wanted = running.cni_id();
        let is_ready = || {
            let tags = containerd.host.tasks().into_iter().map(|task| task.tags);
            tags.into_iter().any(|tags| tags.get("cni:container-id") == Some(&wanted))
        };
        assert!(
            wait_until(DEADLINE, || running.process.try_wait().unwrap().is_some() || is_ready()),
            "{}",
            running.log()
        );
        assert!(running.process.try_wait().unwrap().is_none(), "{}", running.log());
        running
    }

    /// What the plugin knows it by.
    fn cni_id(&self) -> String {
        format!("default-{}", self.id)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.containerd.folders.root.join(&self.id)).unwrap()
    }

    /// Runs a command in it that must succeed.
    #[track_caller]
    fn exec(&self, arguments: &[&str]) -> String {
        let mut command = self.containerd.ctr("default");
        command.args(["task", "exec", "--exec-id", "test", &self.id]).args(arguments);
        run(self.containerd.host, &command)
    }

    /// Ends it, and waits until `ctr` has cleaned up after it.
    #[track_caller]
    fn stop(mut self) {
        self.containerd.kill("default", &self.id);
        self.process.wait().unwrap();
        // The container was killed, and ctr says so by its exit code; an error of CNI's it would write.
        assert!(!self.log().contains("cni"), "{}", self.log());
    }
}

impl Drop for Running<'_, '_> {
    fn drop(&mut self) {
        self.containerd.kill("default", &self.id);
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn containers_that_ctr_runs_have_enis() {
    let host = host();
    let folders = Folders::make(&host);
    let containerd = Containerd::start(&host, &folders);
    // libcni's own parser reads the result in each form; a plugin after enid's gets it, too.
    for version in ["0.3.1", "0.4.0", "1.0.0"] {
        let tuning = json!({"type": "tuning", "sysctl": {"net.core.somaxconn": "512"}});
        folders.write_list(version, &enid(&host, "red/a"), &[tuning]);
        let (one, two) = (Running::start(&containerd, "one"), Running::start(&containerd, "two"));
        let tasks = [&one, &two].map(|container| task_of(&host, &container.cni_id()));
        for (from, to) in [(&one, &tasks[1]), (&two, &tasks[0])] {
            from.exec(&["/bin/busybox", "ping", "-c", "1", "-W", "5", &ipv4(to).to_string()]);
            from.exec(&["/bin/busybox", "ping", "-6", "-c", "1", "-W", "5", &ipv6(to).to_string()]);
        }
        let addresses = one.exec(&["/bin/busybox", "ip", "addr", "show", "eth0"]);
        assert!(addresses.contains(&format!("inet {}/24", ipv4(&tasks[0]))), "{addresses}");
        assert_eq!(one.exec(&["/bin/busybox", "cat", "/proc/sys/net/core/somaxconn"]), "512\n");
        flush(&host);
        assert_pinged(&host, &tasks);
        one.stop();
        assert_eq!(host.tasks().len(), 1);
        two.stop();
        assert_eq!(host.tasks(), []);
    }
    drop(containerd);
    assert_only_listed_tasks(&host);
}

#[test]
fn a_container_and_a_task_of_the_host_managers_are_neighbours() {
    let host = host();
    let folders = Folders::make(&host);
    folders.write_list("1.0.0", &enid(&host, "red/a"), &[]);
    let peer = host.create("peer", "red/b");
    let containerd = Containerd::start(&host, &folders);
    let one = Running::start(&containerd, "one");
    assert!(ping(&inside(&peer), ipv4(&task_of(&host, &one.cni_id())), 1, 56));
    one.stop();
    assert_eq!(host.tasks(), [peer]);
}
