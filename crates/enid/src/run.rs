//! Commands that the platform runs on a task's behalf: a cgroup for each task and traffic class, whose sockets' flows
//! are of that class, and the files that replace those of `/etc`.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use enid_datapath::Datapath;
use enid_model::{Carrier, Task, TrafficClass, Vpc};
use enid_netns::Namespace;

use crate::networks::NetworkState;
use crate::{EnidError, lock};

/// Where a command with a class runs: where the ENI is that carries the class.
#[derive(Debug)]
pub(crate) enum RunPlace {
    /// In the task's namespace, in a cgroup, with files of its own.
    Task { cgroup: PathBuf, etc: PathBuf },
    /// In the host's namespace, as any command of the host.
    Host { netns: PathBuf },
}

/// The cgroups and files of classed commands.
#[derive(Debug)]
pub(crate) struct Runs {
    pub(crate) datapath: Arc<Datapath>,
    pub(crate) networks: Arc<NetworkState>,
    /// The namespace that the daemon was started in, which has the platform ENI.
    pub(crate) host: Namespace,
    /// A folder in a cgroup2 file system.
    pub(crate) cgroup_directory: PathBuf,
    /// A folder under the run directory.
    pub(crate) etc_directory: PathBuf,
    /// Commands of one task may start at once: one at a time makes what they need.
    pub(crate) hand: Mutex<()>,
}

impl Runs {
    /// Makes what a command of this class needs, if it is not there. It blocks.
    pub(crate) fn prepare(&self, task: &Task, class: TrafficClass) -> Result<RunPlace, EnidError> {
        let version = task.platform_version;
        let carrier = version.carrier(class).ok_or_else(|| EnidError::NoSuchClass {
            task: task.name.clone(),
            version,
            class,
        })?;
        if carrier == Carrier::PlatformEni {
            // By the daemon's own descriptor: the namespace may have no name.
            let descriptor = self.host.as_fd().as_raw_fd();
            let netns = format!("/proc/{}/fd/{descriptor}", std::process::id()).into();
            return Ok(RunPlace::Host { netns });
        }
        let _one_at_a_time = lock(&self.hand);
        let cgroup = self.cgroup_directory.join(task.eni.id.to_string()).join(class.as_str());
        create_directory(&cgroup)?;
        // Since kernel 5.5 a cgroup's id, which the programs see, is its folder's inode.
        let id = fs::metadata(&cgroup).map_err(EnidError::file("look at", &cgroup))?.ino();
        self.datapath.set_class(id, task.eni.number, class)?;
        let etc = self.etc_directory.join(task.eni.id.to_string());
        create_directory(&etc)?;
        if let Some((vpc, _)) = self.networks.subnet_by_id(task.eni.subnet) {
            write_file(&etc.join("resolv.conf"), &resolv_conf(&vpc))?;
            write_file(&etc.join("hosts"), &hosts(task, &vpc))?;
            write_file(&etc.join("nsswitch.conf"), NSSWITCH_CONF)?;
        }
        Ok(RunPlace::Task { cgroup, etc })
    }

    /// Takes away what was made for a task. A cgroup in which a command still runs can't be: then it says so.
    pub(crate) fn remove(&self, task: &Task) -> Result<(), EnidError> {
        let etc = self.etc_directory.join(task.eni.id.to_string());
        gone(fs::remove_dir_all(&etc)).map_err(EnidError::file("remove", etc))?;
        let cgroup = self.cgroup_directory.join(task.eni.id.to_string());
        for class in TrafficClass::ALL {
            let path = cgroup.join(class.as_str());
            let Ok(metadata) = fs::metadata(&path) else { continue };
            self.datapath.remove_class(metadata.ino())?;
            gone(fs::remove_dir(&path)).map_err(EnidError::file("remove", path))?;
        }
        gone(fs::remove_dir(&cgroup)).map_err(EnidError::file("remove", cgroup))
    }
}

/// What is gone already is as good as removed.
pub(crate) fn gone(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn create_directory(path: &Path) -> Result<(), EnidError> {
    fs::create_dir_all(path).map_err(EnidError::file("create", path))
}

/// Writes a file whole: a command that starts at this moment reads the old one or the new one.
fn write_file(path: &Path, text: &str) -> Result<(), EnidError> {
    let next = path.with_extension("next");
    fs::write(&next, text).map_err(EnidError::file("write", &next))?;
    // Whatever the daemon's umask: commands run as any user.
    let readable = fs::Permissions::from_mode(0o644);
    fs::set_permissions(&next, readable).map_err(EnidError::file("change the mode of", &next))?;
    fs::rename(&next, path).map_err(EnidError::file("write", path))
}

/// Names come from the two files above and the resolvers they name, not from a daemon of the host's that asks on its
/// own interfaces (nss-resolve).
const NSSWITCH_CONF: &str = "passwd: files\ngroup: files\nhosts: files dns\n";

/// An address's private name: `ip-10-0-0-5.<domain>`.
pub(crate) fn private_name(address: Ipv4Addr, vpc: &Vpc) -> String {
    format!("ip-{}.{}", address.to_string().replace('.', "-"), vpc.domain)
}

fn resolv_conf(vpc: &Vpc) -> String {
    let mut text = String::new();
    for server in &vpc.dns_servers {
        // Writing to a String does not fail, here and below.
        let _ = writeln!(text, "nameserver {server}");
    }
    if vpc.dns_servers.is_empty() {
        text.push_str("# The VPC declares no resolvers.\n");
    }
    let _ = writeln!(text, "search {}", vpc.domain);
    text
}

/// The text of a task's hosts file.
pub(crate) fn hosts(task: &Task, vpc: &Vpc) -> String {
    let mut text = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
    let addresses = task.eni.addresses;
    if let Some(address) = addresses.ipv4 {
        let _ = writeln!(text, "{address} {} {}", private_name(address, vpc), task.name);
    }
    if let Some(address) = addresses.ipv6 {
        let _ = writeln!(text, "{address} {}", task.name);
    }
    text
}

/// The folder of enid's cgroups below the cgroup2 file system of this host.
///
/// # Errors
/// No cgroup2 file system is mounted.
pub(crate) fn find_cgroup_directory() -> Result<PathBuf, EnidError> {
    let path = "/proc/self/mountinfo";
    let mounts = fs::read_to_string(path).map_err(EnidError::file("read", path))?;
    mounts
        .lines()
        .filter(|line| line.contains(" - cgroup2 "))
        .find_map(|line| line.split(' ').nth(4))
        .map(|mount_point| Path::new(mount_point).join("enid"))
        .ok_or(EnidError::NoCgroup2)
}

/// Makes sure that a folder is in a cgroup2 file system: in another, commands would run without a class.
///
/// # Errors
/// It is not.
pub(crate) fn check_cgroup2(folder: &Path) -> Result<(), EnidError> {
    /// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
    const CGROUP2: i64 = 0x6367_7270;
    let stat =
        rustix::fs::statfs(folder).map_err(|error| EnidError::file("look at", folder)(error.into()))?;
    if stat.f_type == CGROUP2 { Ok(()) } else { Err(EnidError::NotCgroup2(folder.to_owned())) }
}

#[cfg(test)]
mod tests {
    use enid_model::{Uplink, VpcId};

    use super::*;

    #[test]
    fn names_and_resolvers_are_in_the_form_that_libc_reads() {
        let mut vpc = Vpc {
            id: VpcId::random(),
            name: "a".parse().unwrap(),
            ipv4_cidr: None,
            ipv6_cidr: None,
            uplink: Uplink::None,
            domain: "internal".parse().unwrap(),
            dns_servers: vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()],
            subnets: Vec::new(),
            security_groups: Vec::new(),
            prefix_lists: Vec::new(),
        };
        assert_eq!(resolv_conf(&vpc), "nameserver 10.0.0.2\nnameserver fd00::2\nsearch internal\n");
        assert_eq!(private_name([10, 0, 0, 5].into(), &vpc), "ip-10-0-0-5.internal");
        vpc.dns_servers.clear();
        assert!(!resolv_conf(&vpc).contains("nameserver"));
    }
}
