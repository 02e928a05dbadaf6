//! The drain: what entries have counted since they were last read becomes records, one by one, as they are read.

use std::collections::{HashMap, HashSet};

use enid_datapath::{Count, FlowReading, FlowWindow, Interval, RefusalKey};
use enid_flowlog::FlowRecord;
use enid_model::{EniNumber, Networks};

use super::exported::Exported;
use super::registry::Registry;
use super::shares::shares;

/// A pass over the tables. A flow may have several records of one interval: where it has entries in two generations, was
/// delivered partly by the kernel, or was let through by its own ENI and partly refused by another. Who reads them adds
/// them up.
#[derive(Debug)]
pub(super) struct Drain<'a> {
    exported: &'a mut Exported,
    registry: &'a Registry,
    networks: &'a Networks,
    /// The interval that is still open: its windows change under our eyes, and their turn comes.
    open: Option<Interval>,
    /// The interval's beginning and end, in Unix seconds.
    times: (u64, u64),
    /// The ENIs that had records.
    pub(super) busy: HashSet<EniNumber>,
    /// Where no interval is open: what ENIs have counted, by direction and window, as theirs may not be over.
    pub(super) ahead: HashMap<EniNumber, [[Count; 2]; 2]>,
    /// Entries that are exported to the last packet.
    pub(super) ending: Vec<RefusalKey>,
}

impl<'a> Drain<'a> {
    pub(super) fn new(
        exported: &'a mut Exported,
        registry: &'a Registry,
        networks: &'a Networks,
        open: Option<Interval>,
        times: (u64, u64),
    ) -> Self {
        let (busy, ahead, ending) = (HashSet::new(), HashMap::new(), Vec::new());
        Self { exported, registry, networks, open, times, busy, ahead, ending }
    }

    /// Gives `write` the records of what an entry has counted and was not exported yet, and remembers that it was. The
    /// entry ends if it has expired, or `is_last`.
    pub(super) fn entry<E>(
        &mut self,
        flow: &FlowReading,
        is_last: bool,
        write: &mut impl FnMut(FlowRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut is_all = true;
        for (window, reading) in flow.windows.iter().enumerate() {
            let count = self.exported.pending(flow, window);
            if count.packets == 0 {
                continue;
            }
            if Some(reading.interval) == self.open {
                is_all = false;
                continue;
            }
            let is_logged = self.registry.is_logged(self.networks, flow);
            let reading = &self.within(*reading);
            let mut recorded = [None; 2];
            for (share, place) in shares(flow).zip(&mut recorded) {
                if !is_logged {
                    *place = self.registry.interface(share.eni).map(|_| share);
                } else if let Some(record) = self.registry.record(self.networks, flow, share, reading, count)
                {
                    write(record)?;
                    self.busy.insert(share.eni);
                    *place = Some(share);
                }
            }
            if self.open.is_none() {
                for share in recorded.into_iter().flatten() {
                    self.ahead.entry(share.eni).or_default()[share.direction as usize][window].add(count);
                }
            }
            // Of ENIs without an account there is nothing to write, now or ever.
            if recorded.iter().any(Option::is_some) {
                self.exported.add((flow.entry(), window), recorded, count, is_logged);
            }
        }
        if is_last || is_all && flow.expired {
            self.ending.push(flow.entry());
        }
        Ok(())
    }

    /// A window with times within the interval. Programs enter the next interval a moment after the daemon has ended this one,
    /// and their clock is coarse: a record that seems to end a second too late would be sought in the next interval.
    fn within(&self, window: FlowWindow) -> FlowWindow {
        let (began, ended) = self.times;
        let last = ended.saturating_sub(1).max(began);
        FlowWindow { first: window.first.clamp(began, last), last: window.last.clamp(began, last), ..window }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::super::testing::{entry, number, registry};
    use super::*;

    #[test]
    fn an_eni_without_an_account_leaves_the_other_its_own() {
        let (registry, ids) = registry(1);
        let mut exported = Exported::default();
        let networks = Networks::default();
        let mut drain = Drain::new(&mut exported, &registry, &networks, None, (0, 10));
        let mut records = Vec::new();
        let mut flow = FlowReading { target: Some(number(7)), ..entry(0, 80) };
        (flow.windows[0].interval, flow.windows[0].packets) = (Interval::new(2), 5);
        let nobodys = FlowReading { eni: number(7), target: None, ..flow };
        for flow in [flow, nobodys] {
            let Ok(()) = drain.entry(&flow, false, &mut |record| {
                records.push(record);
                Ok::<_, Infallible>(())
            });
        }
        assert_eq!(records.iter().map(|record| record.interface.eni).collect::<Vec<_>>(), ids);
        assert_eq!((drain.busy, drain.ending), (HashSet::from([number(0)]), Vec::new()));
        assert_eq!(exported.entries.len(), 1);
    }
}
