//! Packets, intervals and daemons that end at any moment: whatever comes in which order, the records add up to the
//! packets.

use std::collections::BTreeMap;
use std::convert::Infallible;

use enid_datapath::{Direction, FlowReading, Interval, Reason, RefusalKey};
use enid_flowlog::{Aggregator, FlowRecord};
use enid_model::{EniId, Networks, TrafficClass};
use proptest::prelude::*;

use super::drain::Drain;
use super::exported::{Ending, Exported};
use super::registry::Registry;
use super::testing::{entry, number, registry};

const ENIS: u32 = 3;

/// What the data path does with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Its ENI lets it out, by the kernel's way.
    Kernel,
    /// It is delivered straight into the next ENI.
    Direct,
    /// Its ENI refuses it.
    RefusedOut,
    /// The next ENI refuses it.
    RefusedIn,
    /// It came by the kernel's way, and the next ENI lets it in.
    KernelIn,
    /// It came by the kernel's way, and the next ENI refuses it.
    KernelRefusedIn,
}

#[derive(Debug, Clone, Copy)]
struct Packets {
    from: u32,
    port: u16,
    way: Way,
    count: u64,
    flags: u8,
}

/// How far the daemon comes when it closes an interval.
#[derive(Debug, Clone)]
enum Close {
    Whole,
    /// The records can't be written.
    Refused,
    /// It ends before it remembers what it wrote: the next one cuts the records off.
    EndsBeforeSave,
    /// It ends after that, with so many entries deleted, and packets come before the next one starts.
    EndsWhileDeleting(usize, Vec<Packets>),
}

#[derive(Debug, Clone)]
enum Step {
    Send(Packets),
    Close(Close),
}

/// An ENI's flow in an interval, and why it was refused.
type Flow = (u32, u8, u16, u8, Option<u8>);

/// What a flow's packets add up to: packets, bytes, flags, first and last.
type Seen = (u64, u64, u8, u64, u64);

/// Both tables, the daemon's memory, and what really happened.
struct Simulation {
    tables: BTreeMap<Order, FlowReading>,
    interval: Interval,
    time: u64,
    exported: Exported,
    /// The last that was saved.
    snapshot: Vec<u8>,
    registry: Registry,
    ids: Vec<EniId>,
    truth: BTreeMap<(u32, Flow), Seen>,
    recorded: BTreeMap<Flow, (u64, u64)>,
}

/// An entry's key, in an order.
type Order = (u32, u8, u16, u8, u8);

fn order(key: &RefusalKey) -> Order {
    let flow = &key.flow;
    (flow.eni, flow.direction, flow.destination_port, flow.generation, key.reason)
}

impl Simulation {
    fn new() -> Self {
        let (registry, ids) = registry(ENIS);
        Self {
            tables: BTreeMap::new(),
            interval: Interval::new(4),
            time: 1_000,
            exported: Exported::default(),
            snapshot: encode(&Exported::default()),
            registry,
            ids,
            truth: BTreeMap::new(),
            recorded: BTreeMap::new(),
        }
    }

    fn send(&mut self, packets: Packets) {
        self.time += 1;
        let Packets { from, port, way, .. } = packets;
        let to = (from + 1) % ENIS;
        let mut flow = entry(from, port);
        (flow.class, flow.target_class) = (TrafficClass::Logs, TrafficClass::Exec);
        match way {
            Way::Kernel => {}
            Way::Direct => flow.target = Some(number(to)),
            Way::RefusedOut => flow.reason = Some(Reason::NoRoute),
            Way::RefusedIn => (flow.target, flow.reason) = (Some(number(to)), Some(Reason::NoRule)),
            Way::KernelIn | Way::KernelRefusedIn => {
                (flow.eni, flow.direction, flow.class) = (number(to), Direction::Ingress, TrafficClass::Exec);
                (flow.key.eni, flow.key.direction) = (number(to).get(), Direction::Ingress as u8);
                flow.reason = (way == Way::KernelRefusedIn).then_some(Reason::NoRule);
            }
        }
        // A program leaves an entry alone that has expired, or leads elsewhere.
        let now = self.interval;
        let usable = (0..2).find(|generation| {
            flow.key.generation = *generation;
            let there = self.tables.get(&order(&flow.entry()));
            there.is_none_or(|there| there.target == flow.target && !is_expired(there, now))
        });
        let Some(generation) = usable else { return };
        flow.key.generation = generation;
        let there = self.tables.entry(order(&flow.entry())).or_insert(flow);
        let window = &mut there.windows[now.window()];
        if window.interval != now {
            (window.interval, window.tcp_flags, window.first) = (now, 0, self.time);
        }
        window.packets += packets.count;
        window.bytes += packets.count * 100;
        window.tcp_flags |= packets.flags;
        window.last = self.time;
        self.witness(packets, to);
    }

    /// What happened, said without the words of entries.
    fn witness(&mut self, Packets { from, port, way, count, flags }: Packets, to: u32) {
        let (egress, ingress) = (Direction::Egress as u8, Direction::Ingress as u8);
        let (logs, exec) = (TrafficClass::Logs.number(), TrafficClass::Exec.number());
        let (no_route, no_rule) = (Some(Reason::NoRoute as u8), Some(Reason::NoRule as u8));
        let out = (from, egress, port, logs, None);
        let flows = match way {
            Way::Kernel => vec![out],
            Way::Direct => vec![out, (to, ingress, port, exec, None)],
            Way::RefusedOut => vec![(from, egress, port, logs, no_route)],
            Way::RefusedIn => vec![out, (to, ingress, port, exec, no_rule)],
            Way::KernelIn => vec![(to, ingress, port, exec, None)],
            Way::KernelRefusedIn => vec![(to, ingress, port, exec, no_rule)],
        };
        for flow in flows {
            let seen = (count, count * 100, flags, self.time, self.time);
            let known = self.truth.entry((self.interval.number(), flow));
            known.and_modify(|known| *known = join(*known, seen)).or_insert(seen);
        }
    }

    /// Closes the interval. If the daemon writes a batch, it is returned.
    fn close(&mut self, how: Close) -> Vec<FlowRecord> {
        self.interval = self.interval.next();
        let mut records = Aggregator::default();
        let networks = Networks::default();
        let mut drain =
            Drain::new(&mut self.exported, &self.registry, &networks, Some(self.interval), (0, u64::MAX));
        for flow in self.tables.values_mut() {
            flow.expired = is_expired(flow, self.interval);
            let Ok(()) = drain.entry(flow, false, &mut |record| {
                records.add(record);
                Ok::<_, Infallible>(())
            });
        }
        let (ending, records) = (drain.ending, records.finish());
        match how {
            Close::Refused => {
                self.exported = Exported::decode(&self.snapshot[..]).unwrap().unwrap();
                self.exported.forget_ended();
                return Vec::new();
            }
            Close::EndsBeforeSave => {
                self.restart();
                return Vec::new();
            }
            Close::Whole | Close::EndsWhileDeleting(..) => {}
        }
        let interval = self.interval;
        self.exported.ending = Ending { entries: ending.clone(), interval, enis: Vec::new() };
        self.snapshot = encode(&self.exported);
        for record in &records {
            let (flow, (packets, bytes, ..)) = self.read(record);
            let sum = self.recorded.entry(flow).or_default();
            *sum = (sum.0 + packets, sum.1 + bytes);
        }
        if let Close::EndsWhileDeleting(deleted, meanwhile) = how {
            self.delete(&ending[..deleted.min(ending.len())]);
            for packets in meanwhile {
                self.send(packets);
            }
            self.restart();
        } else {
            self.delete(&ending);
            self.exported.forget_ended();
        }
        records
    }

    /// Another daemon takes over.
    fn restart(&mut self) {
        self.exported = Exported::decode(&self.snapshot[..]).unwrap().unwrap();
        let tables = &self.tables;
        let read = |each: &mut dyn FnMut(FlowReading)| {
            for flow in tables.values() {
                each(*flow);
            }
            Ok::<_, ()>(())
        };
        let left = self.exported.reconcile(read).unwrap();
        self.delete(&left);
    }

    fn delete(&mut self, entries: &[RefusalKey]) {
        for key in entries {
            self.tables.remove(&order(key));
        }
    }

    fn read(&self, record: &FlowRecord) -> (Flow, Seen) {
        let traffic = record.traffic().unwrap();
        let eni = self.ids.iter().position(|id| *id == record.interface.eni).unwrap();
        let reason = traffic.drop_reason.map(|reason| {
            Reason::ALL.into_iter().find(|known| known.as_str() == reason.as_str()).unwrap() as u8
        });
        let direction = u8::from(traffic.direction == enid_flowlog::Direction::Ingress);
        let flow = (u32::try_from(eni).unwrap(), direction, traffic.dst_port, traffic.class.number(), reason);
        (flow, (traffic.packets, traffic.bytes, traffic.tcp_flags, record.start, record.end))
    }

    /// What happened in all intervals.
    fn sums(&self) -> BTreeMap<Flow, (u64, u64)> {
        let mut sums: BTreeMap<Flow, (u64, u64)> = BTreeMap::new();
        for ((_, flow), (packets, bytes, ..)) in &self.truth {
            let sum = sums.entry(*flow).or_default();
            *sum = (sum.0 + packets, sum.1 + bytes);
        }
        sums
    }
}

fn encode(exported: &Exported) -> Vec<u8> {
    let mut bytes = Vec::new();
    exported.encode(&mut bytes).unwrap();
    bytes
}

fn is_expired(flow: &FlowReading, now: Interval) -> bool {
    flow.windows.iter().all(|window| now.since(window.interval) > 1)
}

fn join(known: Seen, seen: Seen) -> Seen {
    (known.0 + seen.0, known.1 + seen.1, known.2 | seen.2, known.3.min(seen.3), known.4.max(seen.4))
}

fn any_packets() -> impl Strategy<Value = Packets> {
    let way = prop_oneof![
        Just(Way::Kernel),
        Just(Way::Direct),
        Just(Way::RefusedOut),
        Just(Way::RefusedIn),
        Just(Way::KernelIn),
        Just(Way::KernelRefusedIn),
    ];
    (0..ENIS, 80_u16..82, way, 1_u64..4, 0_u8..32).prop_map(|(from, port, way, count, flags)| Packets {
        from,
        port,
        way,
        count,
        flags,
    })
}

fn any_close() -> impl Strategy<Value = Close> {
    prop_oneof![
        4 => Just(Close::Whole),
        1 => Just(Close::Refused),
        1 => Just(Close::EndsBeforeSave),
        2 => (0_usize..6, prop::collection::vec(any_packets(), 0..6))
            .prop_map(|(deleted, meanwhile)| Close::EndsWhileDeleting(deleted, meanwhile)),
    ]
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![3 => any_packets().prop_map(Step::Send), 1 => any_close().prop_map(Step::Close)];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn each_interval_has_one_record_a_flow(rounds in prop::collection::vec(prop::collection::vec(any_packets(), 0..12), 1..8)) {
        let mut simulation = Simulation::new();
        for round in rounds {
            for packets in round {
                simulation.send(packets);
            }
            let interval = simulation.interval.number();
            let records = simulation.close(Close::Whole);
            let found: Vec<(Flow, Seen)> = records.iter().map(|record| simulation.read(record)).collect();
            let wanted: BTreeMap<Flow, Seen> =
                simulation.truth.iter().filter(|((of, _), _)| *of == interval).map(|((_, flow), seen)| (*flow, *seen)).collect();
            prop_assert_eq!(found.len(), wanted.len());
            prop_assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), wanted);
        }
    }

    #[test]
    fn nothing_is_lost_and_nothing_doubled_whenever_the_daemon_ends(steps in any_steps()) {
        let mut simulation = Simulation::new();
        for step in steps {
            match step {
                Step::Send(packets) => simulation.send(packets),
                Step::Close(how) => drop(simulation.close(how)),
            }
        }
        simulation.close(Close::Whole);
        prop_assert_eq!(&simulation.recorded, &simulation.sums());
        // What is not in use any more goes, and has been exported.
        for _ in 0..3 {
            prop_assert_eq!(simulation.close(Close::Whole).len(), 0);
        }
        prop_assert_eq!(simulation.tables.len(), 0);
        prop_assert_eq!(simulation.exported.entries.len(), 0);
        for (eni, direction) in (0..ENIS).flat_map(|eni| [Direction::Egress, Direction::Ingress].map(|direction| (eni, direction))) {
            let sums = simulation.recorded.iter().filter(|((of, way, ..), _)| (*of, *way) == (eni, direction as u8));
            let all: u64 = sums.clone().map(|(_, (packets, _))| packets).sum();
            let refused: u64 = sums.filter(|((.., reason), _)| reason.is_some()).map(|(_, (packets, _))| packets).sum();
            let totals = simulation.exported.totals(number(eni));
            prop_assert_eq!((totals.all(direction).packets, totals.refused(direction).packets), (all, refused));
        }
    }
}
