//! A task whose `eth0` is watched, and what its records and counters say of it.

use std::collections::HashMap;

use enid_api::v1::{DirectionCounters, Task};
use enid_testbed::capture::{Capture, Captured, Flow, Seen, Way};
use enid_testbed::namespace::command;
use enid_testbed::{DEADLINE, Host, wait_until};

use super::SMALL_MTU;
use super::books::Books;
use super::mix::UDP_PORTS;
use crate::ledger::counters;
use crate::networks::{inside, ipv4, ipv6};

/// A task with what is seen at its `eth0`, from a moment of rest on.
pub(super) struct Watched {
    pub(super) task: Task,
    capture: Capture,
    before: Captured,
    /// Outside of records: buckets, and what a VPC does not log.
    outside_before: [Seen; 2],
}

impl Watched {
    /// Begins where nothing moves.
    pub(super) fn new(host: &Host, task: Task) -> Self {
        let capture = Capture::start(&inside(&task), "eth0", SMALL_MTU.into());
        let mut at_rest = None;
        assert!(wait_until(DEADLINE, || {
            let before = capture.captured();
            let outside = outside_records(host, &task.name);
            let is_at_rest = outside_records(host, &task.name) == outside && capture.captured() == before;
            at_rest = is_at_rest.then_some((before, outside));
            is_at_rest
        }));
        let (before, outside_before) = at_rest.unwrap();
        Self { task, capture, before, outside_before }
    }

    pub(super) fn eni(&self) -> &str {
        &self.task.eni.as_ref().unwrap().id
    }

    /// What was seen since.
    pub(super) fn captured(&self) -> Captured {
        let mut captured = self.capture.captured();
        for (flow, seen) in &self.before.flows {
            let now = captured.flows.get_mut(flow).unwrap();
            *now = difference(*now, *seen);
        }
        for (now, before) in captured.others.iter_mut().zip(self.before.others) {
            *now = difference(*now, before);
        }
        captured
    }

    /// Packets of both directions that are in no record, by the daemon's counters.
    pub(super) fn outside_records(&self, host: &Host) -> [Seen; 2] {
        outside_records(host, &self.task.name)
    }

    /// What SKIPDATA records have to state: both directions together.
    pub(super) fn without_room(&self, host: &Host) -> Seen {
        let counters = counters(host, &self.task.name);
        let mut sum = Seen::default();
        for direction in [counters.egress.unwrap(), counters.ingress.unwrap()] {
            let buckets = direction.buckets.iter();
            for bucket in buckets.filter(|of| ["skipped", "unrecorded"].contains(&&*of.name)) {
                sum.add(Seen { packets: bucket.packets, bytes: bucket.bytes });
            }
        }
        sum
    }

    /// What was refused on arrival and is in no record: where intervals pass as fast as one can ask for it, there may be no place
    /// for another entry of a refused flow before the last one is deleted.
    pub(super) fn unrecorded(&self, host: &Host) -> Seen {
        let ingress = counters(host, &self.task.name).ingress.unwrap();
        let bucket = ingress.buckets.iter().find(|of| of.name == "unrecorded");
        bucket.map_or_else(Seen::default, |of| Seen { packets: of.packets, bytes: of.bytes })
    }

    /// What a task without rules of its own sent to this one and did not arrive: the difference of both captures. Flows that
    /// are always let in are left out, as of those some packets are too long: a router has cut or refused them.
    pub(super) fn refused(&self, sender: &Captured, receiver: &Captured) -> Seen {
        const ICMP: [u8; 2] = [1, 58];
        const UDP: u8 = 17;
        let addresses = [ipv4(&self.task), ipv6(&self.task)];
        let mut refused = Seen::default();
        for (flow, sent) in sender.flows.iter().filter(|(flow, _)| flow.way == Way::Out) {
            let is_let_in = ICMP.contains(&flow.protocol)
                || flow.protocol == UDP && UDP_PORTS.contains(&flow.destination_port);
            let arrived = receiver.flows.get(&Flow { way: Way::In, ..*flow });
            if addresses.contains(&flow.destination) && !is_let_in {
                refused.add(difference(*sent, arrived.copied().unwrap_or_default()));
            }
        }
        refused
    }

    /// Holds records and counters against the capture.
    #[track_caller]
    pub(super) fn compare(
        &self,
        captured: &Captured,
        refused: Seen,
        unrecorded: Seen,
        outside: [Seen; 2],
        spool: &Books,
    ) {
        let name = &self.task.name;
        for (way, refused, outside, before) in [
            (Way::Out, Seen::default(), outside[0], self.outside_before[0]),
            (Way::In, refused, outside[1], self.outside_before[1]),
        ] {
            let (records, outside) = (spool.total(self.eni(), way), difference(outside, before));
            let wire = sum([captured.total(way), refused]);
            println!(
                "{name} {way:?}: {} packets, {} bytes; {} of them refused on arrival; {} in records, {} not",
                wire.packets, wire.bytes, refused.packets, records.packets, outside.packets
            );
            let found = sum([records, outside]);
            assert_eq!(found, wire, "{name} {way:?}: {}", self.differences(captured, way, spool));
            assert!(wire.packets > 1_000 && outside.packets > 0, "{name} {way:?}: too little happened");
        }
        let recorded = sum([spool.refused(self.eni(), Way::In), unrecorded]);
        assert_eq!(
            recorded, refused,
            "{name}: refused on arrival, {} of it in no record",
            unrecorded.packets
        );
        println!("{name}: {} buffers were segmented", captured.segmented);
        assert!(captured.segmented > 0, "{name}: too little happened");
        // No flow's records have more than was seen of it.
        for (flow, recorded) in spool.of(self.eni()).filter(|(flow, _)| flow.way == Way::Out) {
            let seen = captured.flows.get(flow).copied().unwrap_or_default();
            let is_within = recorded.packets <= seen.packets && recorded.bytes <= seen.bytes;
            assert!(is_within, "{name} {flow:?}: {}", self.differences(captured, Way::Out, spool));
        }
    }

    /// The flows whose records and capture differ, for whoever has to find out why.
    fn differences(&self, captured: &Captured, way: Way, spool: &Books) -> String {
        let recorded: HashMap<&Flow, &Seen> = spool.of(self.eni()).collect();
        let mut lines = Vec::new();
        for (flow, seen) in captured.flows.iter().filter(|(flow, _)| flow.way == way) {
            let recorded = recorded.get(flow).map_or(Seen::default(), |seen| **seen);
            if recorded != *seen {
                lines.push(format!("{flow:?}: captured {seen:?}, recorded {recorded:?}"));
            }
        }
        for (flow, seen) in recorded.into_iter().filter(|(flow, _)| flow.way == way) {
            if !captured.flows.contains_key(flow) {
                lines.push(format!("{flow:?}: not captured, recorded {seen:?}"));
            }
        }
        lines.sort();
        format!("others {:?}\n{}", captured.others, lines.join("\n"))
    }

    /// What the task's `eth0` could not hand to its host end.
    pub(super) fn transmit_drops(&self) -> u64 {
        let link = command(&inside(&self.task), &["ip", "-j", "-s", "link", "show", "eth0"]);
        let link: serde_json::Value = serde_json::from_str(&link).unwrap();
        link[0]["stats64"]["tx"]["dropped"].as_u64().unwrap()
    }
}

fn difference(now: Seen, before: Seen) -> Seen {
    Seen { packets: now.packets - before.packets, bytes: now.bytes - before.bytes }
}

fn sum<const N: usize>(parts: [Seen; N]) -> Seen {
    parts.into_iter().fold(Seen::default(), |mut sum, part| {
        sum.add(part);
        sum
    })
}

/// What of a direction is in no record, by the daemon's counters: in named buckets, and what a VPC does not log.
fn outside_of(counters: &DirectionCounters) -> Seen {
    let mut outside =
        counters.not_logged.map_or(Seen::default(), |of| Seen { packets: of.packets, bytes: of.bytes });
    for bucket in &counters.buckets {
        outside.add(Seen { packets: bucket.packets, bytes: bucket.bytes });
    }
    outside
}

fn outside_records(host: &Host, task: &str) -> [Seen; 2] {
    let counters = counters(host, task);
    [outside_of(&counters.egress.unwrap()), outside_of(&counters.ingress.unwrap())]
}
