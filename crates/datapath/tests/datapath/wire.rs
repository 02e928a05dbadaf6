//! Over a real veth, by packet sockets and the kernel's own stack: what test runs can't show.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use enid_datapath::{Bucket, Count, Direction, Ledgers};
use enid_model::TrafficClass;

use crate::case::{Fixture, count};
use crate::frame::{ACK, ETHERNET, Ipv4, Ipv6, SYN, ethernet, fragment, options, tcp, udp};
use crate::host::{BPF, command, eni, in_host, load};

/// A task: a thread in a network namespace of its own, with the task end of an ENI's veth.
struct Task {
    orders: mpsc::Sender<Box<dyn FnOnce() + Send>>,
}

impl Task {
    /// Makes the namespace; the answer is also the number by which `ip` knows it.
    fn new() -> (Self, libc::pid_t) {
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
        (Self { orders }, thread.recv().unwrap())
    }

    /// Does something in the namespace.
    fn run<T: Send + 'static>(&self, order: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, answer) = mpsc::channel();
        self.orders.send(Box::new(move || tell.send(order()).unwrap())).unwrap();
        answer.recv().unwrap()
    }
}

struct Wire {
    fixture: Fixture,
    task: Task,
}

impl Wire {
    /// A veth with the programs on its host end, as the daemon makes them.
    fn new(addresses: bool) -> Self {
        let (task, namespace) = Task::new();
        let fixture = Fixture { datapath: load(1024), eni: eni(1_000_001) };
        fixture.datapath.open_eni(&crate::host::settings(fixture.eni, &[])).unwrap();
        let quiet =
            || command("sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.addr_gen_mode=1");
        quiet();
        task.run(quiet);
        command(&format!(
            "ip link add index {} name host mtu 9001 type veth peer name eth0 mtu 9001 netns {namespace}",
            fixture.eni
        ));
        for (program, hook) in [("from_eni", "ingress"), ("to_eni", "egress")] {
            let pin = format!("{BPF}/{program}");
            let fd = match hook {
                "ingress" => fixture.datapath.from_eni(),
                _ => fixture.datapath.to_eni(),
            };
            pin_program(fd.as_raw_fd(), &pin);
            if hook == "ingress" {
                command("tc qdisc add dev host clsact");
            }
            command(&format!("tc filter add dev host {hook} bpf da pinned {pin}"));
        }
        if addresses {
            command("ip address add 10.9.0.1/24 dev host");
            command("ip address add fd09::1/64 dev host nodad");
            task.run(|| {
                command("ip address add 10.9.0.5/24 dev eth0");
                command("ip address add fd09::5/64 dev eth0 nodad");
            });
        }
        command("ip link set host up");
        task.run(|| drop(command("ip link set eth0 up")));
        Self { fixture, task }
    }

    /// Sends frames from the task by a packet socket, each as it is, with what virtio says of a buffer before it.
    fn send(&self, buffers: Vec<(VirtioHeader, Vec<u8>)>) {
        self.task.run(move || {
            let socket = packet_socket();
            for (header, frame) in buffers {
                let buffer = [&header[..], &frame].concat();
                // SAFETY: the kernel reads a buffer of the size stated.
                let sent = unsafe { libc::send(socket.as_raw_fd(), buffer.as_ptr().cast(), buffer.len(), 0) };
                assert_eq!(sent, buffer.len().cast_signed(), "{}", io::Error::last_os_error());
            }
        });
    }

    /// The ledgers, and the kernel's counters of the host end, at a moment when both are at rest.
    fn at_rest(&self) -> (Ledgers, [Count; 2]) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let before = (self.fixture.ledgers(), interface_counters("host"));
            thread::sleep(Duration::from_millis(50));
            let after = (self.fixture.ledgers(), interface_counters("host"));
            if before == after {
                return after;
            }
            assert!(Instant::now() < deadline, "traffic does not end");
        }
    }

    /// Ledger (a) is what the kernel counts, and ledger (b) is what flows and buckets add up to.
    fn assert_audits(&self) -> Ledgers {
        let (ledgers, [received, sent]) = self.at_rest();
        let buffers = |direction| {
            let ledger: &enid_abi::Ledger = ledgers.of(direction);
            Count { packets: ledger.buffers, bytes: ledger.layer2_bytes }
        };
        assert_eq!(buffers(Direction::Egress), received);
        assert_eq!(buffers(Direction::Ingress), sent);
        self.fixture.assert_closes();
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
type VirtioHeader = [u8; 10];

/// A buffer of which so many bytes are linear, the rest in pages, if it is longer than one.
fn linear(bytes: u16) -> VirtioHeader {
    let [low, high] = bytes.to_le_bytes();
    [0, 0, low, high, 0, 0, 0, 0, 0, 0]
}

/// A TCP buffer (over IPv4: type 1, over IPv6: type 4) to be segmented.
fn segmented(kind: u8, ip: u16, size: u16) -> VirtioHeader {
    let mut header = [1, kind, 0, 0, 0, 0, 0, 0, 16, 0];
    let start = 14 + ip;
    header[2..4].copy_from_slice(&(start + 20).to_le_bytes());
    header[4..6].copy_from_slice(&size.to_le_bytes());
    header[6..8].copy_from_slice(&start.to_le_bytes());
    header
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

#[test]
fn short_frames_are_malformed() {
    in_host(|| {
        let wire = Wire::new(false);
        let mut sent = Count::default();
        let mut frames = Vec::new();
        for (ether_type, header) in [(0x0800, 20), (0x86dd, 40)] {
            for length in 1..header {
                let packet = if ether_type == 0x0800 { [0x45; 40] } else { [0x60; 40] };
                frames.push((linear(0), ethernet(ether_type, &packet[..length])));
                sent.add(Count { packets: 1, bytes: length as u64 });
            }
        }
        wire.send(frames);
        let ledgers = wire.assert_audits();
        assert_eq!(ledgers.egress.bucket(Bucket::Malformed), sent);
        assert_eq!(ledgers.egress.wire, sent);
    });
}

/// The kernel takes the tag off before any tc program runs, so its 4 bytes are in the interface's counter alone. Nor
/// can a program tell such a frame from one whose tag never was in it (by VLAN offload), which has no such difference.
#[test]
fn tagged_frames_are_not_ip() {
    in_host(|| {
        const TAG: u64 = 4;
        let wire = Wire::new(false);
        let inner = &Ipv4::default().frame(&tcp(1, 2, SYN, 60))[12..];
        let tagged = ethernet(0x8100, &[&[0, 7], inner].concat());
        let length = tagged.len() as u64;
        wire.send(vec![(linear(0), tagged)]);
        let (ledgers, [received, _]) = wire.at_rest();
        assert_eq!(received, Count { packets: 1, bytes: length });
        let (packets, bytes) = (1, length - TAG - ETHERNET as u64);
        assert_eq!((ledgers.egress.buffers, ledgers.egress.layer2_bytes), (packets, length - TAG));
        assert_eq!(ledgers.egress.bucket(Bucket::NotIp), Count { packets, bytes });
        wire.fixture.assert_closes();
    });
}

#[test]
fn headers_outside_of_the_linear_part_are_read() {
    in_host(|| {
        let wire = Wire::new(false);
        let payload = 5000;
        let ipv4 = Ipv4::default().frame(&tcp(1, 2, SYN, payload));
        let ipv6 = Ipv6 {
            extensions: vec![(0, options(8)), (44, fragment(0, false)), (60, options(64))],
            protocol: 17,
            ..Ipv6::default()
        };
        let ipv6 = ipv6.frame(&udp(3, 4, payload));
        let mut frames = Vec::new();
        for bytes in [14, 15, 34, 40, 53, 54, 70] {
            frames.push((linear(bytes), ipv4.clone()));
            frames.push((linear(bytes), ipv6.clone()));
        }
        let times = frames.len() as u64 / 2;
        wire.send(frames);
        let ledgers = wire.assert_audits();
        assert_eq!(ledgers.egress.buckets_total(), Count::default());
        let flows = wire.fixture.flows();
        assert_eq!(flows.len(), 2);
        for flow in flows.values() {
            let (ports, frame) = if flow.source.is_ipv4() { ((1, 2), &ipv4) } else { ((3, 4), &ipv6) };
            assert_eq!((flow.source_port, flow.destination_port), ports);
            let bytes = times * (frame.len() - ETHERNET) as u64;
            assert_eq!(count(flow), Count { packets: times, bytes });
        }
    });
}

#[test]
fn a_virtual_machines_segments_count_as_packets() {
    in_host(|| {
        let wire = Wire::new(false);
        let ipv4 = Ipv4::default().frame(&tcp(1, 2, ACK, 30_000));
        let ipv6 = Ipv6::default().frame(&tcp(1, 2, ACK, 30_000));
        wire.send(vec![(segmented(1, 20, 1448), ipv4), (segmented(4, 40, 1428), ipv6)]);
        wire.assert_audits();
        let flows = wire.fixture.flows();
        assert_eq!(flows.len(), 2);
        for flow in flows.values() {
            let (packets, headers) = if flow.source.is_ipv4() { (21, 40) } else { (22, 60) };
            let bytes = 30_000 + packets * headers;
            assert_eq!(count(flow), Count { packets, bytes });
        }
    });
}

/// Sends so many bytes from the task to the host and as many back; the answer is when all have arrived.
fn transfer(wire: &Wire, host: IpAddr, bytes: usize) {
    let listener = TcpListener::bind((host, 0)).unwrap();
    let to: SocketAddr = listener.local_addr().unwrap();
    let host = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut received = vec![0; bytes];
        stream.read_exact(&mut received).unwrap();
        stream.write_all(&received).unwrap();
    });
    wire.task.run(move || {
        let mut stream = TcpStream::connect(to).unwrap();
        let mut data = vec![7; bytes];
        stream.write_all(&data).unwrap();
        stream.read_exact(&mut data).unwrap();
    });
    host.join().unwrap();
}

#[test]
fn tcp_with_offloads_audits_and_counts_what_is_on_the_wire() {
    in_host(|| {
        const BYTES: usize = 8 << 20;
        for mtu in [9001, 1500] {
            let wire = Wire::new(true);
            command(&format!("ip link set host mtu {mtu}"));
            wire.task.run(move || drop(command(&format!("ip link set eth0 mtu {mtu}"))));
            for host in ["10.9.0.1", "fd09::1"] {
                transfer(&wire, host.parse().unwrap(), BYTES);
            }
            let ledgers = wire.assert_audits();
            let flows = wire.fixture.flows();
            assert_eq!(flows.len(), 4);
            for flow in flows.values() {
                let ip = if flow.source.is_ipv4() { 20 } else { 40 };
                let Count { packets, bytes } = count(flow);
                // Each packet has an IP header and a TCP header with timestamps, so what is left is the data.
                let data = bytes - packets * (ip + 32);
                let wanted = BYTES as u64;
                // And what was sent again, which on a busy machine is some of it: the ledgers above are the exact check.
                assert!((wanted..wanted + wanted / 4).contains(&data), "{flow:?}");
                assert!(packets >= wanted.div_ceil(mtu - ip - 32), "{flow:?}");
            }
            let wire = ledgers.wire();
            assert!(
                wire.packets > 2 * (ledgers.egress.buffers + ledgers.ingress.buffers),
                "buffers were segmented"
            );
            assert!(
                ledgers.egress.bucket(Bucket::Arp).packets + ledgers.ingress.bucket(Bucket::Arp).packets >= 2
            );
            drop_device();
        }
    });
}

/// Makes room for another.
fn drop_device() {
    command("ip link delete host");
    enid_datapath::Datapath::unpin(format!("{BPF}/enid").as_ref()).unwrap();
    for program in ["from_eni", "to_eni"] {
        fs::remove_file(format!("{BPF}/{program}")).unwrap();
    }
}

/// A cgroup of its own (version 2), removed at the end.
struct Cgroup(String);

impl Cgroup {
    fn new() -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mount = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|fields| fields[2] == "cgroup2")
            .expect("cgroup version 2 is mounted");
        let path = format!("{}/enid-datapath-test-{}", mount[1], std::process::id());
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn id(&self) -> u64 {
        fs::metadata(&self.0).unwrap().ino()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).unwrap();
    }
}

#[test]
fn a_process_in_a_tagged_cgroup_gives_its_connections_the_class() {
    in_host(|| {
        let wire = Wire::new(true);
        let cgroup = Cgroup::new();
        let (id, path) = (cgroup.id(), cgroup.0.clone());
        wire.fixture.datapath.set_class(id, wire.fixture.eni, TrafficClass::ImagePull).unwrap();
        let listeners = ["10.9.0.1", "fd09::1"].map(|host| TcpListener::bind((host, 0)).unwrap());
        for listener in &listeners {
            let to = listener.local_addr().unwrap();
            let script = |enter: &str| format!("{enter}exec 3<>/dev/tcp/{}/{}; cat <&3", to.ip(), to.port());
            let scripts = [script(&format!("echo $$ >{path}/cgroup.procs; ")), script("")];
            for script in scripts {
                let start = move || Command::new("bash").args(["-c", &script]).stdout(Stdio::null()).spawn();
                let mut child = wire.task.run(start).unwrap();
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(b"an answer\n").unwrap();
                drop(stream);
                assert!(child.wait().unwrap().success());
            }
        }
        wire.assert_audits();
        let flows = wire.fixture.flows();
        for family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
            for direction in [Direction::Egress, Direction::Ingress] {
                let mut classes: Vec<_> = flows
                    .values()
                    .filter(|flow| flow.direction == direction && family(&flow.source))
                    .map(|flow| flow.class)
                    .collect();
                classes.sort();
                assert_eq!(classes, [TrafficClass::Application, TrafficClass::ImagePull], "{direction:?}");
            }
        }
    });
}
