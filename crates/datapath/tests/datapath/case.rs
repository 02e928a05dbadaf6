//! One frame, and everything that it should move.

use std::collections::HashMap;
use std::net::IpAddr;

use enid_abi::Ledger;
use enid_datapath::{Bucket, Count, Datapath, Direction, FlowReading, Ledgers};
use enid_model::EniNumber;

use crate::run::{self, Gso, Verdict};
use crate::{host, policy};

/// A data path with one ENI, open.
pub(crate) struct Fixture {
    pub(crate) datapath: Datapath,
    pub(crate) eni: EniNumber,
}

/// What identifies a flow in the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Tuple {
    pub(crate) direction: Direction,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) ports: (u16, u16),
}

/// Where a frame is to be counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// In a bucket.
    Bucket(Bucket),
    /// In a flow, with these flags.
    Flow(Tuple, u8),
}

/// A frame and what it counts as.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) direction: Direction,
    pub(crate) frame: Vec<u8>,
    pub(crate) gso: Gso,
    pub(crate) place: Place,
    pub(crate) wire: Count,
}

impl Case {
    /// A frame that is no segmented buffer, with so many bytes of layer 3.
    pub(crate) fn new(direction: Direction, frame: Vec<u8>, place: Place, bytes: usize) -> Self {
        Self { direction, frame, gso: Gso::default(), place, wire: Count { packets: 1, bytes: bytes as u64 } }
    }

    /// The same as a segmented buffer.
    pub(crate) fn segmented(mut self, gso: Gso, packets: u64, bytes: u64) -> Self {
        self.gso = gso;
        self.wire = Count { packets, bytes };
        self
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with_capacity(1024)
    }

    pub(crate) fn with_capacity(flows: u32) -> Self {
        let fixture = Self { datapath: host::load(flows), eni: host::eni(1_000_001) };
        host::device(fixture.eni);
        host::routes();
        let group = policy::open(&fixture.datapath);
        fixture.datapath.open_eni(&host::settings(fixture.eni, &[group])).unwrap();
        fixture
    }

    /// Runs the program of a direction once.
    pub(crate) fn run(&self, direction: Direction, frame: &[u8], gso: Gso) -> Verdict {
        let program = match direction {
            Direction::Egress => self.datapath.from_eni(),
            Direction::Ingress => self.datapath.to_eni(),
        };
        run::repeat(program, self.eni.get(), frame, gso, 1)
    }

    pub(crate) fn send(&self, frame: &[u8]) -> Verdict {
        self.run(Direction::Egress, frame, Gso::default())
    }

    pub(crate) fn deliver(&self, frame: &[u8]) -> Verdict {
        self.run(Direction::Ingress, frame, Gso::default())
    }

    pub(crate) fn ledgers(&self) -> Ledgers {
        self.datapath.ledgers(self.eni).unwrap()
    }

    pub(crate) fn flows(&self) -> HashMap<Tuple, FlowReading> {
        let mut flows = HashMap::new();
        self.datapath
            .read_flows(&mut |flow| {
                assert_eq!(flow.eni, self.eni);
                assert!(flows.insert(tuple(&flow), flow).is_none(), "{flow:?} twice");
            })
            .unwrap();
        flows
    }

    /// The sum of all flow entries of a direction.
    pub(crate) fn flows_total(&self, direction: Direction) -> Count {
        let mut total = Count::default();
        let mut add = |flow: FlowReading| {
            if flow.direction == direction {
                total.add(count(&flow));
            }
        };
        self.datapath.read_flows(&mut add).unwrap();
        total
    }

    /// Flow entries and buckets add up to ledger (b).
    pub(crate) fn assert_closes(&self) {
        let ledgers = self.ledgers();
        for direction in [Direction::Egress, Direction::Ingress] {
            let mut sum = self.flows_total(direction);
            sum.add(ledgers.of(direction).buckets_total());
            assert_eq!(sum, ledgers.of(direction).wire, "{direction:?}");
        }
    }

    /// Runs a case and asserts every counter, of what should move and what should not.
    pub(crate) fn check(&self, case: &Case) {
        let (ledgers, flows) = (self.ledgers(), self.flows());
        let verdict = self.run(case.direction, &case.frame, case.gso);

        let dropped = matches!(case.place, Place::Bucket(bucket) if bucket.is_dropped());
        let expected_verdict = if dropped { Verdict::Drop } else { Verdict::Pass };
        assert_eq!(verdict, expected_verdict, "{case:?}");

        let mut expected = ledgers;
        let ledger: &mut Ledger = match case.direction {
            Direction::Egress => &mut expected.egress,
            Direction::Ingress => &mut expected.ingress,
        };
        if !dropped || case.direction == Direction::Egress {
            ledger.buffers += 1;
            ledger.layer2_bytes += case.frame.len() as u64;
        }
        ledger.wire.add(case.wire);
        if let Place::Bucket(bucket) = case.place {
            ledger.buckets[bucket.index()].add(case.wire);
        }
        assert_eq!(self.ledgers(), expected, "{case:?}");

        let mut now = self.flows();
        if let Place::Flow(tuple, flags) = case.place {
            let flow = now.remove(&tuple).unwrap_or_else(|| panic!("no flow for {case:?}: {now:?}"));
            let before = flows.get(&tuple);
            let mut expected = before.map(count).unwrap_or_default();
            expected.add(case.wire);
            assert_eq!(count(&flow), expected, "{case:?}");
            let seen = before.map_or(0, |flow| flags_of(flow, &self.datapath));
            assert_eq!(flags_of(&flow, &self.datapath), seen | flags, "{case:?}");
        }
        for (tuple, flow) in &now {
            assert_eq!(flows.get(tuple), Some(flow), "{case:?} touched another flow");
        }
        self.assert_closes();
    }
}

/// Both windows of a flow together.
pub(crate) fn count(flow: &FlowReading) -> Count {
    let mut sum = Count::default();
    for window in flow.windows {
        sum.add(Count { packets: window.packets, bytes: window.bytes });
    }
    sum
}

fn flags_of(flow: &FlowReading, datapath: &Datapath) -> u8 {
    flow.window(datapath.interval()).unwrap().tcp_flags
}

pub(crate) fn tuple(flow: &FlowReading) -> Tuple {
    Tuple {
        direction: flow.direction,
        source: flow.source,
        destination: flow.destination,
        protocol: flow.protocol,
        ports: (flow.source_port, flow.destination_port),
    }
}
