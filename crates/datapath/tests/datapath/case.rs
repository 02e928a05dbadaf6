//! One frame, and everything that it should move.

use std::collections::HashMap;

use enid_datapath::{Count, Datapath, DatapathConfig, Direction, FlowReading, Ledgers};
use enid_model::EniNumber;

use crate::records::{Moved, Place, Record, Snapshot, count, tuple};
use crate::run::{self, Arrival, Gso, Verdict};
use crate::vpc::UPLINK;
use crate::{host, policy};

pub(crate) use crate::records::Tuple;

/// A data path with one ENI, open, whose groups let everything pass.
pub(crate) struct Fixture {
    pub(crate) datapath: Datapath,
    pub(crate) eni: EniNumber,
}

/// A frame and what it counts as.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) direction: Direction,
    pub(crate) frame: Vec<u8>,
    pub(crate) gso: Gso,
    /// Where it is counted; with the TCP flags that it has itself.
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
        Self::with(&host::config(flows))
    }

    pub(crate) fn with(config: &DatapathConfig) -> Self {
        let datapath = Datapath::load(config).unwrap_or_else(|error| panic!("{error}"));
        let fixture = Self { datapath, eni: host::eni(1_000_001) };
        host::device(fixture.eni);
        host::routes();
        let group = policy::open(&fixture.datapath);
        fixture.datapath.open_eni(&host::settings(fixture.eni, &[group])).unwrap();
        fixture
    }

    /// Runs the program of a direction once: on what the task sends, or on what has come from outside.
    pub(crate) fn run(&self, direction: Direction, frame: &[u8], gso: Gso) -> Verdict {
        let (program, received_by) = match direction {
            Direction::Egress => (self.datapath.from_eni(), 0),
            Direction::Ingress => (self.datapath.to_eni(), UPLINK),
        };
        run::repeat(program, Arrival { frame, gso, eni: self.eni.get(), received_by }, 1)
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

    /// The flows; the test fails if there are two entries of one.
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

    /// Flow entries, refusals and buckets add up to ledger (b).
    pub(crate) fn assert_closes(&self) {
        Snapshot::take(&self.datapath).assert_closes();
    }

    /// Runs a case and asserts every counter, of what should move and what should not.
    pub(crate) fn check(&self, case: &Case) {
        let before = Snapshot::take(&self.datapath);
        let verdict = self.run(case.direction, &case.frame, case.gso);
        let after = Snapshot::take(&self.datapath);
        // With nobody else on the host, what may pass goes by the kernel's way.
        assert_eq!(verdict, case.place.verdict(), "{case:?}");

        let arrives = u64::from(!case.place.is_dropped() || case.direction == Direction::Egress);
        let place = match case.place {
            Place::Flow(tuple, flags) => {
                let record = Record { eni: self.eni, tuple, reason: None };
                let seen = before.records.get(&record).map_or(0, |total| total.flags);
                Place::Flow(tuple, seen | flags)
            }
            other => other,
        };
        let expected = Moved {
            eni: self.eni,
            direction: case.direction,
            place,
            wire: case.wire,
            buffers: arrives,
            layer2_bytes: arrives * case.frame.len() as u64,
        };
        assert_eq!(after.since(&before), [expected], "{case:?}");
        after.assert_closes();
    }
}
