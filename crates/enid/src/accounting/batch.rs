//! What is written together: records, and what they export of which entries.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use enid_datapath::{FlowReading, Interval};
use enid_flowlog::{FlowRecord, Observation, Traffic};
use enid_model::Networks;

use super::exported::{Export, Exported, Exports};
use super::registry::Registry;
use super::shares::{Share, shares};

/// What is to be written together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<FlowRecord>,
    origins: Vec<Origin>,
    pub(super) exports: Exports,
}

/// Where a record of a flow comes from. Sorted, those of one flow and interval are neighbours.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Origin {
    hash: u64,
    interval: u32,
    /// Its place among the records.
    place: usize,
}

impl Batch {
    /// Makes records of what an entry has counted and was not exported yet, but for the interval that is still open: its
    /// window changes under our eyes, and its turn comes. Returns whether nothing is left to export.
    pub(super) fn collect(
        &mut self,
        flow: &FlowReading,
        open: Option<Interval>,
        exported: &Exported,
        registry: &Registry,
        networks: &Networks,
    ) -> bool {
        let mut is_all = true;
        for (window, reading) in flow.windows.iter().enumerate() {
            let count = exported.pending(flow, window);
            if count.packets == 0 {
                continue;
            }
            if Some(reading.interval) == open {
                is_all = false;
                continue;
            }
            let is_logged = registry.is_logged(networks, flow);
            let mut recorded = [None; 2];
            for (share, place) in shares(flow).zip(&mut recorded) {
                if !is_logged {
                    *place = registry.interface(share.eni).map(|_| share);
                } else if let Some(record) = registry.record(networks, flow, share, reading, count) {
                    self.push(record, flow, share, reading.interval);
                    *place = Some(share);
                }
            }
            // Of ENIs without an account there is nothing to write, now or ever.
            if recorded.iter().any(Option::is_some) {
                self.exports.windows.push(Export {
                    key: flow.entry(),
                    window,
                    shares: recorded,
                    count,
                    is_logged,
                });
            }
        }
        is_all
    }

    fn push(&mut self, record: FlowRecord, flow: &FlowReading, share: Share, interval: Interval) {
        let mut hasher = DefaultHasher::new();
        let key = &flow.key;
        (key.source, key.destination, key.source_port, key.destination_port).hash(&mut hasher);
        (key.protocol, share.eni.get(), share.direction as u8, share.class.number()).hash(&mut hasher);
        share.reason.map(|reason| reason as u8).hash(&mut hasher);
        let place = self.records.len();
        self.origins.push(Origin { hash: hasher.finish(), interval: interval.number(), place });
        self.records.push(record);
    }

    /// Makes one record of those that are of one flow and interval. There are several where a flow has entries in two
    /// generations, was delivered partly by the kernel, or was let through by its own ENI and partly refused by another.
    pub(super) fn merge(&mut self) {
        self.origins.sort_unstable();
        let mut merged = Vec::new();
        let origins = std::mem::take(&mut self.origins);
        for run in origins.chunk_by(|a, b| (a.hash, a.interval) == (b.hash, b.interval)) {
            let [first, others @ ..] = run else { continue };
            for other in others {
                if self.merge_two(first.place, other.place) {
                    merged.push(other.place);
                }
            }
        }
        if merged.is_empty() {
            return;
        }
        merged.sort_unstable();
        let (mut place, mut merged) = (0, merged.into_iter().peekable());
        self.records.retain(|_| {
            place += 1;
            merged.next_if_eq(&(place - 1)).is_none()
        });
    }

    /// Adds the second record to the first, if both are of one flow.
    fn merge_two(&mut self, first: usize, second: usize) -> bool {
        let Some(second) = self.records.get(second).cloned() else { return false };
        let Some(first) = self.records.get_mut(first) else { return false };
        let (Observation::Traffic(into), Observation::Traffic(from)) =
            (&mut first.observation, second.observation)
        else {
            return false;
        };
        if !Arc::ptr_eq(&first.interface, &second.interface) || flow_of(into) != flow_of(&from) {
            return false;
        }
        into.packets += from.packets;
        into.bytes += from.bytes;
        into.tcp_flags |= from.tcp_flags;
        first.start = first.start.min(second.start);
        first.end = first.end.max(second.end);
        true
    }
}

/// The flow, without what was counted.
const fn flow_of(traffic: &Traffic) -> Traffic {
    Traffic { packets: 0, bytes: 0, tcp_flags: 0, ..*traffic }
}

#[cfg(test)]
mod tests {
    use enid_model::TrafficClass;

    use super::super::testing::{entry, number, registry};
    use super::*;

    fn counted(mut flow: FlowReading, packets: u64) -> FlowReading {
        (flow.windows[0].interval, flow.windows[0].packets) = (Interval::new(2), packets);
        flow
    }

    fn packets(batch: &Batch) -> Vec<u64> {
        batch.records.iter().map(|record| record.traffic().unwrap().packets).collect()
    }

    #[test]
    fn records_of_one_flow_become_one_unless_their_class_differs() {
        let (registry, _) = registry(1);
        let exported = Exported::default();
        let mut batch = Batch::default();
        let mut flows = [1, 2, 4].map(|packets| counted(entry(0, 80), packets));
        flows[1].key.generation = 1;
        flows[2].class = TrafficClass::Logs;
        for flow in flows {
            assert!(batch.collect(&flow, None, &exported, &registry, &Networks::default()));
        }
        assert_eq!(packets(&batch), [1, 2, 4]);
        batch.merge();
        assert_eq!(packets(&batch), [3, 4]);
        assert_eq!(batch.exports.windows.len(), 3);
    }

    #[test]
    fn an_eni_without_an_account_leaves_the_other_its_own() {
        let (registry, ids) = registry(1);
        let exported = Exported::default();
        let mut batch = Batch::default();
        let flow = FlowReading { target: Some(number(7)), ..counted(entry(0, 80), 5) };
        assert!(batch.collect(&flow, None, &exported, &registry, &Networks::default()));
        assert_eq!(batch.records.len(), 1);
        assert_eq!(batch.records[0].interface.eni, ids[0]);
        let nobodys = counted(entry(7, 80), 5);
        assert!(batch.collect(&nobodys, None, &exported, &registry, &Networks::default()));
        assert_eq!((batch.records.len(), batch.exports.windows.len()), (1, 1));
    }

    #[test]
    fn what_still_counts_is_left_for_its_turn() {
        let (registry, _) = registry(1);
        let exported = Exported::default();
        let mut batch = Batch::default();
        let flow = counted(entry(0, 80), 5);
        let open = Some(Interval::new(2));
        assert!(!batch.collect(&flow, open, &exported, &registry, &Networks::default()));
        assert_eq!(batch.records.len(), 0);
        assert!(batch.collect(&entry(0, 80), open, &exported, &registry, &Networks::default()));
    }
}
