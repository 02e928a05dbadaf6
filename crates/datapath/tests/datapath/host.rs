//! A host of its own for a test: namespaces that end with the thread that is in them.

use std::process::Command;
use std::{io, thread};

use enid_datapath::{Datapath, DatapathConfig};
use enid_model::EniNumber;

/// Where the host's BPF file system is.
pub(crate) const BPF: &str = "/sys/fs/bpf";

/// Runs a test in a thread with a network namespace and a BPF file system of its own. Nothing of them remains.
pub(crate) fn in_host<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = thread::spawn(|| {
        become_host().expect("namespaces of its own need root");
        test()
    });
    match thread.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn become_host() -> io::Result<()> {
    let checked = |result: libc::c_int| match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: no memory is shared with the kernel beyond these calls; the strings end with a zero.
    unsafe {
        checked(libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS))?;
        let recursively = libc::MS_REC | libc::MS_PRIVATE;
        checked(libc::mount(c"".as_ptr(), c"/".as_ptr(), std::ptr::null(), recursively, std::ptr::null()))?;
        let (source, target, kind) = (c"bpf".as_ptr(), c"/sys/fs/bpf".as_ptr(), c"bpf".as_ptr());
        checked(libc::mount(source, target, kind, 0, std::ptr::null()))
    }
}

/// Runs a command to its end.
pub(crate) fn command(line: &str) -> String {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    assert!(output.status.success(), "{line}: {}", text(output.stderr));
    text(output.stdout)
}

/// The number of an ENI.
pub(crate) fn eni(number: u32) -> EniNumber {
    EniNumber::try_from(number).unwrap()
}

/// Makes a device whose index is an ENI's number, as test runs look it up.
pub(crate) fn device(number: EniNumber) {
    command(&format!("ip link add index {number} name eni{number} type veth peer name eth{number}"));
}

/// Loads the data path with small maps.
pub(crate) fn load(flow_capacity: u32) -> Datapath {
    Datapath::load(&config(flow_capacity)).unwrap_or_else(|error| panic!("{error}"))
}

/// A configuration with small maps.
pub(crate) fn config(flow_capacity: u32) -> DatapathConfig {
    DatapathConfig { flow_capacity, eni_capacity: 16, ..DatapathConfig::new(format!("{BPF}/enid")) }
}
