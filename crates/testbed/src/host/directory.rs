//! The directories of a host: all in memory, and gone with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

use crate::{DEADLINE, wait_until};

/// A tmpfs of every Linux system: shm_overview(7).
const MEMORY: &str = "/dev/shm";

/// A folder in memory, with all that a daemon needs below it but for a folder of cgroups.
#[derive(Debug)]
pub(super) struct HostDirectory {
    root: TempDir,
    cgroup: PathBuf,
}

impl HostDirectory {
    pub(super) fn create(run_bytes: Option<u64>, state_bytes: Option<u64>) -> Self {
        let root = tempfile::Builder::new().prefix("enid-test-").tempdir_in(MEMORY).expect("make a folder");
        let cgroup = cgroup2().join(root.path().file_name().expect("a name"));
        let directory = Self { root, cgroup };
        for folder in [directory.run(), directory.state(), directory.netns(), directory.path().join("bpf")] {
            fs::create_dir(folder).expect("make a folder");
        }
        mount_new("bpf", &directory.path().join("bpf"), "");
        for (folder, size) in [(directory.run(), run_bytes), (directory.state(), state_bytes)] {
            if let Some(size) = size {
                mount_new("tmpfs", &folder, &format!("size={size}"));
            }
        }
        directory
    }

    pub(super) fn path(&self) -> &Path {
        self.root.path()
    }

    pub(super) fn run(&self) -> PathBuf {
        self.path().join("run")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    pub(super) fn netns(&self) -> PathBuf {
        self.path().join("netns")
    }

    pub(super) fn bpf(&self) -> PathBuf {
        self.path().join("bpf/enid")
    }

    pub(super) fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// Removes everything, as far as it goes: what a test did not expect shows elsewhere.
    pub(super) fn remove(&self) {
        while let Some(point) = mount_points().into_iter().rev().find(|point| point.starts_with(self.path()))
        {
            if unmount(&point, UnmountFlags::DETACH).is_err() {
                break;
            }
        }
        let _ = fs::remove_dir_all(self.path());
        // Commands of a test that failed may be in them still; the kernel takes a moment to end them.
        let _ = fs::write(self.cgroup.join("cgroup.kill"), "1");
        wait_until(DEADLINE, || {
            for cgroup in below(&self.cgroup).iter().rev() {
                let _ = fs::remove_dir(cgroup);
            }
            let _ = fs::remove_dir(&self.cgroup);
            !self.cgroup.exists()
        });
    }
}

/// Everything below a folder: folders of cgroups alone where it is one, since their files are the kernel's.
pub(super) fn below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    let is_cgroup = folder.join("cgroup.procs").exists();
    for entry in entries.flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder || !is_cgroup {
            found.push(entry.path());
        }
        if is_folder {
            found.extend(below(&entry.path()));
        }
    }
    found
}

fn mount_new(kind: &str, path: &Path, options: &str) {
    let options = std::ffi::CString::from_str(options).expect("no zero byte");
    mount(kind, path, kind, MountFlags::empty(), Some(options.as_c_str()))
        .unwrap_or_else(|error| panic!("can't mount a {kind} file system on {}: {error}", path.display()));
}

fn cgroup2() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("read the mounts");
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 ")).expect("a cgroup2 file system");
    line.split(' ').nth(4).expect("a mount point").into()
}

/// The mount points of this process, in the order that they were mounted in.
fn mount_points() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("read the mounts");
    mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}
