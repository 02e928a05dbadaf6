//! What was exported of an ENI, added up.

use enid_datapath::{Count, Direction};
use enid_model::TrafficClass;
use serde::{Deserialize, Serialize};

use super::balances::Balanced;
use super::shares::Share;

/// Packets and bytes.
pub(super) type Sum = (u64, u64);

/// What was exported of an ENI.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    egress: DirectionTotals,
    ingress: DirectionTotals,
    /// What of its ledgers is in balances.
    #[serde(default)]
    pub(super) balanced: Balanced,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct DirectionTotals {
    /// What was let through, by traffic class.
    accepted: [Sum; TrafficClass::ALL.len()],
    refused: Sum,
    /// Of both, what the VPC does not log: it is in no record.
    #[serde(default)]
    unlogged: Sum,
    /// Of that, what was refused.
    #[serde(default)]
    unlogged_refused: Sum,
}

impl Totals {
    const fn of(&self, direction: Direction) -> &DirectionTotals {
        match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        }
    }

    pub(super) fn add(&mut self, share: Share, count: Count) {
        let totals = match share.direction {
            Direction::Egress => &mut self.egress,
            Direction::Ingress => &mut self.ingress,
        };
        let sum = match share.reason {
            Some(_) => Some(&mut totals.refused),
            None => totals.accepted.get_mut(usize::from(share.class.number())),
        };
        if let Some((packets, bytes)) = sum {
            *packets += count.packets;
            *bytes += count.bytes;
        }
    }

    /// Says of what was added that the VPC does not log it.
    pub(super) fn add_unlogged(&mut self, share: Share, count: Count) {
        let totals = match share.direction {
            Direction::Egress => &mut self.egress,
            Direction::Ingress => &mut self.ingress,
        };
        let refused = share.reason.map(|_| &mut totals.unlogged_refused);
        for (packets, bytes) in [Some(&mut totals.unlogged), refused].into_iter().flatten() {
            *packets += count.packets;
            *bytes += count.bytes;
        }
    }

    /// What the VPC does not log.
    pub(super) fn unlogged(&self, direction: Direction) -> Count {
        count(self.of(direction).unlogged)
    }

    /// What the VPC does not log and was refused.
    pub(super) fn unlogged_refused(&self, direction: Direction) -> Count {
        count(self.of(direction).unlogged_refused)
    }

    /// What was let through, by traffic class.
    pub(super) fn accepted(&self, direction: Direction) -> impl Iterator<Item = (TrafficClass, Count)> {
        TrafficClass::ALL.into_iter().zip(self.of(direction).accepted.into_iter().map(count))
    }

    /// What was refused, in records.
    pub(super) fn refused(&self, direction: Direction) -> Count {
        without(count(self.of(direction).refused), self.unlogged_refused(direction))
    }

    /// All there is in records.
    pub(super) fn all(&self, direction: Direction) -> Count {
        let mut all = count(self.of(direction).refused);
        for (_, accepted) in self.accepted(direction) {
            all.add(accepted);
        }
        without(all, self.unlogged(direction))
    }
}

pub(super) const fn count((packets, bytes): Sum) -> Count {
    Count { packets, bytes }
}

const fn without(count: Count, part: Count) -> Count {
    Count {
        packets: count.packets.saturating_sub(part.packets),
        bytes: count.bytes.saturating_sub(part.bytes),
    }
}

#[cfg(test)]
mod tests {
    use enid_datapath::Reason;

    use super::super::testing::number;
    use super::*;

    #[test]
    fn what_was_refused_is_in_no_class() {
        let mut totals = Totals::default();
        let share = |direction, class, reason| Share { eni: number(0), direction, class, reason };
        let count = |packets| Count { packets, bytes: packets * 10 };
        totals.add(share(Direction::Egress, TrafficClass::Logs, None), count(1));
        totals.add(share(Direction::Egress, TrafficClass::Logs, Some(Reason::NoRoute)), count(2));
        totals.add(share(Direction::Egress, TrafficClass::Exec, None), count(4));
        totals.add(share(Direction::Ingress, TrafficClass::Logs, None), count(8));
        assert_eq!(totals.refused(Direction::Egress), count(2));
        assert_eq!(totals.all(Direction::Egress), count(7));
        assert_eq!(totals.all(Direction::Ingress), count(8));
        totals.add_unlogged(share(Direction::Egress, TrafficClass::Logs, Some(Reason::Router)), count(2));
        totals.add_unlogged(share(Direction::Egress, TrafficClass::Logs, None), count(1));
        assert_eq!(totals.unlogged(Direction::Egress), count(3));
        assert_eq!(totals.unlogged_refused(Direction::Egress), count(2));
        assert_eq!((totals.refused(Direction::Egress), totals.all(Direction::Egress)), (count(0), count(4)));
        let mut classes = totals.accepted(Direction::Egress);
        assert_eq!(
            classes.find(|(class, _)| *class == TrafficClass::Logs),
            Some((TrafficClass::Logs, count(1)))
        );
    }
}
