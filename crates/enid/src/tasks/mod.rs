//! Tasks: creating and deleting them, again and again with the same outcome.

mod busy;
mod create;
mod difference;
mod prepare;
mod state;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use enid_datapath::Datapath;
use enid_model::{
    Eni, EniNumber, ModelError, Mtu, NamespaceId, PlatformVersions, Subnet, Task, TaskName, VpcId,
};
use enid_netns::{Namespace, NetnsError, remove_name_of};
use enid_store::{RunStore, TaskRecord, TaskState};
use tokio::sync::mpsc;

pub(crate) use busy::BusyNames;
pub(crate) use create::NewTask;
pub(crate) use state::State;

use crate::accounting::Accounting;
use crate::admission::Stages;
use crate::ahead::Bell;
use crate::eni;
use crate::events::{EventKind, Events};
use crate::filling::Filling;
use crate::flow_logs::FlowLogs;
use crate::lives::Life;
use crate::networks::NetworkState;
use crate::router::Routers;
use crate::segmentation::Segmentation;
use crate::slots::Slots;
use crate::spares::Spares;
use crate::{EnidError, lock, policy};

/// The tasks of this host.
#[derive(Debug)]
pub(crate) struct Tasks {
    pub(crate) events: Arc<Events>,
    pub(crate) filling: Filling,
    pub(crate) store: Arc<RunStore>,
    pub(crate) datapath: Arc<Datapath>,
    pub(crate) routers: Arc<Routers>,
    pub(crate) networks: Arc<NetworkState>,
    pub(crate) accounting: Arc<Accounting>,
    pub(crate) flow_logs: Arc<FlowLogs>,
    pub(crate) stages: Stages,
    pub(crate) spares: Spares,
    pub(crate) slots: Slots,
    pub(crate) bell: Bell,
    pub(crate) netns_directory: PathBuf,
    pub(crate) platform_versions: PlatformVersions,
    pub(crate) eni_capacity: u32,
    pub(crate) default_mtu: Mtu,
    /// The most flow entries of an ENI.
    pub(crate) flow_limit: u32,
    pub(crate) segmentation: Segmentation,
    pub(crate) host_namespace: NamespaceId,
    pub(crate) state: Mutex<State>,
    pub(crate) busy: BusyNames,
    /// What is stopped goes here, and is taken away in the background.
    pub(crate) reaper: mpsc::UnboundedSender<TaskRecord>,
}

impl Tasks {
    /// A task by name.
    pub(crate) fn get(&self, name: &TaskName) -> Result<TaskRecord, EnidError> {
        lock(&self.state).tasks.get(name).cloned().ok_or_else(|| EnidError::NoTask(name.clone()))
    }

    /// A task by name, and its life: that of this task, whoever has its name later.
    pub(crate) fn alive(&self, name: &TaskName) -> Result<(TaskRecord, Life), EnidError> {
        let mut state = lock(&self.state);
        let record = state.tasks.get(name).cloned().ok_or_else(|| EnidError::NoTask(name.clone()))?;
        let life = state.lives.of(record.task.eni.id);
        Ok((record, life))
    }

    /// All tasks, by name.
    pub(crate) fn list(&self) -> Vec<TaskRecord> {
        let mut tasks: Vec<TaskRecord> = lock(&self.state).tasks.values().cloned().collect();
        tasks.sort_by(|a, b| a.task.name.cmp(&b.task.name));
        tasks
    }

    /// How many IPv4 addresses of a subnet are free.
    pub(crate) fn available_ipv4(&self, subnet: &Subnet) -> Option<u32> {
        lock(&self.state).addresses.available_ipv4(subnet)
    }

    /// The task whose ENI has a number.
    pub(crate) fn by_number(&self, number: u32) -> Option<TaskRecord> {
        lock(&self.state).tasks.values().find(|record| record.task.eni.number.get() == number).cloned()
    }

    /// The task whose ENI has an address in a VPC.
    pub(crate) fn by_address(&self, vpc: VpcId, address: IpAddr) -> Option<TaskRecord> {
        let has = |eni: &Eni| eni.vpc == vpc && eni.addresses.iter().any(|own| own == address);
        lock(&self.state).tasks.values().find(|record| has(&record.task.eni)).cloned()
    }

    /// The first task that `uses` holds for.
    pub(crate) fn find(&self, uses: impl Fn(&Eni) -> bool) -> Option<TaskName> {
        lock(&self.state)
            .tasks
            .values()
            .find(|record| uses(&record.task.eni))
            .map(|record| record.task.name.clone())
    }

    /// Ends the aggregation interval: its records are written, and if the flow table is filling, that is said. It blocks.
    pub(crate) fn close_interval(&self) -> Result<u64, EnidError> {
        let closed = self.accounting.close_interval();
        self.filling.look(&self.accounting, &self.events);
        closed
    }

    /// Writes a record, when its turn has come. It blocks.
    fn put(&self, record: &TaskRecord) -> Result<(), EnidError> {
        let _turn = self.stages.store.enter_blocking();
        Ok(self.store.put_task(record)?)
    }

    /// Changes what records say of a task from now on. It blocks.
    pub(crate) fn update(
        &self,
        name: &TaskName,
        change: impl FnOnce(&mut Task) -> Result<(), ModelError>,
    ) -> Result<TaskRecord, EnidError> {
        let _busy = self.busy.hold(name);
        let mut record = self.get(name)?;
        change(&mut record.task)?;
        let subnet = record.task.eni.subnet;
        let (_, subnet) = self
            .networks
            .subnet_by_id(subnet)
            .ok_or_else(|| EnidError::SubnetGone { task: name.clone(), subnet })?;
        self.put(&record)?;
        self.accounting.register(&record.task, &subnet);
        lock(&self.state).tasks.insert(name.clone(), record.clone());
        Ok(record)
    }

    /// Deletes a task, and says whether there was one. It goes on past errors and reports them all. It blocks.
    pub(crate) fn delete(&self, name: &TaskName, tags: &BTreeMap<String, String>) -> Result<bool, EnidError> {
        let _busy = self.busy.hold(name);
        let Some(mut record) = lock(&self.state).tasks.get(name).cloned() else { return Ok(false) };
        if tags.iter().any(|(key, value)| record.task.tags.get(key) != Some(value)) {
            return Ok(false);
        }
        record.state = TaskState::Deleting;
        // Without this on record a crash now would bring the task back: nothing is done before.
        self.put(&record)?;
        {
            let mut state = lock(&self.state);
            state.tasks.remove(name);
            state.lives.end(record.task.eni.id);
        }
        let Eni { id, subnet, addresses, .. } = record.task.eni;
        let errors = self.dismantle(record);
        lock(&self.state).addresses.release(subnet, addresses);
        let details = errors.iter().map(ToString::to_string).collect();
        self.events.task(EventKind::TaskDeleted, name, Some(id), details);
        match errors {
            errors if errors.is_empty() => Ok(true),
            errors => Err(EnidError::Incomplete { task: name.clone(), errors: join(&errors) }),
        }
    }

    /// Stops a task's traffic, takes its name away, and leaves the rest to the reaper. Its addresses are the caller's to
    /// give back: those of one that an earlier daemon left may be another task's by now.
    pub(crate) fn dismantle(&self, record: TaskRecord) -> Vec<EnidError> {
        let eni = &record.task.eni;
        let router = self.routers.get(eni.vpc);
        let mut errors = Vec::new();
        let turn = self.stages.link.enter_blocking();
        errors.extend(eni::stop(eni, router.as_deref(), &self.datapath).err());
        drop(turn);
        errors.extend(policy::leave(&self.datapath, eni).err().map(EnidError::from));
        errors.extend(remove_name(&record).err().map(EnidError::from));
        for error in &errors {
            tracing::error!(task = %record.task.name, eni = %eni.id, %error, "deleting a task met an error and went on");
        }
        // The reaper lives as long as the daemon; after that the next daemon finds the record.
        let _ = self.reaper.send(record);
        errors
    }

    /// Takes up tasks after a restart: the programs on their links become this daemon's.
    pub(crate) fn upgrade(&self) {
        for record in self.list() {
            let eni = &record.task.eni;
            let Some((_, subnet)) = self.networks.subnet_by_id(eni.subnet) else {
                tracing::error!(task = %record.task.name, subnet = %eni.subnet, "the task's subnet is gone");
                continue;
            };
            self.accounting.register(&record.task, &subnet);
            let upgraded =
                self.routers.get(eni.vpc).ok_or(EnidError::RouterGone(eni.vpc)).and_then(|router| {
                    if self.datapath.ledgers(eni.number).is_err() {
                        // The pinned maps were removed meanwhile: what passed before is not in any ledger.
                        tracing::warn!(task = %record.task.name, eni = %eni.id, "the ENI's counts are gone, and begin anew");
                    }
                    self.datapath.open_eni(&eni::settings(eni, self.flow_limit))?;
                    Ok(eni::upgrade(eni.number, &router, &self.datapath)?)
                });
            if let Err(error) = upgraded {
                tracing::error!(task = %record.task.name, eni = %eni.id, %error, "the ENI is broken; delete the task");
            }
        }
    }

    /// Whether a host end's index is an ENI's number, of a task, of what is left of one, or of a slot.
    pub(crate) fn is_known(&self, index: u32) -> bool {
        lock(&self.state).has_number(index) || self.slots.is_leaving(index)
    }

    /// Forgets what the reaper has taken away.
    pub(crate) fn reaped(&self, numbers: &[EniNumber]) {
        let mut state = lock(&self.state);
        for number in numbers {
            state.release_number(*number, self.eni_capacity);
        }
    }
}

/// Whether what has the name of a task's namespace is that namespace.
pub(crate) fn has_its_namespace(record: &TaskRecord) -> bool {
    Namespace::open(&record.task.netns).ok().map(|namespace| namespace.id()) == record.namespace
}

/// Makes sure that what has the name of a task's namespace is that namespace.
pub(crate) fn check_namespace(record: &TaskRecord) -> Result<(), EnidError> {
    if has_its_namespace(record) {
        return Ok(());
    }
    Err(EnidError::TaskBroken { name: record.task.name.clone(), netns: record.task.netns.clone() })
}

/// Takes the name of a task's namespace away, if enid gave it.
pub(crate) fn remove_name(record: &TaskRecord) -> Result<(), NetnsError> {
    match record.namespace.filter(|_| !record.task.netns_adopted) {
        Some(own) => remove_name_of(&record.task.netns, own),
        None => Ok(()),
    }
}

fn join(errors: &[EnidError]) -> String {
    errors.iter().fold(String::new(), |mut text, error| {
        let separator = if text.is_empty() { "" } else { "; " };
        // Writing to a String does not fail.
        let _ = write!(text, "{separator}{error}");
        text
    })
}
