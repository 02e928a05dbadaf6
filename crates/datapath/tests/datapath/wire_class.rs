//! Traffic classes of real processes: the tag of the cgroup whose socket sent a packet, seen across a veth.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use enid_model::TrafficClass;

use crate::host::{config, in_host};
use crate::link::{OUTSIDE, Wire};
use crate::records::{BOTH, Snapshot};

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
