//! Two namespaces with a router between them, and nothing else: where time goes between a bare veth and a whole data plane.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::host::{folder, run};
use crate::subject::{Kind, Subject, addressed, empty};
use crate::traffic::{Pair, inside};

/// How the router forwards.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The kernel routes.
    Kernel,
    /// bpf_redirect_peer, without looking at the packet.
    Redirect,
    /// The same, after 12 bytes of MAC addresses were written.
    RedirectMac,
}

/// The router's MAC on both sides; and those of the two ends.
const ROUTER: &str = "02:00:00:00:00:fe";
const ENDS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

/// Connects two namespaces by way of a third.
pub(crate) fn routed(work: &Path, name: &'static str, way: Way, kind: Kind) -> Result<Subject> {
    let folder = folder(work, &format!("{name}-{}", kind.mtu))?;
    let router = empty(&folder.join("router"))?;
    let mut ends = Vec::new();
    for (side, mac) in ENDS.iter().enumerate() {
        let path = folder.join(side.to_string());
        let end = empty(&path)?;
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        let (mtu, path) = (kind.mtu, path.display());
        inside(&router, || {
            run(&format!(
                "ip link add host{side} index {} address {ROUTER} mtu {mtu} type veth \
                 peer name eth0 address {mac} mtu {mtu} netns {path}",
                index(side)
            ))?;
            run(&format!("ip link set host{side} up"))
        })?;
        let end = addressed(end, &format!("10.6.{side}.1/32"), &format!("fd06::{side}:1/128"), kind)?;
        inside(&end.namespace, || {
            run(&format!("ip neigh add 169.254.1.1 lladdr {ROUTER} dev eth0"))?;
            run(&format!("ip neigh add fe80::1 lladdr {ROUTER} dev eth0"))?;
            run("ip route add default via 169.254.1.1 dev eth0 onlink")?;
            run("ip route add default via fe80::1 dev eth0")
        })?;
        inside(&router, || {
            run(&format!("ip route add 10.6.{side}.1/32 dev host{side}"))?;
            run(&format!("ip route add fd06::{side}:1/128 dev host{side}"))?;
            run(&format!("ip neigh add 10.6.{side}.1 lladdr {mac} dev host{side}"))?;
            run(&format!("ip neigh add fd06::{side}:1 lladdr {mac} dev host{side}"))
        })?;
        ends.push(end);
    }
    inside(&router, || {
        run("sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")?;
        for (side, other) in [(0, 1), (1, 0)] {
            if way == Way::Kernel {
                break;
            }
            let mac = (way == Way::RedirectMac).then(|| ENDS[other]);
            let program = load(&redirect(index(other), mac))?;
            let pin = work.join(format!("bpf/{name}-{}-{side}", kind.mtu));
            pin_at(&program, &pin)?;
            run(&format!("tc qdisc add dev host{side} clsact"))?;
            run(&format!(
                "tc filter add dev host{side} ingress bpf direct-action object-pinned {}",
                pin.display()
            ))?;
        }
        Ok(())
    })?;
    let server = ends.pop().context("two ends")?;
    let client = ends.pop().context("two ends")?;
    Ok(Subject { name, pair: Pair { client, server }, _host: Some(router) })
}

fn index(side: usize) -> u32 {
    if side == 0 { 1_000 } else { 1_001 }
}

/// One instruction: `struct bpf_insn` of linux/bpf.h.
fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[0] = code;
    bytes[1] = registers;
    bytes[2..4].copy_from_slice(&offset.to_ne_bytes());
    bytes[4..].copy_from_slice(&immediate.to_ne_bytes());
    bytes
}

/// A program that sends everything to the peer of an interface, with other MAC addresses if there are any.
fn redirect(index: u32, mac: Option<[u8; 6]>) -> Vec<[u8; 8]> {
    const MOVE_IMMEDIATE: u8 = 0xb7;
    const MOVE: u8 = 0xbf;
    const ADD_IMMEDIATE: u8 = 0x07;
    const STORE_WORD: u8 = 0x62;
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;
    let mut program = Vec::new();
    if let Some([a, b, c, d, e, f]) = mac {
        // On the stack: the destination, and the router as the source. r1 is the packet already.
        let words = [[a, b, c, d], [e, f, 0x02, 0], [0, 0, 0, 0xfe]];
        for (offset, word) in [-16, -12, -8].into_iter().zip(words) {
            program.push(instruction(STORE_WORD, 0x0a, offset, i32::from_ne_bytes(word)));
        }
        program.push(instruction(MOVE_IMMEDIATE, 0x02, 0, 0));
        program.push(instruction(MOVE, 0xa3, 0, 0));
        program.push(instruction(ADD_IMMEDIATE, 0x03, 0, -16));
        program.push(instruction(MOVE_IMMEDIATE, 0x04, 0, 12));
        program.push(instruction(MOVE_IMMEDIATE, 0x05, 0, 0));
        // bpf_skb_store_bytes
        program.push(instruction(CALL, 0, 0, 9));
    }
    program.push(instruction(MOVE_IMMEDIATE, 0x01, 0, index.cast_signed()));
    program.push(instruction(MOVE_IMMEDIATE, 0x02, 0, 0));
    // bpf_redirect_peer
    program.push(instruction(CALL, 0, 0, 155));
    program.push(instruction(EXIT, 0, 0, 0));
    program
}

/// The begin of `union bpf_attr` for BPF_PROG_LOAD.
#[repr(C)]
#[derive(Default)]
struct Load {
    program_type: u32,
    count: u32,
    instructions: u64,
    licence: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// The begin of `union bpf_attr` for BPF_OBJ_PIN.
#[repr(C)]
struct Pin {
    path: u64,
    descriptor: u32,
    flags: u32,
}

fn load(program: &[[u8; 8]]) -> Result<OwnedFd> {
    const PROGRAM_LOAD: i32 = 5;
    const SCHED_CLS: u32 = 3;
    let attributes = Load {
        program_type: SCHED_CLS,
        count: u32::try_from(program.len())?,
        instructions: program.as_ptr() as u64,
        licence: c"GPL".as_ptr() as u64,
        ..Load::default()
    };
    let descriptor = bpf(PROGRAM_LOAD, &attributes).context("load a program")?;
    // SAFETY: the kernel has just given it to us, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn pin_at(program: &OwnedFd, path: &Path) -> Result<()> {
    const OBJECT_PIN: i32 = 6;
    let path = CString::new(path.as_os_str().as_encoded_bytes())?;
    let descriptor = u32::try_from(program.as_raw_fd())?;
    bpf(OBJECT_PIN, &Pin { path: path.as_ptr() as u64, descriptor, flags: 0 }).context("pin a program")?;
    Ok(())
}

fn bpf<T>(command: i32, attributes: &T) -> io::Result<i32> {
    // SAFETY: the attributes are as long as said, and what they point to outlives the call, as their owner is borrowed
    // by the caller.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(i32::try_from(result).unwrap_or(-1)) }
}
