//! Traffic classes of real sockets: their own tag, or that of the cgroup they were made in, seen across a veth.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use enid_datapath::Direction;
use enid_model::TrafficClass;
use rustix::net::{AddressFamily, SocketType};

use crate::host::{config, eni, in_host, load};
use crate::link::{OUTSIDE, Task, Wire};
use crate::records::{BOTH, Record, Snapshot, Total};

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
        let wire = Wire::new(&config(1024));
        let task = wire.task(1, 9001);
        let cgroup = Cgroup::new();
        let (id, path) = (cgroup.id(), cgroup.0.clone());
        wire.datapath.set_class(id, task.nic.number, TrafficClass::ImagePull).unwrap();
        for address in OUTSIDE {
            let address: IpAddr = address.parse().unwrap();
            let listener = wire.outside.run(move || TcpListener::bind((address, 0)).unwrap());
            let to = listener.local_addr().unwrap();
            let script = |enter: &str| format!("{enter}exec 3<>/dev/tcp/{}/{}; cat <&3", to.ip(), to.port());
            let scripts = [script(&format!("echo $$ >{path}/cgroup.procs; ")), script("")];
            for script in scripts {
                let start = move || Command::new("bash").args(["-c", &script]).stdout(Stdio::null()).spawn();
                let mut child = task.namespace.run(start).unwrap();
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(b"an answer\n").unwrap();
                drop(stream);
                assert!(child.wait().unwrap().success());
            }
        }
        wire.assert_audits(&task);
        let records = Snapshot::take(&wire.datapath).records;
        for family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
            for direction in BOTH {
                let mut classes: Vec<_> = records
                    .iter()
                    .filter(|(record, _)| record.tuple.direction == direction)
                    .filter(|(record, _)| record.tuple.protocol == 6 && family(&record.tuple.source))
                    .map(|(_, total)| total.class)
                    .collect();
                classes.sort();
                assert_eq!(classes, [TrafficClass::Application, TrafficClass::ImagePull], "{direction:?}");
            }
        }
    });
}

/// What was counted of the flows of a task, by class.
fn classes(wire: &Wire, task: &Task, direction: Direction, protocol: u8) -> Vec<(TrafficClass, u64)> {
    let of_flow = |(record, total): (Record, Total)| {
        let is_its = record.eni == task.nic.number && record.tuple.protocol == protocol;
        (is_its && record.tuple.direction == direction).then_some((total.class, total.count.packets))
    };
    let mut classes: Vec<_> =
        Snapshot::take(&wire.datapath).records.into_iter().filter_map(of_flow).collect();
    classes.sort();
    classes
}

/// A socket as the daemon makes them: unconnected, in a task's namespace.
fn socket(task: &Task, to: SocketAddr, kind: SocketType) -> OwnedFd {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    task.namespace.run(move || rustix::net::socket(family, kind, None).unwrap())
}

#[test]
fn every_packet_of_a_tagged_socket_has_its_class_the_first_included() {
    in_host(|| {
        let wire = Wire::new(&config(1024));
        let task = wire.task(1, 9001);
        for address in OUTSIDE {
            let address: IpAddr = address.parse().unwrap();
            let listener = wire.outside.run(move || TcpListener::bind((address, 0)).unwrap());
            let to = listener.local_addr().unwrap();
            let socket = socket(&task, to, SocketType::STREAM);
            wire.datapath.set_socket_class(socket.as_fd(), task.nic.number, TrafficClass::Secrets).unwrap();
            // From a thread that is in another namespace: the socket stays where it was made.
            rustix::net::connect(&socket, &to).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            drop((accepted, socket));
            let datagrams = wire.outside.run(move || UdpSocket::bind((address, 0)).unwrap());
            let to = datagrams.local_addr().unwrap();
            let socket = self::socket(&task, to, SocketType::DGRAM);
            wire.datapath.set_socket_class(socket.as_fd(), task.nic.number, TrafficClass::Logs).unwrap();
            rustix::net::connect(&socket, &to).unwrap();
            rustix::net::send(&socket, b"a question", rustix::net::SendFlags::empty()).unwrap();
            let (_, from) = datagrams.recv_from(&mut [0; 16]).unwrap();
            datagrams.send_to(b"an answer", from).unwrap();
            rustix::net::recv(&socket, &mut [0; 16], rustix::net::RecvFlags::empty()).unwrap();
        }
        wire.assert_audits(&task);
        for direction in BOTH {
            let tcp = classes(&wire, &task, direction, 6);
            assert_eq!(tcp.len(), 2, "{tcp:?}");
            assert!(
                tcp.iter().all(|(class, packets)| *class == TrafficClass::Secrets && *packets >= 3),
                "{tcp:?}"
            );
            assert_eq!(classes(&wire, &task, direction, 17), [(TrafficClass::Logs, 1); 2]);
        }
    });
}

#[test]
fn a_sockets_own_tag_goes_before_its_cgroups_and_is_for_one_eni() {
    in_host(|| {
        let wire = Wire::new(&config(1024));
        let task = wire.task(1, 9001);
        let own = crate::class::own_cgroup();
        wire.datapath.set_class(own, task.nic.number, TrafficClass::ImagePull).unwrap();
        let to: SocketAddr = (OUTSIDE[0].parse::<IpAddr>().unwrap(), 9).into();
        for number in [task.nic.number.get(), task.nic.number.get() + 1] {
            let socket = socket(&task, to, SocketType::DGRAM);
            wire.datapath.set_socket_class(socket.as_fd(), eni(number), TrafficClass::Exec).unwrap();
            rustix::net::connect(&socket, &to).unwrap();
            rustix::net::send(&socket, b"a question", rustix::net::SendFlags::empty()).unwrap();
        }
        wire.assert_audits(&task);
        let classes: Vec<_> =
            classes(&wire, &task, Direction::Egress, 17).into_iter().map(|(class, _)| class).collect();
        assert_eq!(classes, [TrafficClass::ImagePull, TrafficClass::Exec]);
    });
}

#[test]
fn a_tag_is_for_sockets_and_goes_with_them() {
    in_host(|| {
        let datapath = load(1024);
        let file = fs::File::open("/proc/self/status").unwrap();
        assert!(datapath.set_socket_class(file.as_fd(), eni(1_000_001), TrafficClass::Exec).is_err());
        // More than any map of a fixed size would hold: what is closed leaves nothing.
        for _ in 0..20_000 {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            datapath.set_socket_class(socket.as_fd(), eni(1_000_001), TrafficClass::Exec).unwrap();
        }
    });
}
