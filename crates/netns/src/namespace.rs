//! Named network namespaces, in the form that iproute2 knows: a file that the namespace is bind-mounted on.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread;

use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_bind_recursive, mount_change};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use enid_model::NamespaceId;

use crate::NetnsError;
use crate::error::OPEN;

/// The namespace of the calling thread.
const OWN: &str = "/proc/thread-self/ns/net";

/// `NSFS_MAGIC` of the kernel's linux/magic.h: the file system that namespaces live in.
const NSFS: i64 = 0x6e73_6673;

/// An open network namespace. It stays in the kernel for as long as this, its name, or a process in it does.
#[derive(Debug)]
pub struct Namespace {
    file: File,
    id: NamespaceId,
}

impl Namespace {
    /// Makes a new namespace without a name, and runs `work` on a thread of its own inside it. It goes with the last
    /// that holds it: this value, its [name](Self::bind), a process in it, a socket that `work` opened there.
    ///
    /// It blocks until `work` is done.
    ///
    /// # Errors
    /// The caller is not root, or `work`'s own.
    pub fn create<T, E>(work: impl FnOnce() -> Result<T, E> + Send) -> Result<(Self, T), E>
    where
        T: Send,
        E: From<NetnsError> + Send,
    {
        on_thread(|| {
            // SAFETY: only the network namespace is unshared: no memory, file table or credentials that other
            // threads rely on.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
                .map_err(NetnsError::system("make a network namespace (it takes CAP_SYS_ADMIN)"))?;
            Ok((Self::own()?, work()?))
        })
    }

    /// Runs `work` on a thread of its own inside the namespace, and ends the thread: one that entered a namespace never
    /// serves another, whatever `work` does.
    ///
    /// It blocks until `work` is done.
    ///
    /// # Errors
    /// The namespace can't be entered, or `work`'s own.
    pub fn run<T, E>(&self, work: impl FnOnce() -> Result<T, E> + Send) -> Result<T, E>
    where
        T: Send,
        E: From<NetnsError> + Send,
    {
        on_thread(|| {
            move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(NetnsError::system("enter a network namespace"))?;
            work()
        })
    }

    /// Starts a thread of its own inside the namespace, which runs `work` and ends: one that entered a namespace never
    /// serves another. `work` is told whether it is inside. It does not block.
    ///
    /// # Errors
    /// There can be no more threads.
    pub fn spawn(
        self,
        name: &str,
        work: impl FnOnce(Result<(), NetnsError>) + Send + 'static,
    ) -> Result<(), NetnsError> {
        // What `work` is given to do is small.
        const STACK: usize = 256 * 1024;
        let entered = move || {
            let entered = move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(NetnsError::system("enter a network namespace"));
            // The thread itself holds the namespace now.
            drop(self);
            work(entered);
        };
        let spawned = thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(entered);
        spawned.map(drop).map_err(NetnsError::system("start a thread"))
    }

    /// Gives the namespace a name that iproute2 knows: binds it to a new file. [`unmount`] takes the name away.
    ///
    /// # Errors
    /// `path` is taken, or its folder does not exist. Then nothing is left at `path` that was not there before.
    pub fn bind(&self, path: &Path) -> Result<(), NetnsError> {
        File::create_new(path).map_err(NetnsError::file("create", path))?;
        let itself = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let bound = mount_bind(itself, path).map_err(NetnsError::file("bind a network namespace to", path));
        if bound.is_err() {
            // The error at hand says more than one from tidying up could.
            let _ = fs::remove_file(path);
        }
        bound
    }

    /// The namespace that the calling thread is in.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn own() -> Result<Self, NetnsError> {
        Self::open(Path::new(OWN))
    }

    /// Opens the namespace that is bound to `path`.
    ///
    /// # Errors
    /// There is no such file, or it is not a network namespace.
    pub fn open(path: &Path) -> Result<Self, NetnsError> {
        // Whatever else it may be is not waited for (a FIFO), nor does it become this process's terminal.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let file = file.map_err(NetnsError::file(OPEN, path))?;
        let stat = rustix::fs::fstat(&file).map_err(NetnsError::file("look at", path))?;
        let file_system = rustix::fs::fstatfs(&file).map_err(NetnsError::file("look at", path))?;
        if file_system.f_type != NSFS {
            return Err(NetnsError::NotANamespace(path.to_owned()));
        }
        // SAFETY: the request takes no argument and returns the namespace's kind, a CLONE_ flag.
        let kind = unsafe { libc::ioctl(file.as_raw_fd(), libc::NS_GET_NSTYPE) };
        if kind != libc::CLONE_NEWNET {
            return Err(NetnsError::NotANamespace(path.to_owned()));
        }
        Ok(Self { file, id: NamespaceId::new(stat.st_ino) })
    }

    /// Which namespace it is.
    pub fn id(&self) -> NamespaceId {
        self.id
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn on_thread<T, E>(work: impl FnOnce() -> Result<T, E> + Send) -> Result<T, E>
where
    T: Send,
    E: From<NetnsError> + Send,
{
    thread::scope(|scope| {
        let spawned = thread::Builder::new().name("enid-netns".to_owned()).spawn_scoped(scope, work);
        let handle = spawned.map_err(NetnsError::system("start a thread"))?;
        handle.join().unwrap_or_else(|_| {
            let source = io::Error::other("the thread panicked");
            Err(NetnsError::System { action: "work in a network namespace", source }.into())
        })
    })
}

/// Makes the folder of named namespaces as iproute2 does: a shared mount, so that a name that is removed here is
/// gone in every mount namespace, and a namespace is not kept alive by somebody's copy.
///
/// # Errors
/// The folder can't be made or mounted.
pub fn prepare_directory(directory: &Path) -> Result<(), NetnsError> {
    fs::create_dir_all(directory).map_err(NetnsError::file("create", directory))?;
    let share = || mount_change(directory, MountPropagationFlags::SHARED | MountPropagationFlags::REC);
    if share().is_ok() {
        return Ok(());
    }
    // Not a mount point yet: it becomes one by being mounted on itself.
    mount_bind_recursive(directory, directory).map_err(NetnsError::file("mount", directory))?;
    share().map_err(NetnsError::file("share the mount", directory))
}

/// Takes the name at `path` away from the namespace `own`. What is gone already is no error, and a name that somebody gave
/// to another namespace meanwhile stays theirs.
///
/// # Errors
/// The kernel refuses.
pub fn remove_name_of(path: &Path, own: NamespaceId) -> Result<(), NetnsError> {
    match Namespace::open(path) {
        Ok(there) if there.id() != own => Ok(()),
        _ => unmount(path),
    }
}

/// Takes the name away from a namespace: unmounts `path` and removes the file. What is gone already is no error.
///
/// # Errors
/// The kernel refuses.
pub fn unmount(path: &Path) -> Result<(), NetnsError> {
    match rustix::mount::unmount(path, UnmountFlags::DETACH) {
        // EINVAL: the file is there, but nothing is mounted on it.
        Ok(()) | Err(rustix::io::Errno::INVAL) => {}
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(NetnsError::file("unmount", path)(error)),
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(NetnsError::file("remove", path)(error)),
        _ => Ok(()),
    }
}
