//! A VPC's router with ENIs on it, whose packets are carried from one to the other as the kernel would.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::Duration;

use enid_datapath::{
    Bucket, Count, Datapath, DatapathConfig, Direction, EniSettings, FlowReading, Forwarding, Reason,
};
use enid_model::{EniNumber, MacAddress, Mtu, SecurityGroupId};

use crate::frame::{from_mac, packet};
use crate::host::{self, command, config, eni, in_host};
use crate::records::{Moved, Place, Record, Snapshot, Tuple};
use crate::reference::{self, Said};
use crate::run::{self, Arrival, Gso, Verdict};

/// Runs a test for each way in which packets between ENIs go, on hosts of their own. What is counted is the same.
pub(crate) fn both_ways(test: impl Fn(Forwarding) + Copy + Send + 'static) {
    for way in [Forwarding::Direct, Forwarding::Kernel] {
        in_host(move || test(way));
    }
}

/// The interface that packets from outside come by: any that is nobody's ENI.
pub(crate) const UPLINK: u32 = 9;

/// What became of a packet for an ENI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Accepted,
    Refused(Reason),
    Unrecorded(Reason),
    Bucket(Bucket),
}

/// What became of a packet for an ENI in a direction.
pub(crate) type Seen = (EniNumber, Direction, Fate);

/// What a program made of a packet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) verdict: Verdict,
    pub(crate) seen: Vec<Seen>,
}

/// An ENI as its task has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nic {
    pub(crate) number: EniNumber,
    pub(crate) mac: [u8; 6],
    pub(crate) ipv4: Ipv4Addr,
    pub(crate) ipv6: Ipv6Addr,
}

impl Nic {
    /// One of several, from 1 on.
    pub(crate) fn nth(n: u8) -> Self {
        Self {
            number: eni(1_000_000 + u32::from(n)),
            mac: [2, 0, 0, 0, 1, n],
            ipv4: Ipv4Addr::new(10, 0, 0, n),
            ipv6: Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, n.into()),
        }
    }

    /// Its address of each family.
    pub(crate) fn addresses(&self) -> [IpAddr; 2] {
        [self.ipv4.into(), self.ipv6.into()]
    }

    /// Its address of the family of another one.
    pub(crate) fn address_like(&self, other: IpAddr) -> IpAddr {
        if other.is_ipv4() { self.ipv4.into() } else { self.ipv6.into() }
    }

    /// A packet that it sends.
    pub(crate) fn packet(&self, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        from_mac(packet(self.address_like(destination), destination, protocol, payload), self.mac)
    }

    /// What the programs are told of it.
    pub(crate) fn settings(&self, groups: &[SecurityGroupId]) -> EniSettings {
        EniSettings {
            ipv4: Some(self.ipv4),
            ipv6: Some(self.ipv6),
            groups: groups.to_vec(),
            ..EniSettings::new(self.number, MacAddress::try_from(self.mac).unwrap(), Mtu::JUMBO)
        }
    }

    /// A packet of its task's was let out.
    pub(crate) fn sent(&self) -> Seen {
        (self.number, Direction::Egress, Fate::Accepted)
    }

    /// A packet was let in.
    pub(crate) fn got(&self) -> Seen {
        (self.number, Direction::Ingress, Fate::Accepted)
    }

    /// A packet of its task's was not let out.
    pub(crate) fn kept_in(&self, reason: Reason) -> Seen {
        (self.number, Direction::Egress, Fate::Refused(reason))
    }

    /// A packet was not let in.
    pub(crate) fn kept_out(&self, reason: Reason) -> Seen {
        (self.number, Direction::Ingress, Fate::Refused(reason))
    }

    /// A packet is in a bucket.
    pub(crate) fn bucket(&self, direction: Direction, bucket: Bucket) -> Seen {
        (self.number, direction, Fate::Bucket(bucket))
    }
}

/// The router, and the data path.
pub(crate) struct Vpc {
    pub(crate) datapath: Datapath,
    /// What was deleted from the flow table.
    deleted: RefCell<Vec<FlowReading>>,
}

impl Vpc {
    pub(crate) fn new(forwarding: Forwarding) -> Self {
        Self::with(&DatapathConfig { forwarding, ..config(4096) })
    }

    pub(crate) fn with(config: &DatapathConfig) -> Self {
        let datapath = Datapath::load(config).unwrap_or_else(|error| panic!("{error}"));
        host::routes();
        Self { datapath, deleted: RefCell::default() }
    }

    /// Makes an ENI's link and the routes to it, and opens it.
    pub(crate) fn join(&self, nic: &Nic, settings: &EniSettings) {
        self.datapath.open_eni(settings).unwrap();
        host::device(nic.number);
        for address in nic.addresses() {
            command(&format!("ip route add {address} dev eni{}", nic.number));
        }
    }

    /// An ENI with these groups, and idle times that no test lives to see.
    pub(crate) fn add(&self, n: u8, groups: &[SecurityGroupId]) -> Nic {
        let nic = Nic::nth(n);
        self.join(&nic, &nic.settings(groups));
        nic
    }

    /// The task sends a frame.
    pub(crate) fn send(&self, nic: &Nic, frame: &[u8]) -> Step {
        self.step(nic, Direction::Egress, frame, Gso::default(), 0)
    }

    /// A frame arrives for the task by the kernel's way from outside.
    pub(crate) fn arrive(&self, nic: &Nic, frame: &[u8]) -> Step {
        self.step(nic, Direction::Ingress, frame, Gso::default(), UPLINK)
    }

    /// The router itself sends the task a frame.
    pub(crate) fn tell(&self, nic: &Nic, frame: &[u8]) -> Step {
        self.step(nic, Direction::Ingress, frame, Gso::default(), 0)
    }

    /// One task sends a frame to another. What goes by the kernel's way arrives so.
    pub(crate) fn carry(&self, from: &Nic, to: &Nic, frame: &[u8]) -> Vec<Seen> {
        let mut step = self.send(from, frame);
        if step.verdict == Verdict::Pass {
            let number = from.number.get();
            step.seen.extend(self.step(to, Direction::Ingress, frame, Gso::default(), number).seen);
        }
        step.seen
    }

    /// Runs a program on a frame and asserts that it was counted once for each ENI that it concerns, that nothing else
    /// moved, and that what was counted is what another reader of headers finds in the frame.
    pub(crate) fn step(
        &self,
        nic: &Nic,
        direction: Direction,
        frame: &[u8],
        gso: Gso,
        received_by: u32,
    ) -> Step {
        let before = self.snapshot();
        let program = match direction {
            Direction::Egress => self.datapath.from_eni(),
            Direction::Ingress => self.datapath.to_eni(),
        };
        let arrival = Arrival { frame, gso, eni: nic.number.get(), received_by };
        let verdict = run::repeat(program, arrival, 1);
        let after = self.snapshot();
        let moved = after.since(&before);
        after.assert_closes();

        for moved in &moved {
            check_one(moved, frame, gso);
        }
        let own = moved.iter().find(|moved| moved.eni == nic.number && moved.direction == direction);
        let own = own.unwrap_or_else(|| panic!("counted for others alone: {moved:?}"));
        let others: Vec<&Moved> = moved.iter().filter(|moved| *moved != own).collect();
        match (verdict, others.as_slice()) {
            (Verdict::Deliver, [other]) => assert!(!other.place.is_dropped() && !own.place.is_dropped()),
            (Verdict::Drop, [other]) => assert!(other.place.is_dropped() && !own.place.is_dropped()),
            (Verdict::Drop, []) => assert!(own.place.is_dropped()),
            // That there is no route is for the kernel to tell the sender.
            (Verdict::Pass, []) => {
                assert!(!own.place.is_dropped() || matches!(own.place, Place::Refused(_, Reason::NoRoute)));
            }
            _ => panic!("{verdict:?}: {moved:?}"),
        }
        for other in &others {
            assert_eq!((direction, other.direction), (Direction::Egress, Direction::Ingress), "{moved:?}");
            assert_eq!(other.wire, own.wire);
        }
        let seen = [own].into_iter().chain(others).map(seen_of).collect();
        Step { verdict, seen }
    }

    /// Runs a program on a frame, and asserts nothing.
    pub(crate) fn run(&self, nic: &Nic, direction: Direction, frame: &[u8]) -> Verdict {
        let (program, received_by) = match direction {
            Direction::Egress => (self.datapath.from_eni(), 0),
            Direction::Ingress => (self.datapath.to_eni(), UPLINK),
        };
        let arrival = Arrival { frame, gso: Gso::default(), eni: nic.number.get(), received_by };
        run::repeat(program, arrival, 1)
    }

    /// Everything that was counted so far, also in flow entries that were deleted.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::take(&self.datapath);
        self.deleted.borrow().iter().for_each(|entry| snapshot.add(entry, self.datapath.interval()));
        snapshot
    }

    /// Deletes a flow entry, as user space does once it has exported what is in it.
    pub(crate) fn delete(&self, entry: FlowReading) {
        self.datapath.delete_flows(&[entry.key]).unwrap();
        self.deleted.borrow_mut().push(entry);
    }

    /// What is counted of a flow so far.
    pub(crate) fn count(&self, record: &Record) -> Count {
        self.snapshot().count_of(record)
    }

    /// Lets so much time pass without a packet that whoever allows less has been idle for too long.
    pub(crate) fn idle(time: Duration) {
        // Ticks are at most 40 ms long, and idle times are rounded up to them.
        thread::sleep(time + Duration::from_millis(100));
    }
}

fn check_one(moved: &Moved, frame: &[u8], gso: Gso) {
    let arrives = moved.direction == Direction::Egress || !moved.place.is_dropped();
    assert_eq!(moved.buffers, u64::from(arrives), "{moved:?}");
    assert_eq!(moved.layer2_bytes, moved.buffers * frame.len() as u64, "{moved:?}");
    let read = reference::read(frame, moved.direction);
    if gso == Gso::default() && moved.place != Place::Bucket(Bucket::Closed) {
        assert_eq!(moved.wire, Count { packets: 1, bytes: read.bytes as u64 }, "{moved:?}");
    }
    if let Place::Flow(tuple, _) | Place::Refused(tuple, _) = moved.place {
        let Said::Packet(packet) = read.said else { panic!("{moved:?} of no packet") };
        // A later fragment has the ports of its first, if that was seen.
        let is_later = packet.fragment.is_some_and(|fragment| !fragment.is_first);
        let ports = if is_later { tuple.ports } else { packet.tuple.ports };
        assert_eq!(tuple, Tuple { ports, ..packet.tuple }, "{moved:?}");
    }
}

fn seen_of(moved: &Moved) -> Seen {
    let fate = match moved.place {
        Place::Flow(..) => Fate::Accepted,
        Place::Refused(_, reason) => Fate::Refused(reason),
        Place::Unrecorded(reason) => Fate::Unrecorded(reason),
        Place::Bucket(bucket) => Fate::Bucket(bucket),
    };
    (moved.eni, moved.direction, fate)
}
