//! The drain: what entries have counted since they were last read becomes records, one by one, as they are read.

use std::collections::HashSet;

use enid_datapath::{FlowReading, Interval, RefusalKey};
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
    /// The ENIs that had records.
    pub(super) busy: HashSet<EniNumber>,
    /// Entries that are exported to the last packet.
    pub(super) ending: Vec<RefusalKey>,
}

impl<'a> Drain<'a> {
    pub(super) fn new(
        exported: &'a mut Exported,
        registry: &'a Registry,
        networks: &'a Networks,
        open: Option<Interval>,
    ) -> Self {
        Self { exported, registry, networks, open, busy: HashSet::new(), ending: Vec::new() }
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
            let mut recorded = [None; 2];
            for (share, place) in shares(flow).zip(&mut recorded) {
                if let Some(record) = self.registry.record(self.networks, flow, share, reading, count) {
                    write(record)?;
                    self.busy.insert(share.eni);
                    *place = Some(share);
                }
            }
            // Of ENIs without an account there is nothing to write, now or ever.
            if recorded.iter().any(Option::is_some) {
                self.exported.add(flow.entry(), window, recorded, count);
            }
        }
        if is_last || is_all && flow.expired {
            self.ending.push(flow.entry());
        }
        Ok(())
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
        let mut drain = Drain::new(&mut exported, &registry, &networks, None);
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
