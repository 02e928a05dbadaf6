//! What is made ahead of tasks, in the background: namespaces, and slots for the VPCs in use.

use std::collections::HashSet;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use enid_model::{EniNumber, MacAddress, Networks, Vpc};
use enid_netns::{Inventory, Request};
use tokio::runtime::Handle;

use super::Tasks;
use crate::eni::{self, TaskNamespace};
use crate::router::Router;
use crate::slots::Slot;
use crate::{EnidError, lock};

impl Tasks {
    /// Makes one thing ready that is wanted, or takes away what is no use any more; says whether there was something to do.
    /// It blocks.
    pub(crate) fn prepare_one(&self) -> Result<bool, EnidError> {
        // A VPC that is about to be removed must have no new slot; one that is being removed is gone when this is held.
        let _networks = self.networks.hold();
        let networks = self.networks.current();
        let vpcs = self.vpcs_in_use(&networks);
        self.slots.keep(|slot| {
            let vpc = vpcs.iter().find(|(_, router)| Arc::ptr_eq(router, &slot.router));
            vpc.is_some_and(|(vpc, _)| self.segmentation.of(vpc) == slot.gso)
        });
        if self.remove_slots()? {
            return Ok(true);
        }
        if self.spares.is_wanted() {
            let _turn = self.stages.namespace.enter_blocking();
            self.spares.put(TaskNamespace::create()?);
            return Ok(true);
        }
        let ready = self.slots.ready();
        let count = |vpc: &Vpc| ready.get(&vpc.id).copied().unwrap_or(0);
        let Some((vpc, router)) =
            vpcs.iter().filter(|(vpc, _)| count(vpc) < self.slots.wanted()).min_by_key(|(vpc, _)| count(vpc))
        else {
            return Ok(false);
        };
        if descriptors_are_scarce() {
            return Ok(false);
        }
        // What is left are tasks' numbers.
        let Ok(number) = lock(&self.state).next_number(self.eni_capacity) else { return Ok(false) };
        match self.slot(vpc, router, number) {
            Ok(slot) => self.slots.put(slot),
            Err(error) => {
                // As far as it was made it went with its namespace.
                lock(&self.state).release_number(number, self.eni_capacity);
                return Err(error);
            }
        }
        Ok(true)
    }

    /// The VPCs that have a router, with it.
    fn vpcs_in_use<'n>(&self, networks: &'n Networks) -> Vec<(&'n Vpc, Arc<Router>)> {
        let routers = self.routers.all().into_iter();
        routers.filter_map(|router| Some((networks.vpc_by_id(router.vpc())?, router))).collect()
    }

    fn slot(&self, vpc: &Vpc, router: &Arc<Router>, number: EniNumber) -> Result<Slot, EnidError> {
        let turn = self.stages.namespace.enter_blocking();
        let namespace = TaskNamespace::create()?;
        drop(turn);
        let _turn = self.stages.link.enter_blocking();
        let (mac, gso) = (MacAddress::random(), self.segmentation.of(vpc));
        eni::prepare(number, mac, self.default_mtu, gso, router, &self.datapath, &namespace)?;
        Ok(Slot { number, mac, gso, namespace, router: Arc::clone(router) })
    }

    /// Takes slots away that are no use any more, and says whether there were any.
    fn remove_slots(&self) -> Result<bool, EnidError> {
        let leaving = self.slots.leaving();
        for (router, numbers) in &leaving {
            let _turn = self.stages.link.enter_blocking();
            remove_links(router, numbers)?;
            self.slots_gone(numbers);
        }
        Ok(!leaving.is_empty())
    }

    fn slots_gone(&self, numbers: &[EniNumber]) {
        let mut state = lock(&self.state);
        for number in numbers {
            state.release_number(*number, self.eni_capacity);
        }
        drop(state);
        self.slots.gone(numbers);
    }

    /// Forgets the slots of a VPC whose router was removed.
    pub(crate) fn forget_slots(&self, router: &Router) {
        let slots = self.slots.remove(router.vpc());
        let numbers: Vec<EniNumber> = slots.iter().map(|slot| slot.number).collect();
        self.slots_gone(&numbers);
    }

    /// Takes away the host ends that an earlier daemon's slots have left: the kernel takes them with their namespaces, but in
    /// its own time, and their numbers will be another's. It blocks.
    pub(crate) fn sweep(&self, runtime: &Handle) -> Result<(), EnidError> {
        for router in self.routers.all() {
            let links = Inventory::list(router.namespace(), runtime)?;
            let known: HashSet<u32> = lock(&self.state).numbers().collect();
            let left: Vec<EniNumber> = links
                .into_iter()
                .filter(|link| !known.contains(&link.index))
                .filter_map(|link| {
                    EniNumber::try_from(link.index).ok().filter(|number| link.name == eni::host_end(*number))
                })
                .collect();
            if !left.is_empty() {
                remove_links(&router, &left)?;
                tracing::info!(vpc = %router.vpc(), count = left.len(), "took away what was ready for an earlier daemon's tasks");
            }
        }
        Ok(())
    }
}

/// Whether the next descriptor is one of the last that the daemon may have: requests need some, too. The lowest that is free
/// is the next, so its number says how many there are.
fn descriptors_are_scarce() -> bool {
    /// For connections, and what requests open.
    const RESERVE: u64 = 512;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let next = std::fs::File::open("/dev/null").map(|file| u64::try_from(file.as_raw_fd()).unwrap_or(0));
    let Ok(next) = next else { return true };
    limit.is_some_and(|limit| next.saturating_add(RESERVE) > limit)
}

/// Removes host ends, all for the price of one.
fn remove_links(router: &Router, numbers: &[EniNumber]) -> Result<(), EnidError> {
    let group = eni::DELETED_GROUP;
    let mark = |number: &EniNumber| Request::Group { index: number.get(), group };
    let marks: Vec<Request> = numbers.iter().map(mark).collect();
    router.netlink().send_removals(&marks)?;
    eni::delete_marked(router)
}
