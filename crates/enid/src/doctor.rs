//! The doctor: what this host offers, what is missing, what is leaked.

mod path;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use enid_model::Uplink;
use enid_netns::{Inventory, NetnsError};
use enid_store::TaskRecord;
use tokio::runtime::Handle;

use crate::accounting::FlowTable;
use crate::forwarding::Choice;
use crate::kernel::{self, Version};
use crate::router::Router;
use crate::tasks::{Tasks, has_its_namespace};
use crate::way_out::WayOut;
use crate::{EnidError, uplink};

/// What the programs and the set-up need of a kernel, each with the version that brought it.
const NEEDS: [(&str, (u32, u32)); 7] = [
    ("interface indexes of choice for both ends of a veth pair", (3, 7)),
    ("classifiers in direct action on clsact", (4, 5)),
    ("a cgroup's id seen from a packet (bpf_skb_cgroup_id)", (4, 18)),
    ("alternative names of links", (5, 5)),
    ("reading maps in batches (BPF_MAP_LOOKUP_BATCH)", (5, 6)),
    ("atomic exchange in programs, and the coarse clock", (5, 12)),
    ("loops in programs (bpf_loop)", (5, 17)),
];

/// What enid is better with, each with the version that brought it.
const WISHES: [(&str, (u32, u32)); 2] = [
    ("a link whose carrier is taken notice of when asked for: a task's first packets may be lost", (6, 9)),
    (
        "buffers beyond 64 KiB over IPv4 (BIG TCP), with which a stream between ENIs takes a third of the CPU time",
        (6, 3),
    ),
];

/// `TMPFS_MAGIC` and `BPF_FS_MAGIC` of linux/magic.h.
const TMPFS: i64 = 0x0102_1994;
const BPF_FS: i64 = 0xcafe_4a11;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Ok,
    Warning,
    Failure,
}

impl Severity {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) subject: String,
    pub(crate) severity: Severity,
    pub(crate) detail: String,
}

fn finding(subject: impl Into<String>, severity: Severity, detail: impl Into<String>) -> Finding {
    Finding { subject: subject.into(), severity, detail: detail.into() }
}

/// Looks at the host for the daemon.
#[derive(Debug)]
pub(crate) struct Doctor {
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) forwarding: Choice,
    pub(crate) run_directory: PathBuf,
    pub(crate) bpf_directory: PathBuf,
    pub(crate) cgroup_directory: PathBuf,
    pub(crate) runtime: Handle,
}

impl Doctor {
    /// Everything that was looked at, the bad first. It blocks.
    pub(crate) fn examine(&self) -> Vec<Finding> {
        let mut findings = kernel(&kernel::release());
        findings.push(self.forwarding());
        findings.push(self.run_directory());
        findings.push(file_system(&self.bpf_directory, BPF_FS, "bpf", "mount -t bpf bpf /sys/fs/bpf"));
        findings.push(if self.cgroup_directory.exists() {
            finding("cgroup2", Severity::Ok, self.cgroup_directory.display().to_string())
        } else {
            finding("cgroup2", Severity::Failure, format!("{} is not there", self.cgroup_directory.display()))
        });
        findings.push(flow_table(self.tasks.accounting.flow_table()));
        findings.extend(self.nftables());
        findings.extend(self.uplinks());
        findings.extend(self.ways_out());
        findings.extend(path::segmentation(self.tasks.networks.current().vpcs(), |vpc| {
            self.tasks.segmentation.of(vpc)
        }));
        findings.extend(self.tasks());
        findings.extend(self.slots());
        findings.extend(self.leaks());
        findings.sort_by_key(|finding| match finding.severity {
            Severity::Failure => 0,
            Severity::Warning => 1,
            Severity::Ok => 2,
        });
        findings
    }

    fn forwarding(&self) -> Finding {
        let severity = if self.forwarding.is_second_best { Severity::Warning } else { Severity::Ok };
        finding("forwarding", severity, self.forwarding.why.clone())
    }

    fn run_directory(&self) -> Finding {
        let path = self.run_directory.display();
        match rustix::fs::statfs(&self.run_directory) {
            Ok(stat) if stat.f_type == TMPFS => {
                finding("run directory", Severity::Ok, format!("{path} is a tmpfs"))
            }
            Ok(_) => finding(
                "run directory",
                Severity::Warning,
                format!(
                    "{path} is on disk, so each create waits for it twice: put it on a tmpfs (--run-dir)"
                ),
            ),
            Err(error) => finding("run directory", Severity::Failure, format!("{path}: {error}")),
        }
    }

    fn nftables(&self) -> Option<Finding> {
        let current = self.tasks.networks.current();
        current.vpcs().iter().find(|vpc| vpc.uplink == Uplink::Nat)?;
        let found = Command::new("nft").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        Some(match found {
            Ok(status) if status.success() => {
                finding("nftables", Severity::Ok, "nft is there for the uplink nat")
            }
            _ => finding("nftables", Severity::Failure, "the uplink nat needs `nft`: install nftables"),
        })
    }

    /// Uplinks whose host end somebody took away.
    fn uplinks(&self) -> Vec<Finding> {
        let current = self.tasks.networks.current();
        let broken = |router: &Arc<Router>| {
            let vpc = current.vpc_by_id(router.vpc()).filter(|vpc| vpc.uplink == Uplink::Nat)?;
            let gone = uplink::is_connected(router.uplink_number()).is_ok_and(|connected| !connected);
            gone.then(|| {
                let detail = "its link on the host is gone: restart enid, which makes it anew";
                finding(format!("uplink of VPC {}", vpc.name), Severity::Failure, detail)
            })
        };
        self.tasks.routers.all().iter().filter_map(broken).collect()
    }

    /// VPCs whose ENIs send more than a way out of the host carries.
    fn ways_out(&self) -> Vec<Finding> {
        let ways = match WayOut::list(&self.runtime) {
            Ok(ways) => ways,
            Err(error) => return vec![finding("ways out", Severity::Failure, error.to_string())],
        };
        let (networks, tasks) = (self.tasks.networks.current(), self.tasks.list());
        networks.vpcs().iter().flat_map(|vpc| path::narrow_ways_out(vpc, &tasks, &ways)).collect()
    }

    fn tasks(&self) -> Vec<Finding> {
        let tasks = self.tasks.list();
        let mut links = HashMap::new();
        for router in self.tasks.routers.all() {
            links.insert(router.vpc(), self.links(&router));
        }
        let broken = |record: &TaskRecord| {
            let task = &record.task;
            if !has_its_namespace(record) {
                return Some(format!("its namespace {} is gone; delete the task", task.netns.display()));
            }
            match links.get(&task.eni.vpc) {
                None => Some("its VPC's router is gone; delete the task".to_owned()),
                Some(Err(error)) => Some(error.to_string()),
                Some(Ok(links)) if links.contains(&task.eni.number.get()) => None,
                Some(Ok(_)) => Some("its ENI's link is gone; delete the task".to_owned()),
            }
        };
        let finding_of = |record: &TaskRecord| {
            Some(finding(format!("task {}", record.task.name), Severity::Failure, broken(record)?))
        };
        let mut findings: Vec<Finding> = tasks.iter().filter_map(finding_of).collect();
        if findings.is_empty() {
            findings.push(finding(
                "tasks",
                Severity::Ok,
                format!("{} tasks, each with its ENI", tasks.len()),
            ));
        }
        findings
    }

    /// What is ready for tasks to come, where something is to be.
    fn slots(&self) -> Option<Finding> {
        let wanted = self.tasks.slots.wanted();
        if wanted == 0 {
            return None;
        }
        let ready: usize = self.tasks.slots.ready().values().sum();
        let vpcs = self.tasks.routers.all().len();
        let detail = format!("{ready} of {} are ready, in {vpcs} VPCs", wanted * vpcs);
        Some(finding("slots", Severity::Ok, detail))
    }

    fn links(&self, router: &Router) -> Result<HashSet<u32>, NetnsError> {
        let links = Inventory::list(router.namespace(), &self.runtime)?;
        Ok(links.into_iter().map(|link| link.index).collect())
    }

    /// Host ends without a task. What was deleted a moment ago is not leaked: the reaper is at it.
    fn leaks(&self) -> Vec<Finding> {
        let mut leaked = Vec::new();
        for router in self.tasks.routers.all() {
            let Ok(links) = self.links(&router) else { continue };
            let enis = links.into_iter().filter(|index| *index >= enid_model::EniNumber::MIN.get());
            leaked.extend(enis.filter(|index| !self.tasks.is_known(*index)));
        }
        if leaked.is_empty() {
            return vec![finding("leaks", Severity::Ok, "no ENI without a task")];
        }
        let detail = format!("links of no task: {leaked:?}; `enid purge` takes everything away");
        vec![finding("leaks", Severity::Warning, detail)]
    }
}

/// New flows beyond the table are policed and counted, and are in no record.
fn flow_table(table: Result<FlowTable, EnidError>) -> Finding {
    let (entries, capacity) = match table {
        Ok(FlowTable { entries, capacity }) => (entries, u64::from(capacity)),
        Err(error) => return finding("flow table", Severity::Failure, error.to_string()),
    };
    let in_use = format!("{entries} of {capacity} entries in use");
    if entries < capacity - capacity / 10 {
        return finding("flow table", Severity::Ok, in_use);
    }
    let remedy = "new flows will be in no record; raise `capacity` under [flow_table] once no task is left";
    finding("flow table", Severity::Warning, format!("{in_use}: {remedy}"))
}

fn kernel(release: &str) -> Vec<Finding> {
    let Some(Version(major, minor)) = Version::of(release) else {
        let detail = format!("{release} is not a version that can be read");
        return vec![finding("kernel", Severity::Warning, detail)];
    };
    let version = (major, minor);
    let missing = |features: &[(&str, (u32, u32))], severity| {
        let missing = features.iter().filter(|(_, since)| version < *since);
        let finding = |(feature, (major, minor)): &(&str, (u32, u32))| {
            finding("kernel", severity, format!("{release} lacks {feature}: {major}.{minor} brings it"))
        };
        missing.map(finding).collect::<Vec<_>>()
    };
    let mut findings = missing(&NEEDS, Severity::Failure);
    findings.extend(missing(&WISHES, Severity::Warning));
    if findings.is_empty() {
        findings.push(finding("kernel", Severity::Ok, format!("{release} has what is needed")));
    }
    findings.push(if Path::new("/sys/kernel/btf/vmlinux").exists() {
        finding("BTF", Severity::Ok, "/sys/kernel/btf/vmlinux")
    } else {
        finding(
            "BTF",
            Severity::Warning,
            "the kernel has no type information (CONFIG_DEBUG_INFO_BTF, 5.2): programs load without",
        )
    });
    findings
}

/// What this kernel lacks, a sentence each: said before the daemon tries to start on it.
pub(crate) fn missing_features() -> Vec<String> {
    let findings = kernel(&kernel::release()).into_iter();
    findings.filter(|finding| finding.severity == Severity::Failure).map(|finding| finding.detail).collect()
}

fn file_system(path: &Path, magic: i64, kind: &str, remedy: &str) -> Finding {
    match fs::metadata(path).and_then(|_| Ok(rustix::fs::statfs(path)?)) {
        Ok(stat) if stat.f_type == magic => finding(kind, Severity::Ok, path.display().to_string()),
        Ok(_) => finding(
            kind,
            Severity::Failure,
            format!("{} is not in a {kind} file system: {remedy}", path.display()),
        ),
        Err(error) => finding(kind, Severity::Failure, format!("{}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_table_is_said_to_be_full_before_it_is() {
        let severity = |entries| flow_table(Ok(FlowTable { entries, capacity: 1_000 })).severity;
        assert_eq!(
            [0, 899, 900, 1_000].map(severity),
            [Severity::Ok, Severity::Ok, Severity::Warning, Severity::Warning]
        );
    }

    #[test]
    fn each_missing_feature_is_named_with_its_version() {
        assert!(kernel("6.18.44-fc").iter().all(|finding| finding.severity != Severity::Failure));
        let old: Vec<String> = kernel("5.4.0-1-amd64")
            .into_iter()
            .filter(|finding| finding.severity == Severity::Failure)
            .map(|finding| finding.detail)
            .collect();
        assert_eq!(old.len(), 4, "{old:?}");
        assert!(old[1].ends_with("reading maps in batches (BPF_MAP_LOOKUP_BATCH): 5.6 brings it"), "{old:?}");
        assert_eq!(kernel("strange")[0].severity, Severity::Warning);
    }
}
