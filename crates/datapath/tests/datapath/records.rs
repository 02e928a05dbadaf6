//! Everything that is counted, as user space reads it, and what one packet moved of it.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use enid_datapath::{Bucket, Count, Datapath, Direction, FlowReading, Interval, Ledger, Ledgers, Reason};
use enid_model::{EniNumber, TrafficClass};

use crate::run::Verdict;

pub(crate) const BOTH: [Direction; 2] = [Direction::Egress, Direction::Ingress];

/// What identifies a flow in the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Tuple {
    pub(crate) direction: Direction,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) ports: (u16, u16),
}

/// A flow of an ENI, and whether it was accepted: what a flow record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    pub(crate) eni: EniNumber,
    pub(crate) tuple: Tuple,
    /// None if it was accepted.
    pub(crate) reason: Option<Reason>,
}

/// What was counted for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) count: Count,
    /// Flags of the current interval.
    pub(crate) flags: u8,
    /// The class of the entry that was made last.
    pub(crate) class: TrafficClass,
}

/// Where a packet was counted for an ENI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a flow that was accepted, which has had these TCP flags in the current interval.
    Flow(Tuple, u8),
    /// In a flow that was refused.
    Refused(Tuple, Reason),
    /// In a bucket.
    Bucket(Bucket),
    /// In a bucket though it was refused: the table of refusals was full.
    Unrecorded(Reason),
}

impl Place {
    /// What the program answers where there is a route to everywhere, and nobody else.
    pub(crate) fn verdict(self) -> Verdict {
        if self.is_dropped() { Verdict::Drop } else { Verdict::Pass }
    }

    /// Whether its packets get no further.
    pub(crate) fn is_dropped(self) -> bool {
        match self {
            Self::Flow(..) => false,
            Self::Refused(..) | Self::Unrecorded(_) => true,
            Self::Bucket(bucket) => bucket.is_dropped(),
        }
    }
}

/// What a packet moved for an ENI in a direction: once in ledger (b), and in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) eni: EniNumber,
    pub(crate) direction: Direction,
    pub(crate) place: Place,
    pub(crate) wire: Count,
    /// Socket buffers in ledger (a).
    pub(crate) buffers: u64,
    /// Their bytes.
    pub(crate) layer2_bytes: u64,
}

/// Everything that is counted, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) ledgers: BTreeMap<EniNumber, Ledgers>,
    pub(crate) records: HashMap<Record, Total>,
    /// What records add up to by the window of the interval that it was counted in.
    pub(crate) windows: HashMap<(EniNumber, Direction), [Count; 2]>,
}

impl Snapshot {
    pub(crate) fn take(datapath: &Datapath) -> Self {
        let numbers = datapath.enis().unwrap();
        let ledgers = numbers.into_iter().map(|eni| (eni, datapath.ledgers(eni).unwrap())).collect();
        let mut snapshot = Self { ledgers, records: HashMap::new(), windows: HashMap::new() };
        let now = datapath.interval();
        datapath.read_flows(&mut |flow| snapshot.add(&flow, now)).unwrap();
        datapath.read_refusals(&mut |refusal| snapshot.add(&refusal, now)).unwrap();
        snapshot
    }

    /// Adds what an entry stands for: a record of its ENI, and one of its target, if it has one.
    pub(crate) fn add(&mut self, entry: &FlowReading, now: Interval) {
        let tuple = tuple(entry);
        let own = if entry.target.is_some() { None } else { entry.reason };
        self.add_one(Record { eni: entry.eni, tuple, reason: own }, entry, entry.class, now);
        if let Some(target) = entry.target {
            assert_eq!(entry.direction, Direction::Egress, "{entry:?}");
            let tuple = Tuple { direction: Direction::Ingress, ..tuple };
            let record = Record { eni: target, tuple, reason: entry.reason };
            self.add_one(record, entry, entry.target_class, now);
        }
    }

    fn add_one(&mut self, record: Record, entry: &FlowReading, class: TrafficClass, now: Interval) {
        let total = self.records.entry(record).or_insert(Total { count: Count::default(), flags: 0, class });
        total.count.add(count(entry));
        total.flags |= entry.window(now).map_or(0, |window| window.tcp_flags);
        total.class = class;
        let windows = self.windows.entry((record.eni, record.tuple.direction)).or_default();
        for (sum, window) in windows.iter_mut().zip(entry.windows) {
            sum.add(Count { packets: window.packets, bytes: window.bytes });
        }
    }

    /// Records and buckets add up to ledger (b), interval by interval, and what was refused is that much of it.
    pub(crate) fn assert_closes(&self) {
        for (&eni, ledgers) in &self.ledgers {
            for direction in BOTH {
                let ledger = ledgers.of(direction);
                let mut sum = ledger.buckets_total();
                let mut refused = BTreeMap::new();
                for (record, total) in &self.records {
                    if (record.eni, record.tuple.direction) == (eni, direction) {
                        sum.add(total.count);
                        if let Some(reason) = record.reason {
                            refused.entry(reason).or_insert_with(Count::default).add(total.count);
                        }
                    }
                }
                assert_eq!(sum, ledger.wire(), "{eni} {direction:?}: {self:#?}");
                let mut windows = self.windows.get(&(eni, direction)).copied().unwrap_or_default();
                for (window, buckets) in windows.iter_mut().zip(ledger.buckets) {
                    for bucket in buckets {
                        window.add(bucket);
                    }
                }
                assert_eq!(windows, ledger.wire, "{eni} {direction:?} by window: {self:#?}");
                if ledger.bucket(Bucket::Unrecorded) == Count::default() {
                    for reason in Reason::ALL {
                        let recorded = refused.get(&reason).copied().unwrap_or_default();
                        assert_eq!(recorded, ledger.refused(reason), "{eni} {direction:?} {reason:?}");
                    }
                }
            }
        }
    }

    /// What was moved since, by one packet: for each ENI and direction it was counted exactly once, in ledger (b) and in
    /// one place, and nothing else has changed.
    pub(crate) fn since(&self, before: &Self) -> Vec<Moved> {
        let mut all = Vec::new();
        let mut records: Vec<Record> = self.records.keys().copied().collect();
        records.retain(|record| self.records.get(record) != before.records.get(record));
        for record in before.records.keys() {
            assert!(self.records.contains_key(record), "{record:?} is gone");
        }
        for (&eni, ledgers) in &self.ledgers {
            let old = before.ledgers.get(&eni).copied().unwrap_or_default();
            for direction in BOTH {
                let is_own = |record: &Record| (record.eni, record.tuple.direction) == (eni, direction);
                let own: Vec<Record> = records.iter().copied().filter(is_own).collect();
                records.retain(|record| !is_own(record));
                if ledgers.of(direction) == old.of(direction) {
                    assert!(own.is_empty(), "not in the ledger: {own:?}");
                    continue;
                }
                all.push(self.moved(
                    before,
                    (eni, direction),
                    &own,
                    ledgers.of(direction),
                    old.of(direction),
                ));
            }
        }
        assert!(records.is_empty(), "of no ENI that is open or closed: {records:?}");
        all
    }

    fn moved(
        &self,
        before: &Self,
        (eni, direction): (EniNumber, Direction),
        records: &[Record],
        now: &Ledger,
        old: &Ledger,
    ) -> Moved {
        let wire = less(now.wire(), old.wire());
        let mut places = Vec::new();
        for record in records {
            assert_eq!(less(self.count_of(record), before.count_of(record)), wire, "{record:?}");
            places.push(match record.reason {
                None => Place::Flow(record.tuple, self.records[record].flags),
                Some(reason) => Place::Refused(record.tuple, reason),
            });
        }
        let changed = |counts: (Count, Count)| {
            let by = less(counts.0, counts.1);
            assert!(by == Count::default() || by == wire, "{by:?} of {wire:?}");
            by != Count::default()
        };
        for bucket in Bucket::ALL {
            if changed((now.bucket(bucket), old.bucket(bucket))) {
                places.push(Place::Bucket(bucket));
            }
        }
        let reasons: Vec<Reason> = Reason::ALL
            .into_iter()
            .filter(|reason| changed((now.refused(*reason), old.refused(*reason))))
            .collect();
        let place = match (places.as_slice(), reasons.as_slice()) {
            ([place @ Place::Refused(_, reason)], [counted]) if reason == counted => *place,
            ([Place::Bucket(Bucket::Unrecorded)], [reason]) => Place::Unrecorded(*reason),
            ([place @ (Place::Flow(..) | Place::Bucket(_))], []) => *place,
            _ => panic!("{eni} {direction:?}: counted in {places:?}, as refused for {reasons:?}"),
        };
        let buffers = now.buffers - old.buffers;
        let layer2_bytes = now.layer2_bytes - old.layer2_bytes;
        Moved { eni, direction, place, wire, buffers, layer2_bytes }
    }

    pub(crate) fn count_of(&self, record: &Record) -> Count {
        self.records.get(record).map(|total| total.count).unwrap_or_default()
    }
}

fn less(now: Count, before: Count) -> Count {
    Count { packets: now.packets - before.packets, bytes: now.bytes - before.bytes }
}

/// Both windows of an entry together.
pub(crate) fn count(entry: &FlowReading) -> Count {
    let mut sum = Count::default();
    for window in entry.windows {
        sum.add(Count { packets: window.packets, bytes: window.bytes });
    }
    sum
}

pub(crate) fn tuple(entry: &FlowReading) -> Tuple {
    Tuple {
        direction: entry.direction,
        source: entry.source,
        destination: entry.destination,
        protocol: entry.protocol,
        ports: (entry.source_port, entry.destination_port),
    }
}
