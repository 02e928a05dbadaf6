//! How many flow entries each ENI has: those that programs made, less those that are deleted. Of what takes the kernel's way
//! between two of them, both entries are the sender's.
//!
//! An ENI may have a limit of its own, which programs hold against the difference of the two; so each deletion is counted,
//! by user space alone. Both are counted by generation, as programs look for a second one only where there is any.

use std::collections::HashMap;
use std::sync::PoisonError;

use enid_abi::{EniState, FlowKey, FlowValue, slot_of};
use enid_model::EniNumber;

use crate::Datapath;
use crate::error::DatapathError;

impl Datapath {
    /// How many flow entries an ENI has in its share of the table; none if no slot is its own.
    pub fn flow_entries(&self, number: EniNumber) -> Result<u64, DatapathError> {
        let slot = slot_of(number.get(), self.eni_mask);
        if !self.enis.get(&slot)?.unwrap_or_default().holds(number.get()) {
            return Ok(0);
        }
        // In this order, so that what is made in between does not make it less than nothing.
        let deleted = self.flows_deleted.get(&slot)?.unwrap_or_default();
        let made = self.flow_counts.get(&slot)?.unwrap_or_default().made;
        let difference = difference(made, deleted);
        Ok(difference.iter().sum())
    }

    /// Deletes flow entries; those that are gone already are passed over.
    ///
    /// Nothing is lost if the entries are [expired](crate::FlowReading::expired), or their ENI or their target was closed
    /// or removed before the last [`Datapath::wait_for_programs`]: no program adds to them any more. Were another entry
    /// deleted, packets could be in no record, and the ledgers would not close.
    pub fn delete_flows(&self, keys: &[FlowKey]) -> Result<(), DatapathError> {
        let mut deleted: HashMap<u32, [u64; 2]> = HashMap::new();
        let outcome = keys.iter().try_for_each(|key| {
            if let Some(value) = self.flows.take(key)? {
                count(&mut deleted, key, &value);
            }
            Ok(())
        });
        let _one_at_a_time = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, [first, second]) in deleted {
            let slot = slot_of(number, self.eni_mask);
            // The slot may be another's by now.
            if self.enis.get(&slot)?.unwrap_or_default().holds(number) {
                let before = self.flows_deleted.get(&slot)?.unwrap_or_default();
                self.flows_deleted.set(&slot, &[before[0] + first, before[1] + second])?;
            }
        }
        outcome
    }

    /// Counts the entries of each ENI anew: an earlier daemon may have ended after it deleted some and before it counted
    /// them. An ENI that is making entries right now is passed over, as its count would be off by those.
    pub fn recount_flows(&self) -> Result<(), DatapathError> {
        let _one_at_a_time = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut made: HashMap<u32, [u64; 2]> = HashMap::new();
        for slot in 0..=self.eni_mask {
            let eni = self.enis.get(&slot)?.unwrap_or_default();
            if eni.state != EniState::Unused as u32 {
                made.insert(eni.number, self.flow_counts.get(&slot)?.unwrap_or_default().made);
            }
        }
        // What is counted as made is there from here on.
        self.wait_for_programs()?;
        let mut present: HashMap<u32, [u64; 2]> = HashMap::new();
        self.flows.for_each(&mut |key, value| count(&mut present, key, value))?;
        // And what is there is counted as made.
        self.wait_for_programs()?;
        for (number, made) in made {
            let slot = slot_of(number, self.eni_mask);
            let deleted = difference(made, present.get(&number).copied().unwrap_or_default());
            let rests = self.flow_counts.get(&slot)?.unwrap_or_default().made == made;
            if rests && self.flows_deleted.get(&slot)? != Some(deleted) {
                self.flows_deleted.set(&slot, &deleted)?;
            }
        }
        Ok(())
    }
}

/// Counts an entry for the ENI whose share it takes, by generation.
fn count(counts: &mut HashMap<u32, [u64; 2]>, key: &FlowKey, value: &FlowValue) {
    let [first, second] = counts.entry(key.payer(value.peer)).or_default();
    *(if key.generation == 0 { first } else { second }) += 1;
}

/// Of each generation, how many more there are.
fn difference([first, second]: [u64; 2], less: [u64; 2]) -> [u64; 2] {
    [first.saturating_sub(less[0]), second.saturating_sub(less[1])]
}
