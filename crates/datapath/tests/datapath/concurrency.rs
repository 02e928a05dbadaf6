//! Several CPUs at once: nothing is lost.

use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use enid_datapath::{Count, Direction, EniSettings, FlowReading, Interval};

use crate::case::Fixture;
use crate::frame::{ACK, FIN, Ipv4, RST, SYN, tcp};
use crate::host::{in_host, settings};
use crate::policy;
use crate::records::count;
use crate::run::{Arrival, Gso, repeat};

const CPUS: usize = 2;
const LENGTH: u64 = 40;

fn bind_to_cpu(cpu: usize) {
    // SAFETY: a set of CPUs is plain data, of which all zeroes is the empty one.
    let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the CPU is within the set, and the kernel reads a set of the size stated.
    let bound = unsafe {
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set)
    };
    assert_eq!(bound, 0, "this test needs {CPUS} CPUs: {}", std::io::Error::last_os_error());
}

fn run(program: BorrowedFd<'_>, number: u32, frame: &[u8], times: u32) {
    let arrival = Arrival { frame, gso: Gso::default(), eni: number, received_by: 0 };
    repeat(program, arrival, times);
}

#[test]
fn cpus_that_meet_on_a_flow_lose_nothing() {
    in_host(|| {
        const TIMES: u32 = 400_000;
        let fixture = Fixture::new();
        let barrier = Barrier::new(CPUS);
        thread::scope(|scope| {
            for cpu in 0..CPUS {
                let (fixture, barrier) = (&fixture, &barrier);
                scope.spawn(move || {
                    bind_to_cpu(cpu);
                    // Each with flags of its own, of which none may get lost either.
                    let flags = if cpu == 0 { SYN | ACK } else { RST };
                    let frame = Ipv4::default().frame(&tcp(1, 2, flags, 0));
                    barrier.wait();
                    run(fixture.datapath.from_eni(), fixture.eni.get(), &frame, TIMES);
                });
            }
        });
        let packets = u64::from(TIMES) * CPUS as u64;
        let flows = fixture.flows();
        assert_eq!(flows.len(), 1);
        let flow = flows.values().next().unwrap();
        let bytes = packets * LENGTH;
        assert_eq!(count(flow), Count { packets, bytes });
        assert_eq!(flow.window(Interval::FIRST).unwrap().tcp_flags, 22);
        let ledger = fixture.ledgers().egress;
        assert_eq!((ledger.buffers, ledger.layer2_bytes), (packets, bytes + packets * 14));
        fixture.assert_closes();
    });
}

#[test]
fn cpus_that_meet_on_a_first_packet_lose_nothing() {
    in_host(|| {
        const FLOWS: u16 = 3000;
        let fixture = Fixture::with_capacity(FLOWS.into());
        let barrier = Barrier::new(CPUS);
        thread::scope(|scope| {
            for cpu in 0..CPUS {
                let (fixture, barrier) = (&fixture, &barrier);
                scope.spawn(move || {
                    bind_to_cpu(cpu);
                    let flags = [SYN, FIN][cpu];
                    for port in 0..FLOWS {
                        let frame = Ipv4::default().frame(&tcp(port, 2, flags, 0));
                        // Each flow is new to both at the same moment.
                        barrier.wait();
                        run(fixture.datapath.from_eni(), fixture.eni.get(), &frame, 1);
                    }
                });
            }
        });
        let flows = fixture.flows();
        assert_eq!(flows.len(), usize::from(FLOWS));
        for flow in flows.values() {
            let packets = CPUS as u64;
            assert_eq!(count(flow), Count { packets, bytes: packets * LENGTH }, "{flow:?}");
            assert_eq!(flow.window(Interval::FIRST).unwrap().tcp_flags, 3, "{flow:?}");
        }
        assert_eq!(fixture.ledgers().egress.buckets_total(), Count::default());
        fixture.assert_closes();
    });
}

/// While CPUs count, intervals pass: what is read of each closed one is at rest, and all of them add up.
#[test]
fn intervals_that_pass_meanwhile_add_up() {
    in_host(|| {
        const INTERVALS: usize = 20;
        // No more in one run: it is one RCU read-side section, which the interval's end waits for.
        const TIMES: u32 = 50;
        let fixture = Fixture::new();
        let frame = Ipv4::default().frame(&tcp(1, 2, ACK, 0));
        let stop = AtomicBool::new(false);
        let mut exporter = Exporter::default();
        let send = |cpu| {
            bind_to_cpu(cpu);
            let mut packets = 0;
            while !stop.load(Ordering::Relaxed) {
                run(fixture.datapath.from_eni(), fixture.eni.get(), &frame, TIMES);
                packets += u64::from(TIMES);
            }
            packets
        };
        let packets: u64 = thread::scope(|scope| {
            let send = &send;
            let senders: Vec<_> = (0..CPUS).map(|cpu| scope.spawn(move || send(cpu))).collect();
            for _ in 0..INTERVALS {
                exporter.export(&fixture);
            }
            stop.store(true, Ordering::Relaxed);
            senders.into_iter().map(|sender| sender.join().unwrap()).sum()
        });
        // What was counted after the last interval that was read.
        exporter.export(&fixture);
        assert_eq!(exporter.total, Count { packets, bytes: packets * LENGTH });
        assert!(exporter.with_packets > INTERVALS / 2, "{} intervals", exporter.with_packets);
        fixture.assert_closes();
    });
}

/// Exports flows as the daemon does: by difference to what the same window held when it was exported before.
#[derive(Default)]
struct Exporter {
    before: [Count; 2],
    total: Count,
    with_packets: usize,
}

impl Exporter {
    fn export(&mut self, fixture: &Fixture) {
        let closed = fixture.datapath.advance_interval().unwrap();
        let read = || fixture.flows().into_values().find_map(|flow| flow.window(closed).copied());
        let Some(window) = read() else {
            return;
        };
        self.with_packets += 1;
        assert_eq!(read().map(|again| (again.packets, again.bytes)), Some((window.packets, window.bytes)));
        let in_ledger = fixture.ledgers().egress.wire[closed.window()];
        assert_eq!(in_ledger, Count { packets: window.packets, bytes: window.bytes });
        let before = &mut self.before[closed.window()];
        self.total.packets += window.packets - before.packets;
        self.total.bytes += window.bytes - before.bytes;
        *before = Count { packets: window.packets, bytes: window.bytes };
    }
}

/// Expired entries are deleted while packets of their flows arrive: the point of expiry.
#[test]
fn deleting_expired_entries_loses_nothing() {
    in_host(|| {
        const ROUNDS: u32 = 100;
        let fixture = Fixture::new();
        let group = policy::open(&fixture.datapath);
        // Kept for one tick, the least there is.
        let settings = EniSettings { tcp_opening: Duration::ZERO, ..settings(fixture.eni, &[group]) };
        fixture.datapath.open_eni(&settings).unwrap();
        let frame = Ipv4::default().frame(&tcp(1, 2, ACK, 0));
        let mut deleted = Count::default();
        for _ in 0..ROUNDS {
            let deadline = Instant::now() + Duration::from_secs(20);
            while !all_expired(&fixture) {
                assert!(Instant::now() < deadline, "an idle entry does not expire");
                fixture.datapath.advance_interval().unwrap();
            }
            deleted.add(thread::scope(|scope| {
                let (fixture, frame) = (&fixture, &frame);
                scope.spawn(move || {
                    bind_to_cpu(1);
                    run(fixture.datapath.from_eni(), fixture.eni.get(), frame, 100);
                });
                bind_to_cpu(0);
                let mut deleted = Count::default();
                let mut keys = Vec::new();
                let mut collect = |flow: FlowReading| {
                    if flow.expired {
                        deleted.add(count(&flow));
                        keys.push(flow.key);
                    }
                };
                fixture.datapath.read_flows(&mut collect).unwrap();
                fixture.datapath.delete_flows(&keys).unwrap();
                deleted
            }));
        }
        let ledger = fixture.ledgers().egress;
        let mut sum = fixture.flows_total(Direction::Egress);
        sum.add(deleted);
        sum.add(ledger.buckets_total());
        assert_eq!(sum, ledger.wire());
        assert_eq!(ledger.wire().packets, u64::from(ROUNDS) * 100);
        assert!(deleted.packets > u64::from(ROUNDS), "{deleted:?}");
    });
}

fn all_expired(fixture: &Fixture) -> bool {
    let mut all = true;
    fixture.datapath.read_flows(&mut |flow| all &= flow.expired).unwrap();
    all
}
