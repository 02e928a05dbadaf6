//! What was exported of each entry, and what that adds up to.
//!
//! Entries only ever count up, so that a crash loses nothing; what has been exported must therefore be known to the next
//! daemon too. So must what is about to be deleted: an entry that is there again under a key whose entry was deleted is a
//! new one, of which nothing is exported, though its counts may look as if it were the old one.

use std::collections::{HashMap, HashSet};

use enid_datapath::{Count, Direction, FlowReading, Interval, Ledgers, RefusalKey};
use enid_model::EniNumber;
use enid_spool::Balance;

use super::entries::Entries;
use super::shares::{Share, ends_with};
use super::totals::Totals;

/// What was exported, entry by entry and ENI by ENI.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Exported {
    /// By [`FlowReading::entry`] and window.
    pub(super) entries: Entries,
    pub(super) totals: HashMap<u32, Totals>,
    /// The last batch of records that was written.
    pub(super) batch: u64,
    /// Whether some of the records are not kept any more.
    pub(super) trimmed: bool,
    pub(super) ending: Ending,
}

/// Entries that are exported to the last packet and to be deleted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) entries: Vec<RefusalKey>,
    /// The interval in which they go: an entry that was in use in it, or later, is a new one.
    pub(super) interval: Interval,
    /// ENIs that are gone: none of their entries is a new one.
    pub(super) enis: Vec<u32>,
}

impl Exported {
    /// Remembers that a window's count has become records of these shares; or, if it `is_logged` not, is only counted.
    pub(super) fn add(
        &mut self,
        (key, window): (RefusalKey, usize),
        shares: [Option<Share>; 2],
        count: Count,
        is_logged: bool,
    ) {
        if let Some(known) = self.entries.get_or_new(key).and_then(|windows| windows.get_mut(window)) {
            known.add(count);
        }
        for share in shares.into_iter().flatten() {
            let totals = self.totals.entry(share.eni.get()).or_default();
            totals.add(share, count);
            if !is_logged {
                totals.add_unlogged(share, count);
            }
        }
    }

    /// What an ENI's ledgers have counted in these windows since they were last balanced; `ledgers` is what they are at.
    pub(super) fn balance(
        &mut self,
        number: EniNumber,
        ledgers: &Ledgers,
        windows: &[usize],
    ) -> [Balance; 2] {
        let totals = self.totals.entry(number.get()).or_default();
        [Direction::Egress, Direction::Ingress].map(|direction| {
            let not_logged = totals.unlogged(direction);
            totals.balanced.take(ledgers, direction, windows, not_logged)
        })
    }

    /// The balances of what became records of an ENI, by direction and window, before its interval is over.
    pub(super) fn balance_ahead(
        &mut self,
        number: EniNumber,
        [egress, ingress]: [[Count; 2]; 2],
    ) -> [Balance; 2] {
        let totals = self.totals.entry(number.get()).or_default();
        [(Direction::Egress, egress), (Direction::Ingress, ingress)].map(|(direction, windows)| {
            let not_logged = totals.unlogged(direction);
            totals.balanced.take_ahead(direction, windows, not_logged)
        })
    }

    /// Remembers that the oldest records were removed, to stay within their limit.
    pub(super) fn trim(&mut self) {
        self.trimmed = true;
    }

    /// What of an ENI's exported counts the records that are kept do not hold, since the oldest were removed. None as long
    /// as none were: then whatever is missing was lost.
    pub(super) fn not_kept(&self, exported: Count, kept: Count) -> Count {
        if !self.trimmed {
            return Count::default();
        }
        Count {
            packets: exported.packets.saturating_sub(kept.packets),
            bytes: exported.bytes.saturating_sub(kept.bytes),
        }
    }

    /// What an entry's window has counted since it was exported.
    pub(super) fn pending(&self, flow: &FlowReading, window: usize) -> Count {
        let Some(reading) = flow.windows.get(window).filter(|reading| reading.packets > 0) else {
            return Count::default();
        };
        let known = self.entries.get(&flow.entry()).and_then(|windows| windows.get(window));
        let known = known.copied().unwrap_or_default();
        Count {
            packets: reading.packets.saturating_sub(known.packets),
            bytes: reading.bytes.saturating_sub(known.bytes),
        }
    }

    /// What was exported of an ENI.
    pub(super) fn totals(&self, number: EniNumber) -> Totals {
        self.totals.get(&number.get()).cloned().unwrap_or_default()
    }

    /// Takes up what there is, given by `read`, after an earlier daemon has ended, maybe before it could remember what it
    /// did. Forgets entries that are gone or were made anew, and returns those that were about to be deleted.
    pub(super) fn reconcile<E>(
        &mut self,
        read: impl FnOnce(&mut dyn FnMut(FlowReading)) -> Result<(), E>,
    ) -> Result<Vec<RefusalKey>, E> {
        let ending = std::mem::take(&mut self.ending);
        let in_ending: HashSet<&RefusalKey> = ending.entries.iter().collect();
        let mut left = Vec::new();
        let mut is_there = vec![false; self.entries.len()];
        read(&mut |flow| {
            let key = flow.entry();
            let of_gone = ends_with(&flow, |eni| ending.enis.contains(&eni.get()));
            let has_ended = in_ending.contains(&key);
            if of_gone || has_ended && ending.precedes(&flow) {
                left.push(key);
            } else if let Some(place) = self.entries.place(&key).filter(|_| !has_ended) {
                let windows = self.entries.get(&key).copied().unwrap_or_default();
                let counted = flow.windows.iter().map(|window| window.packets);
                let is_same =
                    windows.iter().zip(counted).all(|(exported, counted)| exported.packets <= counted);
                is_there.get_mut(place).into_iter().for_each(|found| *found = is_same);
            }
        })?;
        // From the end, so that what takes the place of another has been looked at.
        for (place, _) in is_there.iter().enumerate().rev().filter(|(_, is_there)| !**is_there) {
            self.entries.remove_at(place);
        }
        self.entries.shrink();
        Ok(left)
    }

    /// Forgets entries that are deleted.
    pub(super) fn forget_ended(&mut self) {
        self.entries.remove_all(&std::mem::take(&mut self.ending).entries);
    }

    /// Forgets an ENI.
    pub(super) fn forget_eni(&mut self, number: EniNumber) {
        self.totals.remove(&number.get());
    }
}

impl Ending {
    /// Whether an entry was not in use since: it is the one that was to be deleted.
    fn precedes(&self, flow: &FlowReading) -> bool {
        let before = |interval: Interval| {
            let since = self.interval.since(interval);
            interval.number() == 0 || (1..=Interval::LAST.number() / 2).contains(&since)
        };
        flow.windows.iter().all(|window| before(window.interval))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{entry, number};
    use super::*;

    #[test]
    fn what_is_left_of_an_eni_that_is_gone_is_found() {
        let mut flows = [entry(1, 80), entry(0, 80), entry(0, 81), entry(0, 82)];
        flows[1].target = Some(number(1));
        flows[2].target = Some(number(2));
        let interval = Interval::new(5);
        for flow in &mut flows {
            (flow.windows[1].interval, flow.windows[1].packets) = (interval, 3);
        }
        let counts = [Count::default(), Count { packets: 3, bytes: 0 }];
        let keys = flows.map(|flow| flow.entry());
        let mut exported = Exported {
            entries: keys.map(|key| (key, counts)).into_iter().collect(),
            ending: Ending { entries: keys[..2].to_vec(), interval, enis: vec![number(1).get()] },
            ..Exported::default()
        };
        let read = |each: &mut dyn FnMut(FlowReading)| {
            for flow in flows {
                each(flow);
            }
            Ok::<_, ()>(())
        };
        assert_eq!(exported.reconcile(read), Ok(keys[..2].to_vec()));
        assert_eq!(exported.entries, keys[2..].iter().map(|key| (*key, counts)).collect());
        assert_eq!(exported.pending(&flows[2], 1), Count::default());
        assert_eq!(exported.pending(&flows[0], 1).packets, 3);
    }

    #[test]
    fn only_removed_records_excuse_what_is_missing() {
        let count = |packets| Count { packets, bytes: packets * 10 };
        let mut exported = Exported::default();
        assert_eq!(exported.not_kept(count(5), count(3)), count(0));
        exported.trim();
        assert_eq!(exported.not_kept(count(5), count(3)), count(2));
        assert_eq!(exported.not_kept(count(5), count(7)), count(0));
    }
}
