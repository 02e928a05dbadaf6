//! ENIs over real veths: the tasks' namespaces, the programs on the host ends, packet sockets.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use enid_datapath::{Count, Datapath, DatapathConfig, EniSettings, Ledgers};

use crate::host::{self, BPF, command};
use crate::policy;
use crate::records::{BOTH, Snapshot};
use crate::vpc::Nic;

/// A namespace of its own, with a thread in it.
pub(crate) struct Namespace {
    orders: mpsc::Sender<Box<dyn FnOnce() + Send>>,
    /// By which `ip` knows it.
    thread: libc::pid_t,
}

impl Namespace {
    pub(crate) fn new() -> Self {
        let (orders, work) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (tell, thread) = mpsc::channel();
        thread::spawn(move || {
            // SAFETY: no memory is shared with the kernel; this thread serves nobody else.
            let number = unsafe {
                assert_eq!(libc::unshare(libc::CLONE_NEWNET), 0);
                libc::gettid()
            };
            tell.send(number).unwrap();
            for order in work {
                order();
            }
        });
        Self { orders, thread: thread.recv().unwrap() }
    }

    /// Does something in the namespace.
    pub(crate) fn run<T: Send + 'static>(&self, order: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, answer) = mpsc::channel();
        self.orders.send(Box::new(move || tell.send(order()).unwrap())).unwrap();
        answer.recv().unwrap()
    }

    fn commands(&self, lines: &[String]) {
        let lines = lines.to_vec();
        self.run(move || lines.iter().for_each(|line| drop(command(line))));
    }
}

/// A task, and its ENI.
pub(crate) struct Task {
    pub(crate) nic: Nic,
    pub(crate) namespace: Namespace,
}

/// A VPC's router with the programs on its links, and a host beyond its uplink.
pub(crate) struct Wire {
    pub(crate) datapath: Datapath,
    pub(crate) outside: Namespace,
}

/// The addresses of the host beyond the uplink.
pub(crate) const OUTSIDE: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
/// Addresses beyond the uplink that are nobody's: what goes there is never answered.
pub(crate) const NOBODY: [&str; 2] = ["192.0.2.99", "2001:db8::99"];
const UPLINKS: [&str; 2] = ["192.0.2.2", "2001:db8::2"];
const GATEWAYS: [&str; 2] = ["10.0.0.254", "fd00:1::fe"];

/// Has later links of this namespace say nothing by themselves.
fn quiet() {
    command("sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.addr_gen_mode=1");
}

impl Wire {
    pub(crate) fn new(config: &DatapathConfig) -> Self {
        let datapath = Datapath::load(config).unwrap_or_else(|error| panic!("{error}"));
        let outside = Namespace::new();
        outside.run(quiet);
        host::forward();
        let thread = outside.thread;
        command(&format!("ip link add uplink mtu 9001 type veth peer name eth0 mtu 9001 netns {thread}"));
        command("ip link set uplink up");
        // A router asks for others' neighbours from an address of that link alone.
        command("ip address add fe80::2/64 dev uplink nodad");
        outside.commands(&[
            "ip link set eth0 up".to_owned(),
            "ip link set lo up".to_owned(),
            "ip address add fe80::3/64 dev eth0 nodad".to_owned(),
        ]);
        for (family, (block, vpc)) in [(24, "10.0.0.0/24"), (64, "fd00:1::/64")].into_iter().enumerate() {
            let (own, uplink) = (OUTSIDE[family], UPLINKS[family]);
            command(&format!("ip address add {uplink}/{block} dev uplink"));
            command(&format!("ip address add {} dev lo", GATEWAYS[family]));
            command(&format!("ip neighbour add {} lladdr 02:00:00:00:00:99 dev uplink", NOBODY[family]));
            outside.commands(&[
                format!("ip address add {own}/{block} dev eth0"),
                format!("ip route add {vpc} via {uplink}"),
            ]);
        }
        for (program, fd) in [("from_eni", datapath.from_eni()), ("to_eni", datapath.to_eni())] {
            pin_program(fd.as_raw_fd(), &format!("{BPF}/{program}"));
        }
        Self { datapath, outside }
    }

    /// A task whose ENI's groups let everything pass. It says nothing by itself, as it has no addresses.
    pub(crate) fn silent_task(&self, n: u8, mtu: u32) -> Task {
        let nic = Nic::nth(n);
        let group = policy::open(&self.datapath);
        let settings = EniSettings { mtu: mtu.try_into().unwrap(), ..nic.settings(&[group]) };
        self.datapath.open_eni(&settings).unwrap();
        let namespace = Namespace::new();
        namespace.run(quiet);
        let (number, mac, router) = (nic.number, settings.mac, crate::frame::ROUTER_MAC);
        // As the daemon makes it: both ends at once, and the programs there before it is up.
        command(&format!(
            "ip link add index {number} name eni{number} mtu {mtu} address {router} type veth \
             peer name eth0 mtu {mtu} address {mac} netns {}",
            namespace.thread
        ));
        command(&format!("tc qdisc add dev eni{number} clsact"));
        for (program, hook) in [("from_eni", "ingress"), ("to_eni", "egress")] {
            command(&format!("tc filter add dev eni{number} {hook} bpf da pinned {BPF}/{program}"));
        }
        command(&format!("ip link set eni{number} up"));
        for address in nic.addresses() {
            command(&format!("ip route add {address} dev eni{number}"));
        }
        namespace.commands(&["ip link set eth0 up".to_owned(), "ip link set lo up".to_owned()]);
        Task { nic, namespace }
    }

    /// The same with addresses and routes.
    pub(crate) fn task(&self, n: u8, mtu: u32) -> Task {
        let task = self.silent_task(n, mtu);
        let Nic { number, ipv4, ipv6, .. } = task.nic;
        command(&format!("ip address add fe80::1/64 dev eni{number} nodad"));
        let [gateway, _] = GATEWAYS;
        task.namespace.commands(&[
            format!("ip address add {ipv4}/24 dev eth0"),
            format!("ip address add {ipv6}/128 dev eth0"),
            format!("ip route add default via {gateway}"),
            "ip route add default via fe80::1 dev eth0".to_owned(),
        ]);
        task
    }

    /// The ledgers of a task's ENI, and the kernel's counters of its host end and its own, at a moment when all are at
    /// rest.
    pub(crate) fn at_rest(&self, task: &Task) -> (Ledgers, [Count; 2], [Count; 2]) {
        let host_end = format!("eni{}", task.nic.number);
        let read = || {
            let ledgers = self.datapath.ledgers(task.nic.number).unwrap();
            (ledgers, interface_counters(&host_end), task.namespace.run(|| interface_counters("eth0")))
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let before = read();
            thread::sleep(Duration::from_millis(50));
            let after = read();
            if before == after {
                return after;
            }
            assert!(Instant::now() < deadline, "traffic does not end");
        }
    }

    /// Ledger (a) is what the kernel counts, and ledger (b) is what records and buckets add up to.
    ///
    /// What the task sends is counted by both ends of its link; what reaches it, by its own end, whichever way it came.
    pub(crate) fn assert_audits(&self, task: &Task) -> Ledgers {
        let (ledgers, [received, _], [arrived, sent]) = self.at_rest(task);
        let buffers = BOTH.map(|direction| {
            let ledger = ledgers.of(direction);
            Count { packets: ledger.buffers, bytes: ledger.layer2_bytes }
        });
        assert_eq!(buffers, [received, arrived]);
        assert_eq!(received, sent);
        Snapshot::take(&self.datapath).assert_closes();
        ledgers
    }
}

fn pin_program(fd: i32, path: &str) {
    #[repr(C)]
    struct Pin {
        path: u64,
        fd: i32,
        flags: u32,
    }
    const OBJ_PIN: libc::c_int = 6;
    let path = std::ffi::CString::new(path).unwrap();
    let mut attribute = Pin { path: path.as_ptr() as u64, fd, flags: 0 };
    // SAFETY: the attribute is that of the command, the path ends with a zero.
    let pinned = unsafe { libc::syscall(libc::SYS_bpf, OBJ_PIN, &raw mut attribute, size_of::<Pin>()) };
    assert_eq!(pinned, 0, "{}", io::Error::last_os_error());
}

/// Received and sent packets and bytes of a device of this thread's namespace.
fn interface_counters(device: &str) -> [Count; 2] {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let line = table.lines().find_map(|line| line.trim().strip_prefix(&format!("{device}:"))).unwrap();
    let fields: Vec<u64> = line.split_whitespace().map(|field| field.parse().unwrap()).collect();
    [0, 8].map(|at| Count { packets: fields[at + 1], bytes: fields[at] })
}

/// `struct virtio_net_hdr`.
pub(crate) type VirtioHeader = [u8; 10];

/// A buffer of which so many bytes are linear, the rest in pages, if it is longer than one.
pub(crate) fn linear(bytes: u16) -> VirtioHeader {
    let [low, high] = bytes.to_le_bytes();
    [0, 0, low, high, 0, 0, 0, 0, 0, 0]
}

/// A TCP buffer (over IPv4: type 1, over IPv6: type 4) to be segmented.
pub(crate) fn segmented(kind: u8, ip: u16, size: u16) -> VirtioHeader {
    let mut header = [1, kind, 0, 0, 0, 0, 0, 0, 16, 0];
    let start = 14 + ip;
    header[2..4].copy_from_slice(&(start + 20).to_le_bytes());
    header[4..6].copy_from_slice(&size.to_le_bytes());
    header[6..8].copy_from_slice(&start.to_le_bytes());
    header
}

impl Task {
    /// Sends frames by a packet socket, each as it is, with what virtio says of a buffer before it.
    pub(crate) fn send(&self, buffers: Vec<(VirtioHeader, Vec<u8>)>) {
        self.namespace.run(move || {
            let socket = packet_socket();
            for (header, frame) in buffers {
                let buffer = [&header[..], &frame].concat();
                // SAFETY: the kernel reads a buffer of the size stated.
                let sent = unsafe { libc::send(socket.as_raw_fd(), buffer.as_ptr().cast(), buffer.len(), 0) };
                assert_eq!(sent, buffer.len().cast_signed(), "{}", io::Error::last_os_error());
            }
        });
    }
}

fn packet_socket() -> OwnedFd {
    const PACKET_VNET_HDR: libc::c_int = 15;
    let checked = |result: libc::c_int| {
        assert!(result >= 0, "{}", io::Error::last_os_error());
        result
    };
    // SAFETY: the calls read structures of the sizes stated; the descriptor has no other owner.
    unsafe {
        let fd = checked(libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0));
        let socket = OwnedFd::from_raw_fd(fd);
        let (on, size) = (1_i32, 4);
        checked(libc::setsockopt(fd, libc::SOL_PACKET, PACKET_VNET_HDR, (&raw const on).cast(), size));
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
        address.sll_ifindex = libc::if_nametoindex(c"eth0".as_ptr()).cast_signed();
        let size = u32::try_from(size_of_val(&address)).unwrap();
        checked(libc::bind(fd, (&raw const address).cast(), size));
        socket
    }
}
