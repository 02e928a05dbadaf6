//! Slots: places that are ready for tasks to come, each a namespace with its link into the VPC's router, and the programs on
//! it.
//!
//! A slot has an ENI's number, and no more of an ENI: to the programs it is closed, and its link has no carrier before the
//! task's end is brought up. Nothing of it is on record. Its namespace has no name: it is there for as long as the daemon
//! holds it, and its link with it, however the daemon ends.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use enid_model::{EniNumber, GsoMaxSizes, MacAddress, VpcId};

use crate::eni::TaskNamespace;
use crate::lock;
use crate::router::Router;

/// A place that is ready for a task, with the default MTU.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) number: EniNumber,
    pub(crate) mac: MacAddress,
    pub(crate) gso: GsoMaxSizes,
    pub(crate) namespace: TaskNamespace,
    pub(crate) router: Arc<Router>,
}

/// The slots that are ready, by VPC.
#[derive(Debug)]
pub(crate) struct Slots {
    wanted: usize,
    stock: Mutex<Stock>,
}

#[derive(Debug, Default)]
struct Stock {
    ready: HashMap<VpcId, Vec<Slot>>,
    /// Those that are no use any more, until their links are gone.
    leaving: Vec<Slot>,
}

impl Slots {
    /// None is ready yet. So many are wanted for each VPC.
    pub(crate) fn new(wanted: usize) -> Self {
        Self { wanted, stock: Mutex::default() }
    }

    /// How many are wanted for a VPC.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted
    }

    /// How many are ready, by VPC.
    pub(crate) fn ready(&self) -> HashMap<VpcId, usize> {
        lock(&self.stock).ready.iter().map(|(vpc, slots)| (*vpc, slots.len())).collect()
    }

    /// Puts one in that is ready.
    pub(crate) fn put(&self, slot: Slot) {
        lock(&self.stock).ready.entry(slot.router.vpc()).or_default().push(slot);
    }

    /// One of a VPC's that fits. Those that don't are no use any more.
    pub(crate) fn take(&self, vpc: VpcId, fits: impl Fn(&Slot) -> bool) -> Option<Slot> {
        let Stock { ready, leaving } = &mut *lock(&self.stock);
        let slots = ready.get_mut(&vpc)?;
        while let Some(slot) = slots.pop() {
            if fits(&slot) {
                return Some(slot);
            }
            leaving.push(slot);
        }
        None
    }

    /// Takes those out that don't fit, which are no use any more.
    pub(crate) fn keep(&self, fits: impl Fn(&Slot) -> bool) {
        let Stock { ready, leaving } = &mut *lock(&self.stock);
        for slots in ready.values_mut() {
            leaving.extend(slots.extract_if(.., |slot| !fits(slot)));
        }
        ready.retain(|_, slots| !slots.is_empty());
    }

    /// Gives one up that is another's use more: of the VPC that has the most. Its number is free.
    pub(crate) fn give_up_one(&self) -> Option<EniNumber> {
        let Stock { ready, leaving } = &mut *lock(&self.stock);
        let slot = ready.values_mut().max_by_key(|slots| slots.len())?.pop()?;
        let number = slot.number;
        leaving.push(slot);
        Some(number)
    }

    /// All of a VPC's whose router is gone, and their links with it.
    pub(crate) fn remove(&self, vpc: VpcId) -> Vec<Slot> {
        let Stock { ready, leaving } = &mut *lock(&self.stock);
        let mut slots = ready.remove(&vpc).unwrap_or_default();
        slots.extend(leaving.extract_if(.., |slot| slot.router.vpc() == vpc));
        slots
    }

    /// The routers of those that are no use any more, each with their numbers.
    pub(crate) fn leaving(&self) -> Vec<(Arc<Router>, Vec<EniNumber>)> {
        let stock = lock(&self.stock);
        let mut by_router: Vec<(Arc<Router>, Vec<EniNumber>)> = Vec::new();
        for slot in &stock.leaving {
            match by_router.iter_mut().find(|(router, _)| Arc::ptr_eq(router, &slot.router)) {
                Some((_, numbers)) => numbers.push(slot.number),
                None => by_router.push((Arc::clone(&slot.router), vec![slot.number])),
            }
        }
        by_router
    }

    /// Whether one that is no use any more has a number.
    pub(crate) fn is_leaving(&self, number: u32) -> bool {
        lock(&self.stock).leaving.iter().any(|slot| slot.number.get() == number)
    }

    /// Forgets those whose links are gone.
    pub(crate) fn gone(&self, numbers: &[EniNumber]) {
        let numbers: HashSet<&EniNumber> = numbers.iter().collect();
        lock(&self.stock).leaving.retain(|slot| !numbers.contains(&slot.number));
    }
}
