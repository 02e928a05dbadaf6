//! A host of its own for a test: namespaces that end with the thread that is in them.

use std::process::Command;
use std::{fs, io, thread};

use enid_datapath::{Datapath, DatapathConfig, EniSettings};
use enid_model::{EniNumber, Mtu, SecurityGroupId};

use crate::frame::{self, Ipv4, Ipv6};

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

/// What the programs are told of the ENI that frames are from by default.
pub(crate) fn settings(number: EniNumber, groups: &[SecurityGroupId]) -> EniSettings {
    EniSettings {
        ipv4: Some(Ipv4::default().source),
        ipv6: Some(Ipv6::default().source),
        groups: groups.to_vec(),
        ..EniSettings::new(number, frame::MAC.parse().unwrap(), Mtu::JUMBO)
    }
}

/// Routes to everywhere, by a device that is nobody's ENI.
pub(crate) fn routes() {
    forward();
    command("ip link add uplink type veth peer name outside");
    command("ip link set outside up");
    command("ip link set uplink up");
    command("ip route add default dev uplink");
    command("ip -6 route add default dev uplink");
}

/// Makes the namespace a router, as the daemon does.
pub(crate) fn forward() {
    for (parameter, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv4/conf/default/proxy_arp", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv6/conf/default/addr_gen_mode", "1"),
        ("ipv6/conf/default/accept_dad", "0"),
    ] {
        fs::write(format!("/proc/sys/net/{parameter}"), value).unwrap();
    }
    command("ip link set lo up");
}

/// Makes a device whose index is an ENI's number, as test runs look it up.
pub(crate) fn device(number: EniNumber) {
    let mac = frame::ROUTER_MAC;
    command(&format!(
        "ip link add index {number} name eni{number} address {mac} type veth peer name eth{number}"
    ));
    command(&format!("ip link set eth{number} up"));
    command(&format!("ip link set eni{number} up"));
}

/// Loads the data path with small maps.
pub(crate) fn load(flow_capacity: u32) -> Datapath {
    Datapath::load(&config(flow_capacity)).unwrap_or_else(|error| panic!("{error}"))
}

/// A configuration with small maps.
pub(crate) fn config(flow_capacity: u32) -> DatapathConfig {
    DatapathConfig { flow_capacity, eni_capacity: 16, ..DatapathConfig::new(format!("{BPF}/enid")) }
}
