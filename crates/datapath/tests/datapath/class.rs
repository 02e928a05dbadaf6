//! Traffic classes: by tag, by what a flow answers, by nothing.
//!
//! A test run's buffer belongs to a socket of the calling process, hence to its cgroup: tagging that cgroup is tagging
//! what the test sends.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use enid_datapath::{Direction, FlowReading};
use enid_model::TrafficClass;

use crate::case::Fixture;
use crate::frame::{ACK, Ipv4, SYN, tcp};
use crate::host::{eni, in_host};

/// The id of this process's cgroup (version 2).
pub(crate) fn own_cgroup() -> u64 {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mount = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|fields| fields[2] == "cgroup2")
        .expect("cgroup version 2 is mounted");
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
    fs::metadata(format!("{}{path}", mount[1])).unwrap().ino()
}

struct Classes {
    fixture: Fixture,
    cgroup: u64,
}

impl Classes {
    fn new() -> Self {
        Self { fixture: Fixture::new(), cgroup: own_cgroup() }
    }

    fn tag(&self, class: TrafficClass) {
        self.fixture.datapath.set_class(self.cgroup, self.fixture.eni, class).unwrap();
    }

    fn untag(&self) {
        self.fixture.datapath.remove_class(self.cgroup).unwrap();
    }

    fn send(&self, flags: u8) {
        self.fixture.send(&Ipv4::default().frame(&tcp(40_000, 443, flags, 0)));
    }

    fn deliver(&self, flags: u8) {
        let back = Ipv4 {
            source: Ipv4::default().destination,
            destination: Ipv4::default().source,
            ..Ipv4::default()
        };
        self.fixture.deliver(&back.frame(&tcp(443, 40_000, flags, 0)));
    }

    fn of(&self, direction: Direction) -> TrafficClass {
        let flows = self.fixture.flows();
        let mut flows = flows.values().filter(|flow: &&FlowReading| flow.direction == direction);
        let class = flows.next().unwrap().class;
        assert!(flows.next().is_none());
        class
    }

    fn both(&self) -> [TrafficClass; 2] {
        [self.of(Direction::Egress), self.of(Direction::Ingress)]
    }
}

#[test]
fn a_tagged_connection_and_its_answers_have_the_class() {
    in_host(|| {
        let classes = Classes::new();
        classes.tag(TrafficClass::Logs);
        classes.send(SYN);
        classes.untag();
        classes.deliver(SYN | ACK);
        classes.send(ACK);
        assert_eq!(classes.both(), [TrafficClass::Logs; 2]);
    });
}

#[test]
fn without_a_tag_it_is_the_applications() {
    in_host(|| {
        let classes = Classes::new();
        classes.send(SYN);
        classes.deliver(SYN | ACK);
        assert_eq!(classes.both(), [TrafficClass::Application; 2]);
    });
}

#[test]
fn a_tag_is_for_one_eni() {
    in_host(|| {
        let classes = Classes::new();
        let other = eni(1_000_002);
        classes.fixture.datapath.set_class(classes.cgroup, other, TrafficClass::Secrets).unwrap();
        classes.send(SYN);
        assert_eq!(classes.of(Direction::Egress), TrafficClass::Application);
    });
}

#[test]
fn a_tagged_server_gives_its_class_to_what_it_answers() {
    in_host(|| {
        let classes = Classes::new();
        classes.tag(TrafficClass::Exec);
        classes.deliver(SYN);
        assert_eq!(classes.of(Direction::Ingress), TrafficClass::Application);
        classes.send(SYN | ACK);
        assert_eq!(classes.both(), [TrafficClass::Exec; 2]);
    });
}

#[test]
fn an_answer_without_a_tag_inherits() {
    in_host(|| {
        let classes = Classes::new();
        classes.tag(TrafficClass::Efs);
        classes.send(ACK);
        classes.deliver(ACK);
        classes.untag();
        // The sender's entry goes, and comes back by what only the answers remember.
        let egress = classes.fixture.flows().into_values().find(|flow| flow.direction == Direction::Egress);
        classes.fixture.datapath.delete_flows(&[egress.unwrap().key]).unwrap();
        classes.send(ACK);
        assert_eq!(classes.both(), [TrafficClass::Efs; 2]);
    });
}

#[test]
fn a_new_connection_on_old_ports_is_judged_anew() {
    in_host(|| {
        let classes = Classes::new();
        classes.tag(TrafficClass::ImagePull);
        classes.send(SYN);
        classes.deliver(SYN | ACK);
        classes.tag(TrafficClass::Secrets);
        classes.send(ACK);
        assert_eq!(classes.both(), [TrafficClass::ImagePull; 2], "nothing opened");
        classes.send(SYN);
        assert_eq!(classes.both(), [TrafficClass::Secrets; 2]);
        classes.untag();
        classes.send(SYN);
        assert_eq!(classes.both(), [TrafficClass::Application; 2]);
    });
}
