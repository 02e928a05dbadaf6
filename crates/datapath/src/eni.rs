//! ENIs: their slots, their ledgers, and the classes of their cgroups.

use std::sync::PoisonError;

use enid_abi::{ClassTag, Count, Direction, EniSlot, EniState, Ledger, slot_of};
use enid_model::{EniNumber, TrafficClass};

use crate::Datapath;
use crate::error::DatapathError;

/// The ledgers of an ENI, summed over the CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledgers {
    /// What the task sent.
    pub egress: Ledger,
    /// What arrived for it.
    pub ingress: Ledger,
}

impl Ledgers {
    /// The ledger of a direction.
    pub const fn of(&self, direction: Direction) -> &Ledger {
        match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        }
    }

    /// Ledger (b) of both directions.
    pub const fn wire(&self) -> Count {
        let mut sum = self.egress.wire;
        sum.add(self.ingress.wire);
        sum
    }
}

impl Datapath {
    /// Whether an ENI with this number could be opened: its slot is free, or its own.
    pub fn is_free(&self, number: EniNumber) -> Result<bool, DatapathError> {
        let slot = self.slot(number)?;
        Ok(slot.state == EniState::Unused as u32 || slot.holds(number.get()))
    }

    /// Opens an ENI: packets of it are counted and passed on. A new ENI begins with ledgers of zero; one that was
    /// open or closed before keeps its own. Fails if its slot is another's.
    pub fn open_eni(&self, number: EniNumber) -> Result<(), DatapathError> {
        let _one_at_a_time = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = self.slot(number)?;
        if !slot.holds(number.get()) {
            if slot.state != EniState::Unused as u32 {
                return Err(DatapathError::SlotTaken { number, holder: slot.number });
            }
            // Now and not when the slot was left, as a program may then still have been adding.
            self.ledgers.clear(self.ledger_index(number, Direction::Egress))?;
            self.ledgers.clear(self.ledger_index(number, Direction::Ingress))?;
        }
        self.write(number, EniSlot::new(number.get(), EniState::Open))
    }

    /// Closes an ENI: packets of it are counted in the bucket `closed` and dropped. Its flows get no more packets.
    pub fn close_eni(&self, number: EniNumber) -> Result<(), DatapathError> {
        let _one_at_a_time = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        self.own_slot(number)?;
        self.write(number, EniSlot::new(number.get(), EniState::Closed))
    }

    /// Gives up the slot of an ENI, and with it the ledgers. Nothing happens if it has none.
    pub fn remove_eni(&self, number: EniNumber) -> Result<(), DatapathError> {
        let _one_at_a_time = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        match self.own_slot(number) {
            Ok(()) => self.write(number, EniSlot::default()),
            Err(DatapathError::UnknownEni(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The numbers of the ENIs that are open or closed.
    pub fn enis(&self) -> Result<Vec<EniNumber>, DatapathError> {
        let mut numbers = Vec::new();
        for index in 0..=self.eni_mask {
            let slot = self.enis.get(&index)?.unwrap_or_default();
            if slot.state != EniState::Unused as u32 {
                let corrupt = |_| DatapathError::Corrupt { what: "an ENI number of", value: slot.number };
                numbers.push(EniNumber::try_from(slot.number).map_err(corrupt)?);
            }
        }
        Ok(numbers)
    }

    /// The ledgers of an ENI that is open or closed.
    pub fn ledgers(&self, number: EniNumber) -> Result<Ledgers, DatapathError> {
        self.own_slot(number)?;
        Ok(Ledgers {
            egress: self.ledger(number, Direction::Egress)?,
            ingress: self.ledger(number, Direction::Ingress)?,
        })
    }

    /// Tags what the sockets of a cgroup send through an ENI. The id is the cgroup directory's inode (cgroup v2).
    pub fn set_class(
        &self,
        cgroup: u64,
        number: EniNumber,
        class: TrafficClass,
    ) -> Result<(), DatapathError> {
        let tag = ClassTag { eni: number.get(), class: class.number(), ..ClassTag::default() };
        self.classes.set(&cgroup, &tag)
    }

    /// Takes a cgroup's tag away. Flows that have it keep it. Nothing happens if there is none.
    pub fn remove_class(&self, cgroup: u64) -> Result<(), DatapathError> {
        self.classes.remove(&cgroup).map(drop)
    }

    fn ledger(&self, number: EniNumber, direction: Direction) -> Result<Ledger, DatapathError> {
        let mut sum = Ledger::default();
        for of_cpu in self.ledgers.get(self.ledger_index(number, direction))? {
            sum.add(&of_cpu);
        }
        Ok(sum)
    }

    fn slot(&self, number: EniNumber) -> Result<EniSlot, DatapathError> {
        let index = slot_of(number.get(), self.eni_mask);
        Ok(self.enis.get(&index)?.unwrap_or_default())
    }

    fn own_slot(&self, number: EniNumber) -> Result<(), DatapathError> {
        if self.slot(number)?.holds(number.get()) { Ok(()) } else { Err(DatapathError::UnknownEni(number)) }
    }

    fn write(&self, number: EniNumber, slot: EniSlot) -> Result<(), DatapathError> {
        self.enis.set(&slot_of(number.get(), self.eni_mask), &slot)
    }

    fn ledger_index(&self, number: EniNumber, direction: Direction) -> u32 {
        direction.ledger_of(slot_of(number.get(), self.eni_mask))
    }
}
