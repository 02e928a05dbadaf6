//! Observation domains: one an ENI, each with its own sequence of data records.

use std::collections::{HashMap, HashSet};

use enid_flowlog::Loss;
use enid_model::EniId;

/// How many domains are kept that the parcel at hand has nothing of. An ENI's id never comes back, so what is beyond
/// them is of ENIs that are gone.
const KEPT: usize = 65_536;

/// What a collector is told of one ENI.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Domain {
    /// The observation domain's id.
    pub(super) id: u32,
    /// How many of its data records have been sent, modulo 2^32.
    pub(super) sequence: u32,
    /// After how many messages its templates are due; none if they are known for good.
    pub(super) templates_in: Option<u32>,
    /// What is in no record, up to the parcel at hand.
    delivered: Loss,
    /// What the parcel at hand adds.
    pending: Loss,
    /// Which parcel it was in last.
    used: u64,
}

impl Domain {
    /// Whether the next message begins with its templates.
    pub(super) fn is_template_due(&self) -> bool {
        self.templates_in == Some(0)
    }

    /// Counts an interval's loss, and says what it comes to with all before it.
    pub(super) fn add_loss(&mut self, loss: &Loss) -> Loss {
        self.pending = sum(&self.pending, loss);
        sum(&self.delivered, &self.pending)
    }
}

const fn sum(left: &Loss, right: &Loss) -> Loss {
    Loss {
        packets: left.packets.saturating_add(right.packets),
        bytes: left.bytes.saturating_add(right.bytes),
        records: left.records.saturating_add(right.records),
    }
}

/// The domains of all ENIs that there were records of.
#[derive(Debug, Default)]
pub(super) struct Domains {
    by_eni: HashMap<EniId, Domain>,
    ids: HashSet<u32>,
    parcel: u64,
}

impl Domains {
    /// A parcel begins, which may be one that failed before: it adds its losses from the beginning.
    pub(super) fn begin(&mut self) {
        self.parcel += 1;
        for domain in self.by_eni.values_mut() {
            domain.pending = Loss::default();
        }
        if self.by_eni.len() > KEPT {
            let oldest = self.parcel.saturating_sub(2);
            let ids = &mut self.ids;
            self.by_eni.retain(|_, domain| domain.used >= oldest || !ids.remove(&domain.id));
        }
    }

    /// The parcel is delivered.
    pub(super) fn commit(&mut self) {
        for domain in self.by_eni.values_mut() {
            domain.delivered = sum(&domain.delivered, &domain.pending);
            domain.pending = Loss::default();
        }
    }

    /// A new transport session: sequences begin anew, and the collector knows no template (RFC 7011, 3.1 and 8.1).
    pub(super) fn restart(&mut self) {
        for domain in self.by_eni.values_mut() {
            domain.sequence = 0;
            domain.templates_in = Some(0);
        }
    }

    /// The ENI's domain. Its id is the last eight digits of the ENI's, so that a person finds the one from the other;
    /// where two ENIs have them in common, or they are 0, the next id that is free.
    pub(super) fn of(&mut self, eni: EniId) -> &mut Domain {
        let ids = &mut self.ids;
        let domain = self.by_eni.entry(eni).or_insert_with(|| {
            let [first, second, third, fourth, ..] = eni.bits().to_le_bytes();
            let mut id = u32::from_le_bytes([first, second, third, fourth]);
            while id == 0 || !ids.insert(id) {
                id = id.wrapping_add(1);
            }
            Domain { id, templates_in: Some(0), ..Domain::default() }
        });
        domain.used = self.parcel;
        domain
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test helpers")]
mod tests {
    use super::*;

    fn eni(digits: &str) -> EniId {
        format!("eni-{digits}").parse().unwrap()
    }

    #[test]
    fn ids_are_the_last_digits_and_never_shared() {
        let mut domains = Domains::default();
        assert_eq!(domains.of(eni("1235b8ca1deadbeef")).id, 0xdead_beef);
        assert_eq!(domains.of(eni("9995b8ca1deadbeef")).id, 0xdead_bef0);
        assert_eq!(domains.of(eni("1235b8ca1deadbeef")).id, 0xdead_beef);
        assert_eq!(domains.of(eni("1235b8ca100000000")).id, 1);
        assert_eq!(domains.of(eni("1235b8ca1ffffffff")).id, u32::MAX);
        assert_eq!(domains.of(eni("2235b8ca1ffffffff")).id, 2);
    }

    #[test]
    fn a_loss_is_counted_once_however_often_its_parcel_is_sent() {
        let mut domains = Domains::default();
        let loss = Loss { packets: 2, bytes: 200, records: 1 };
        let twice = Loss { packets: 4, bytes: 400, records: 2 };
        let thrice = Loss { packets: 6, bytes: 600, records: 3 };
        for _ in 0..3 {
            domains.begin();
            assert_eq!(domains.of(eni("1235b8ca1deadbeef")).add_loss(&loss), loss);
            assert_eq!(domains.of(eni("1235b8ca1deadbeef")).add_loss(&loss), twice);
        }
        domains.commit();
        domains.begin();
        assert_eq!(domains.of(eni("1235b8ca1deadbeef")).add_loss(&loss), thrice);
    }

    #[test]
    fn domains_of_enis_that_are_gone_are_forgotten() {
        let mut domains = Domains::default();
        domains.begin();
        for number in 1..=KEPT + 10 {
            domains.of(eni(&format!("{number:017x}"))).sequence = 7;
        }
        for _ in 0..3 {
            domains.begin();
            assert_eq!(domains.of(eni("00000000000000001")).sequence, 7);
        }
        assert_eq!((domains.by_eni.len(), domains.ids.len()), (1, 1));
    }
}
