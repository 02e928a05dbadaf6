//! Balances: what the ledgers of an ENI have counted since they were last balanced. They are kept beside the records, so that
//! the records of any interval can be held against them later.

use enid_datapath::{Bucket, Count, Direction, Ledgers};
use enid_flowlog::Loss;
use enid_spool::{Balance, NOT_LOGGED};
use serde::{Deserialize, Serialize};

use super::totals::{Sum, count};

/// What of an ENI's ledgers is in balances, by direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Balanced([DirectionBalanced; 2]);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct DirectionBalanced {
    /// By window.
    wire: [Sum; 2],
    /// By window and bucket.
    buckets: [[Sum; Bucket::COUNT]; 2],
    not_logged: Sum,
}

impl Balanced {
    /// What a direction's ledger has counted in these windows since they were last balanced. `not_logged` is what was ever
    /// written off as that.
    pub(super) fn take(
        &mut self,
        ledgers: &Ledgers,
        direction: Direction,
        windows: &[usize],
        not_logged: Count,
    ) -> Balance {
        let ledger = ledgers.of(direction);
        let mut balance = Balance::default();
        let [egress, ingress] = &mut self.0;
        let known = if direction == Direction::Egress { egress } else { ingress };
        let counted = ledger.wire.iter().zip(&ledger.buckets);
        let windows_known = known.wire.iter_mut().zip(&mut known.buckets);
        for (window, ((wire, buckets), (wire_known, buckets_known))) in counted.zip(windows_known).enumerate()
        {
            if !windows.contains(&window) {
                continue;
            }
            balance.ledger.add(since(*wire, wire_known));
            for ((bucket, count), known) in Bucket::ALL.iter().zip(buckets).zip(buckets_known) {
                balance.add_bucket(bucket.as_str(), since(*count, known));
            }
        }
        balance.add_bucket(NOT_LOGGED, since(not_logged, &mut known.not_logged));
        balance
    }

    /// What is in records already, by window, though its interval is not over: it is balanced with them, and not again.
    pub(super) fn take_ahead(
        &mut self,
        direction: Direction,
        windows: [Count; 2],
        not_logged: Count,
    ) -> Balance {
        let mut balance = Balance::default();
        let [egress, ingress] = &mut self.0;
        let known = if direction == Direction::Egress { egress } else { ingress };
        for (known, ahead) in known.wire.iter_mut().zip(windows) {
            balance.ledger.add(sum(ahead));
            *known = (known.0 + ahead.packets, known.1 + ahead.bytes);
        }
        balance.add_bucket(NOT_LOGGED, since(not_logged, &mut known.not_logged));
        balance
    }
}

/// What a table had no room for: it is in no record.
pub(super) fn loss(balances: [&Balance; 2]) -> Loss {
    let mut loss = Loss { packets: 0, bytes: 0, records: 0 };
    for bucket in [Bucket::Skipped, Bucket::Unrecorded] {
        for count in balances.iter().filter_map(|balance| balance.buckets.get(bucket.as_str())) {
            loss.packets += count.packets;
            loss.bytes += count.bytes;
        }
    }
    loss
}

/// What was counted since a count was known, which it is from here on. Ledgers that are behind have begun anew.
fn since(counted: Count, known: &mut Sum) -> enid_spool::Sum {
    let before = count(*known);
    *known = (counted.packets, counted.bytes);
    if counted.packets < before.packets {
        return sum(counted);
    }
    sum(Count {
        packets: counted.packets - before.packets,
        bytes: counted.bytes.saturating_sub(before.bytes),
    })
}

const fn sum(count: Count) -> enid_spool::Sum {
    enid_spool::Sum { packets: count.packets, bytes: count.bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn counted(packets: u64) -> Count {
        Count { packets, bytes: packets * 100 }
    }

    #[test]
    fn each_count_is_balanced_once() {
        let mut balanced = Balanced::default();
        let mut ledgers = Ledgers::default();
        ledgers.egress.wire = [counted(7), counted(100)];
        ledgers.egress.buckets[0][Bucket::Arp.index()] = counted(2);
        ledgers.egress.buckets[1][Bucket::Skipped.index()] = counted(3);
        let mut take = |ledgers: &Ledgers, windows: &[usize], not_logged| {
            let balance = balanced.take(ledgers, Direction::Egress, windows, counted(not_logged));
            let buckets: Vec<_> =
                balance.buckets.iter().map(|(name, sum)| (name.clone(), sum.packets)).collect();
            (balance.ledger.packets, buckets, loss([&balance, &Balance::default()]).packets)
        };
        let bucket = |name: &str, packets| (name.to_owned(), packets);
        assert_eq!(take(&ledgers, &[0], 1), (7, vec![bucket("arp", 2), bucket("not-logged", 1)], 0));
        assert_eq!(take(&ledgers, &[0], 1), (0, vec![], 0));
        ledgers.egress.wire[0] = counted(8);
        assert_eq!(take(&ledgers, &[0, 1], 3), (101, vec![bucket("not-logged", 2), bucket("skipped", 3)], 3));
        // Ledgers that began anew.
        ledgers.egress.wire = [counted(5), counted(0)];
        assert_eq!(take(&ledgers, &[0, 1], 3).0, 5);
    }

    #[test]
    fn what_is_balanced_ahead_is_not_balanced_again() {
        let mut balanced = Balanced::default();
        let ahead = balanced.take_ahead(Direction::Ingress, [Count::default(), counted(4)], counted(1));
        assert_eq!((ahead.ledger.packets, ahead.buckets[NOT_LOGGED].packets), (4, 1));
        let mut ledgers = Ledgers::default();
        ledgers.ingress.wire[1] = counted(6);
        let balance = balanced.take(&ledgers, Direction::Ingress, &[1], counted(1));
        assert_eq!((balance.ledger.packets, balance.ledger.bytes, balance.buckets.len()), (2, 200, 0));
    }
}
