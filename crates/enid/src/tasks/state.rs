//! What changes as tasks come and go.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use enid_model::{EniId, EniNumber, TaskName};
use enid_store::{RunStore, TaskRecord, TaskState};

use crate::EnidError;
use crate::addresses::AddressPool;
use crate::lives::Lives;

/// What changes as tasks come and go.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(super) tasks: HashMap<TaskName, TaskRecord>,
    pub(super) addresses: AddressPool,
    /// ENI numbers by their slot in the eBPF maps, until their last trace is gone.
    numbers: HashMap<u32, EniNumber>,
    last_number: Option<EniNumber>,
    pub(super) lives: Lives,
}

impl State {
    /// Takes up what the store holds. Records of tasks that are not whole come back: their traces are to be taken away.
    pub(crate) fn restore(store: &RunStore, eni_capacity: u32) -> Result<(Self, Vec<TaskRecord>), EnidError> {
        let mut state = Self::default();
        let mut leftovers = Vec::new();
        for record in store.tasks()? {
            let eni = &record.task.eni;
            state.numbers.insert(eni.number.get() % eni_capacity, eni.number);
            // They come in the order of their numbers.
            state.last_number = Some(eni.number);
            if record.state == TaskState::Ready {
                state.addresses.restore(eni.subnet, eni.addresses);
                state.tasks.insert(record.task.name.clone(), record);
            } else {
                leftovers.push(record);
            }
        }
        Ok((state, leftovers))
    }

    /// Whether a task that is whole has the ENI.
    pub(crate) fn has_eni(&self, eni: EniId) -> bool {
        self.tasks.values().any(|record| record.task.eni.id == eni)
    }

    /// A number that is no ENI's, and whose slot in the maps is free; it is taken from now on.
    pub(super) fn next_number(&mut self, capacity: u32) -> Result<EniNumber, EnidError> {
        let mut number = self.last_number.map_or(EniNumber::MIN, EniNumber::next);
        for _ in 0..capacity {
            if let Entry::Vacant(slot) = self.numbers.entry(number.get() % capacity) {
                slot.insert(number);
                self.last_number = Some(number);
                return Ok(number);
            }
            number = number.next();
        }
        Err(EnidError::HostFull { capacity })
    }

    /// Whether an ENI has the number, or something that is left of one, or something that is ready for one.
    pub(super) fn has_number(&self, number: u32) -> bool {
        self.numbers.values().any(|taken| taken.get() == number)
    }

    /// All numbers that are taken.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.numbers.values().map(|number| number.get())
    }

    /// Gives a number back, unless another ENI has its slot in the maps by now.
    pub(super) fn release_number(&mut self, number: EniNumber, capacity: u32) {
        if let Entry::Occupied(slot) = self.numbers.entry(number.get() % capacity)
            && *slot.get() == number
        {
            slot.remove();
        }
    }
}
