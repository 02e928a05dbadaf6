//! The declared networks: what is in force, and how it changes.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use enid_datapath::Datapath;
use enid_model::{
    Change, Cidr, ListUpdate, NetworkSpec, Networks, PrefixListId, RuleSpec, SecurityGroupId, Subnet,
    SubnetId, Vpc, VpcId,
};
use enid_store::NetworkStore;

use crate::events::{EventKind, Events};
use crate::{EnidError, lock, policy};

/// The declared networks, in memory and on disk, and in force.
#[derive(Debug)]
pub(crate) struct NetworkState {
    store: Arc<NetworkStore>,
    datapath: Arc<Datapath>,
    events: Arc<Events>,
    current: Mutex<Arc<Networks>>,
    /// Held by all who are about to use a VPC, a subnet or a group, and by one who is about to remove one.
    uses: RwLock<()>,
}

impl NetworkState {
    /// Takes up what was declared; the embedded default network if nothing ever was.
    pub(crate) fn restore(
        store: Arc<NetworkStore>,
        datapath: Arc<Datapath>,
        events: Arc<Events>,
    ) -> Result<Self, EnidError> {
        let networks = match store.load::<Networks>()? {
            Some(networks) => networks,
            None => declare_default(&store)?,
        };
        let current = Mutex::new(Arc::new(networks));
        Ok(Self { store, datapath, events, current, uses: RwLock::default() })
    }

    /// Keeps what is declared from being removed, until the guard is dropped: for as long as it takes to use it where
    /// it will be seen.
    pub(crate) fn hold(&self) -> RwLockReadGuard<'_, ()> {
        self.uses.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody [holds](Self::hold), and keeps others from it until the guard is dropped.
    pub(crate) fn hold_alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.uses.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in force.
    pub(crate) fn current(&self) -> Arc<Networks> {
        Arc::clone(&lock(&self.current))
    }

    /// A subnet and its VPC, by id, name or `vpc/name`.
    pub(crate) fn subnet(&self, wanted: &str) -> Result<(Vpc, Subnet), EnidError> {
        let current = self.current();
        let (vpc, subnet) = current.subnet(wanted)?;
        Ok((vpc.clone(), subnet.clone()))
    }

    /// A subnet and its VPC.
    pub(crate) fn subnet_by_id(&self, id: SubnetId) -> Option<(Vpc, Subnet)> {
        let current = self.current();
        let (vpc, subnet) = current.subnet_by_id(id)?;
        Some((vpc.clone(), subnet.clone()))
    }

    /// What would be in force if `spec` were applied.
    pub(crate) fn planned(&self, spec: &NetworkSpec) -> Result<Networks, EnidError> {
        Ok(self.current().apply(spec)?.0)
    }

    /// Adds and updates what `spec` declares, and says what changed. `update` brings each VPC that was there before in
    /// line; if it fails nothing is stored.
    pub(crate) fn apply(
        &self,
        spec: &NetworkSpec,
        dry_run: bool,
        update: impl Fn(&Vpc, &Vpc) -> Result<(), EnidError>,
    ) -> Result<Vec<String>, EnidError> {
        let update = |current: &Networks, networks: &Networks| {
            for vpc in networks.vpcs() {
                match current.vpc_by_id(vpc.id) {
                    Some(old) if old != vpc => update(old, vpc)?,
                    _ => {}
                }
            }
            Ok(())
        };
        self.change_after(dry_run, |current| Ok(current.apply(spec)?), update)
    }

    /// Changes a security group's rules, and says what changed.
    pub(crate) fn update_security_group(
        &self,
        wanted: &str,
        ingress: &ListUpdate<RuleSpec>,
        egress: &ListUpdate<RuleSpec>,
        dry_run: bool,
    ) -> Result<Vec<String>, EnidError> {
        self.change(dry_run, |current| {
            let (_, group) = current.security_group(wanted)?;
            Ok(current.update_security_group(group.id, ingress, egress)?)
        })
    }

    /// Changes a prefix list's entries, and says what changed.
    pub(crate) fn update_prefix_list(
        &self,
        wanted: &str,
        entries: &ListUpdate<Cidr>,
        dry_run: bool,
    ) -> Result<Vec<String>, EnidError> {
        self.change(dry_run, |current| {
            let (_, list) = current.prefix_list(wanted)?;
            Ok(current.update_prefix_list(list.id, entries)?)
        })
    }

    /// Removes a VPC with all that is in it.
    pub(crate) fn remove_vpc(&self, id: VpcId) -> Result<(), EnidError> {
        self.change(false, |current| Ok(current.remove_vpc(id)?)).map(drop)
    }

    /// Removes a subnet.
    pub(crate) fn remove_subnet(&self, id: SubnetId) -> Result<(), EnidError> {
        self.change(false, |current| Ok(with_one(current.remove_subnet(id)?))).map(drop)
    }

    /// Removes a security group.
    pub(crate) fn remove_security_group(&self, id: SecurityGroupId) -> Result<(), EnidError> {
        self.change(false, |current| Ok(with_one(current.remove_security_group(id)?))).map(drop)
    }

    /// Removes a prefix list.
    pub(crate) fn remove_prefix_list(&self, id: PrefixListId) -> Result<(), EnidError> {
        self.change(false, |current| Ok(with_one(current.remove_prefix_list(id)?))).map(drop)
    }

    fn change(
        &self,
        dry_run: bool,
        change: impl FnOnce(&Networks) -> Result<(Networks, Vec<Change>), EnidError>,
    ) -> Result<Vec<String>, EnidError> {
        self.change_after(dry_run, change, |_, _| Ok(()))
    }

    /// The one way in which what is in force becomes another, one change after the other. What `prepare` does comes
    /// before; if it fails, nothing is stored.
    fn change_after(
        &self,
        dry_run: bool,
        change: impl FnOnce(&Networks) -> Result<(Networks, Vec<Change>), EnidError>,
        prepare: impl FnOnce(&Networks, &Networks) -> Result<(), EnidError>,
    ) -> Result<Vec<String>, EnidError> {
        let mut current = lock(&self.current);
        let (networks, changes) = change(&current)?;
        policy::check_room(&networks)?;
        if !dry_run && !changes.is_empty() {
            prepare(&current, &networks)?;
            self.store.save(&networks)?;
            for change in &changes {
                tracing::info!(%change, "changed the network");
            }
            let old = std::mem::replace(&mut *current, Arc::new(networks));
            policy::follow(&self.datapath, &old, &current).map_err(EnidError::NotInForce)?;
            let changes = changes.iter().map(ToString::to_string).collect();
            self.events.host(EventKind::PolicyChanged, changes);
        }
        Ok(changes.iter().map(ToString::to_string).collect())
    }
}

fn with_one((networks, change): (Networks, Change)) -> (Networks, Vec<Change>) {
    (networks, vec![change])
}

fn declare_default(store: &NetworkStore) -> Result<Networks, EnidError> {
    let (networks, changes) = Networks::default().apply(&NetworkSpec::embedded_default()?)?;
    store.save(&networks)?;
    for change in changes {
        tracing::info!(%change, "declared the default network");
    }
    Ok(networks)
}
