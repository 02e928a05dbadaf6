//! Becoming a command inside a task.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use enid_api::v1::PrepareRunResponse;
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// Which step failed; after it the process is of no use but to say so.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnterError {
    /// The cgroup that tags the flows could not be joined.
    #[error("the cgroup {cgroup} can't be joined: {source}{}", root_hint(source))]
    Cgroup {
        /// The cgroup's folder.
        cgroup: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The task's network namespace could not be entered.
    #[error("the network namespace {netns} can't be entered: {source}{}", root_hint(source))]
    Netns {
        /// The namespace's path.
        netns: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// No mount namespace of its own could be made for the command.
    #[error("a mount namespace can't be made: {source}{}", root_hint(source))]
    MountNamespace {
        /// What the kernel said.
        source: io::Error,
    },
    /// A file of the task could not be put over the host's.
    #[error("{} can't be put in place of {}: {source}", file.display(), target.display())]
    Etc {
        /// The task's file or folder.
        file: PathBuf,
        /// The host's file.
        target: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The command could not be executed.
    #[error("{} can't be run: {source}", command.display())]
    Execute {
        /// The command's name.
        command: OsString,
        /// What the kernel said.
        source: io::Error,
    },
}

fn root_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => "; `enictl run` needs root",
        _ => "",
    }
}

impl EnterError {
    /// As shells have it (POSIX, Exit Status for Commands): 127 for a command that is not found, 126 for one that
    /// can't be executed; 1 for everything before.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Execute { source, .. } if source.kind() == io::ErrorKind::NotFound => ExitCode::from(127),
            Self::Execute { .. } => ExitCode::from(126),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Moves this process, which must have one thread, into the task and replaces it by the command. Returns only the
/// error.
///
/// The mounts below /sys stay the host's. `ip netns exec` mounts the namespace's own sysfs there, so that
/// /sys/class/net lists its interfaces, but that hides what is mounted below: cgroup and bpffs, which container tools
/// need and which commands are more likely to look for. Interfaces are also in netlink and /proc/net, which show the
/// task's.
pub(super) fn enter_and_become(place: &PrepareRunResponse, command: &[OsString]) -> EnterError {
    match enter(place) {
        Ok(()) => become_command(command),
        Err(error) => error,
    }
}

fn enter(place: &PrepareRunResponse) -> Result<(), EnterError> {
    // First the cgroup: what the process is in when it opens a socket decides the flow's class.
    if let Some(cgroup) = &place.cgroup {
        join_cgroup(cgroup).map_err(|source| EnterError::Cgroup { cgroup: cgroup.clone(), source })?;
    }
    enter_netns(&place.netns).map_err(|source| EnterError::Netns { netns: place.netns.clone(), source })?;
    let Some(etc) = &place.etc else { return Ok(()) };
    own_mount_namespace().map_err(|source| EnterError::MountNamespace { source })?;
    replace_etc(Path::new(etc), Path::new("/etc"))
}

fn join_cgroup(cgroup: &str) -> io::Result<()> {
    // 0 is the writer, whichever pid namespace the two sides count in (cgroup_attach in the kernel's cgroup.c).
    // Not made if it is not there: then this is no cgroup.
    OpenOptions::new().write(true).open(Path::new(cgroup).join("cgroup.procs"))?.write_all(b"0")
}

fn enter_netns(netns: &str) -> io::Result<()> {
    let netns = File::open(netns)?;
    Ok(move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?)
}

fn own_mount_namespace() -> io::Result<()> {
    // SAFETY: NEWNS leaves the table of file descriptors alone; only FILES would unshare it.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    // What the host mounts later is still seen; what is mounted here stays here.
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    Ok(mount_change("/", flags)?)
}

/// Puts each file of `etc` over the file of the same name in `host`. One that the host does not have is left out, as
/// `ip netns exec` does: there is nothing to mount over.
fn replace_etc(etc: &Path, host: &Path) -> Result<(), EnterError> {
    let failed = |file: &Path, target: &Path, source| EnterError::Etc {
        file: file.to_owned(),
        target: target.to_owned(),
        source,
    };
    let entries = fs::read_dir(etc).map_err(|source| failed(etc, host, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| failed(etc, host, source))?;
        let file = entry.path();
        let target = host.join(entry.file_name());
        // mount(2) follows links, so a resolv.conf that is one has its target covered; a dangling one is left out.
        match mount_bind(&file, &target).map_err(io::Error::from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(|source| failed(&file, &target, source))?,
        }
    }
    Ok(())
}

/// As execvp(3). The standard library gives SIGPIPE its default back, which Rust's start-up took, and leaves the
/// signal mask as it was inherited.
fn become_command(command: &[OsString]) -> EnterError {
    // The command line guarantees a first word.
    let (name, arguments) = command
        .split_first()
        .map_or((OsStr::new(""), &[][..]), |(name, arguments)| (name.as_os_str(), arguments));
    EnterError::Execute { source: Command::new(name).args(arguments).exec(), command: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_code(kind: io::ErrorKind) -> String {
        let error = EnterError::Execute { command: "x".into(), source: kind.into() };
        format!("{:?}", error.exit_code())
    }

    #[test]
    fn exit_codes_are_the_shells() {
        let code = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(exit_code(io::ErrorKind::NotFound), code(127));
        assert_eq!(exit_code(io::ErrorKind::PermissionDenied), code(126));
        let before = EnterError::MountNamespace { source: io::ErrorKind::PermissionDenied.into() };
        assert_eq!(format!("{:?}", before.exit_code()), code(1));
        assert!(before.to_string().ends_with("`enictl run` needs root"));
    }
}
