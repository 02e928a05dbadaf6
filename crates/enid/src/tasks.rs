//! Tasks: creating and deleting them, again and again with the same outcome.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use enid_datapath::Datapath;
use enid_model::{
    EcsTask, Eni, EniId, EniNumber, IdleTimeouts, MAX_SECURITY_GROUPS, MacAddress, ModelError, Mtu,
    NamespaceId, PlatformVersions, SecurityGroupId, Subnet, Tags, Task, TaskName, Vpc, VpcId,
    WantedPlatformVersion,
};
use enid_netns::{Namespace, NetnsError, remove_name_of};
use enid_store::{RunStore, TaskRecord, TaskState};
use tokio::sync::mpsc;

use crate::accounting::Accounting;
use crate::addresses::{AddressPool, WantedAddresses};
use crate::eni::{self, TaskNamespace};
use crate::flow_logs::FlowLogs;
use crate::lives::{Life, Lives};
use crate::networks::NetworkState;
use crate::router::Routers;
use crate::segmentation::Segmentation;
use crate::spares::Spares;
use crate::{EnidError, lock, policy};

/// What a creator asks for, parsed.
#[derive(Debug)]
pub(crate) struct NewTask {
    pub(crate) name: TaskName,
    pub(crate) subnet: String,
    pub(crate) security_groups: Vec<String>,
    pub(crate) addresses: WantedAddresses,
    pub(crate) mtu: Option<Mtu>,
    pub(crate) platform_version: WantedPlatformVersion,
    pub(crate) netns: Option<PathBuf>,
    pub(crate) idle_timeouts: IdleTimeouts,
    pub(crate) ecs: EcsTask,
    pub(crate) tags: Tags,
}

/// The tasks of this host.
#[derive(Debug)]
pub(crate) struct Tasks {
    pub(crate) store: Arc<RunStore>,
    pub(crate) datapath: Arc<Datapath>,
    pub(crate) routers: Arc<Routers>,
    pub(crate) networks: Arc<NetworkState>,
    pub(crate) accounting: Arc<Accounting>,
    pub(crate) flow_logs: Arc<FlowLogs>,
    pub(crate) spares: Spares,
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

/// What changes as tasks come and go.
#[derive(Debug, Default)]
pub(crate) struct State {
    tasks: HashMap<TaskName, TaskRecord>,
    addresses: AddressPool,
    /// ENI numbers by their slot in the eBPF maps, until their last trace is gone.
    slots: HashMap<u32, EniNumber>,
    last_number: Option<EniNumber>,
    lives: Lives,
}

impl State {
    /// Takes up what the store holds. Records of tasks that are not whole come back: their traces are to be taken away.
    pub(crate) fn restore(store: &RunStore, eni_capacity: u32) -> Result<(Self, Vec<TaskRecord>), EnidError> {
        let mut state = Self::default();
        let mut leftovers = Vec::new();
        for record in store.tasks()? {
            let eni = &record.task.eni;
            state.slots.insert(eni.number.get() % eni_capacity, eni.number);
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

    fn next_number(&mut self, capacity: u32) -> Result<EniNumber, EnidError> {
        let mut number = self.last_number.map_or(EniNumber::MIN, EniNumber::next);
        for _ in 0..capacity {
            if let Entry::Vacant(slot) = self.slots.entry(number.get() % capacity) {
                slot.insert(number);
                self.last_number = Some(number);
                return Ok(number);
            }
            number = number.next();
        }
        Err(EnidError::HostFull { capacity })
    }
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

    /// Creates a task with its ENI; one that is there already with the same content is the answer. It blocks.
    pub(crate) fn create(&self, new: &NewTask) -> Result<TaskRecord, EnidError> {
        let _busy = self.busy.hold(&new.name);
        // Until the task is listed: nobody could see before that its network is in use.
        let _networks = self.networks.hold();
        let (vpc, subnet) = self.networks.subnet(&new.subnet)?;
        let groups = security_groups(&vpc, &new.security_groups)?;
        let mtu = new.mtu.unwrap_or(self.default_mtu);
        if let Some(existing) = lock(&self.state).tasks.get(&new.name) {
            if let Some(what) = difference(existing, new, &subnet, &groups, mtu) {
                return Err(EnidError::TaskDiffers { name: new.name.clone(), what });
            }
            check_namespace(existing)?;
            return Ok(existing.clone());
        }
        let platform_version = self.platform_versions.resolve(new.platform_version)?;
        let mut namespace = match &new.netns {
            Some(path) => TaskNamespace::adopt(self.adoptable(path)?)?,
            None => self.spares.take()?,
        };
        let netns = new.netns.clone().unwrap_or_else(|| self.netns_directory.join(new.name.as_str()));
        let router = self.routers.get_or_create(&vpc)?;
        let (number, addresses) = {
            let mut state = lock(&self.state);
            let addresses = state.addresses.take(&subnet, new.addresses)?;
            let number = state.next_number(self.eni_capacity);
            (number.inspect_err(|_| state.addresses.release(subnet.id, addresses))?, addresses)
        };
        let eni = Eni {
            id: EniId::random(),
            number,
            vpc: vpc.id,
            subnet: subnet.id,
            mac: MacAddress::random(),
            addresses,
            mtu,
            security_groups: groups,
            idle_timeouts: new.idle_timeouts,
        };
        let task = Task {
            name: new.name.clone(),
            platform_version,
            netns,
            netns_adopted: new.netns.is_some(),
            eni,
            ecs: new.ecs.clone(),
            tags: new.tags.clone(),
        };
        let id = namespace.namespace.id();
        let mut record = TaskRecord { task, state: TaskState::Creating, namespace: Some(id) };
        let made = self.store.put_task(&record).map_err(EnidError::from).and_then(|()| {
            self.accounting.register(&record.task, &subnet);
            if !record.task.netns_adopted {
                name(&namespace.namespace, &mut record)?;
            }
            let (gso, flow_limit) = (self.segmentation.of(&vpc), self.flow_limit);
            eni::create(&record.task.eni, gso, &subnet, &router, &self.datapath, flow_limit, &mut namespace)?;
            record.state = TaskState::Ready;
            Ok(self.store.put_task(&record)?)
        });
        if let Err(error) = made {
            self.dismantle(record);
            lock(&self.state).addresses.release(subnet.id, addresses);
            return Err(error);
        }
        lock(&self.state).tasks.insert(new.name.clone(), record.clone());
        Ok(record)
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
        self.store.put_task(&record)?;
        self.accounting.register(&record.task, &subnet);
        lock(&self.state).tasks.insert(name.clone(), record.clone());
        Ok(record)
    }

    /// Opens a namespace to adopt, if it can be a task's.
    fn adoptable(&self, path: &Path) -> Result<Namespace, EnidError> {
        let namespace = Namespace::open(path)?;
        let owner = lock(&self.state)
            .tasks
            .values()
            .find(|record| record.namespace == Some(namespace.id()))
            .map(|record| record.task.name.clone());
        if let Some(task) = owner {
            return Err(EnidError::NetnsInUse { path: path.to_owned(), task });
        }
        let is_router = self.routers.all().iter().any(|router| router.namespace().id() == namespace.id());
        if namespace.id() == self.host_namespace || is_router {
            return Err(EnidError::NetnsNotATasks(path.to_owned()));
        }
        Ok(namespace)
    }

    /// Deletes a task, and says whether there was one. It goes on past errors and reports them all. It blocks.
    pub(crate) fn delete(&self, name: &TaskName) -> Result<bool, EnidError> {
        let _busy = self.busy.hold(name);
        let Some(mut record) = lock(&self.state).tasks.get(name).cloned() else { return Ok(false) };
        record.state = TaskState::Deleting;
        // Without this on record a crash now would bring the task back: nothing is done before.
        self.store.put_task(&record)?;
        {
            let mut state = lock(&self.state);
            state.tasks.remove(name);
            state.lives.end(record.task.eni.id);
        }
        let Eni { subnet, addresses, .. } = record.task.eni;
        let errors = self.dismantle(record);
        lock(&self.state).addresses.release(subnet, addresses);
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
        errors.extend(eni::stop(eni, router.as_deref(), &self.datapath).err());
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

    /// Whether a host end's index is an ENI's number, of a task or of what is left of one.
    pub(crate) fn is_known(&self, index: u32) -> bool {
        lock(&self.state).slots.values().any(|number| number.get() == index)
    }

    /// Forgets what the reaper has taken away.
    pub(crate) fn reaped(&self, numbers: &[EniNumber]) {
        let mut state = lock(&self.state);
        for number in numbers {
            state.slots.remove(&(number.get() % self.eni_capacity));
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

/// Gives a new task's namespace its name.
fn name(namespace: &Namespace, record: &mut TaskRecord) -> Result<(), EnidError> {
    let Err(error) = namespace.bind(&record.task.netns) else { return Ok(()) };
    if matches!(&error, NetnsError::File { source, .. } if source.kind() == io::ErrorKind::AlreadyExists) {
        // What is there is somebody else's: taking this task away must leave it.
        record.namespace = None;
        return Err(EnidError::NetnsTaken(record.task.netns.clone()));
    }
    Err(error.into())
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

fn security_groups(vpc: &Vpc, wanted: &[String]) -> Result<Vec<SecurityGroupId>, EnidError> {
    if wanted.len() > MAX_SECURITY_GROUPS {
        return Err(EnidError::TooManySecurityGroups { most: MAX_SECURITY_GROUPS, given: wanted.len() });
    }
    if wanted.is_empty() {
        return Ok(vec![vpc.security_group(enid_model::DEFAULT_SECURITY_GROUP)?.id]);
    }
    let mut ids = Vec::with_capacity(wanted.len());
    for name in wanted {
        let id = vpc.security_group(name)?.id;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// In what an existing task is not what is asked for. What the request leaves open agrees with anything.
fn difference(
    existing: &TaskRecord,
    new: &NewTask,
    subnet: &Subnet,
    groups: &[SecurityGroupId],
    mtu: Mtu,
) -> Option<String> {
    let task = &existing.task;
    let eni = &task.eni;
    if eni.subnet != subnet.id {
        return Some(format!("its ENI in subnet {}", eni.subnet));
    }
    let as_set = |groups: &[SecurityGroupId]| groups.iter().copied().collect::<HashSet<_>>();
    if as_set(&eni.security_groups) != as_set(groups) {
        let names: Vec<String> = eni.security_groups.iter().map(ToString::to_string).collect();
        return Some(format!("security groups {}", names.join(", ")));
    }
    if new.addresses.ipv4.is_some() && new.addresses.ipv4 != eni.addresses.ipv4 {
        return Some(match eni.addresses.ipv4 {
            Some(address) => format!("IPv4 address {address}"),
            None => "no IPv4 address".to_owned(),
        });
    }
    if new.addresses.ipv6.is_some() && new.addresses.ipv6 != eni.addresses.ipv6 {
        return Some(match eni.addresses.ipv6 {
            Some(address) => format!("IPv6 address {address}"),
            None => "no IPv6 address".to_owned(),
        });
    }
    if eni.mtu != mtu {
        return Some(format!("MTU {}", eni.mtu));
    }
    if eni.idle_timeouts != new.idle_timeouts {
        let IdleTimeouts { tcp_established, udp, udp_stream } = eni.idle_timeouts;
        return Some(format!(
            "idle timeouts {tcp_established} s (TCP), {udp} s (UDP), {udp_stream} s (UDP stream)"
        ));
    }
    if !new.platform_version.agrees_with(task.platform_version) {
        return Some(format!("platform version {}", task.platform_version));
    }
    if let Some(what) = workload_difference(task, &new.ecs, &new.tags) {
        return Some(what);
    }
    let same_netns = match &new.netns {
        Some(path) => task.netns_adopted && *path == task.netns,
        None => !task.netns_adopted,
    };
    (!same_netns).then(|| format!("network namespace {}", task.netns.display()))
}

/// In what an existing task's ECS objects and tags are not what is asked for.
fn workload_difference(task: &Task, ecs: &EcsTask, tags: &Tags) -> Option<String> {
    for ((field, current), (_, wanted)) in task.ecs.fields().into_iter().zip(ecs.fields()) {
        if wanted.is_some() && current != wanted {
            return Some(match current {
                Some(current) => format!("ECS {field} {current}"),
                None => format!("no ECS {field}"),
            });
        }
    }
    let (key, _) = tags.iter().find(|(key, value)| task.tags.get(key) != Some(value))?;
    Some(match task.tags.get(key) {
        Some(value) => format!("tag {key}={value}"),
        None => format!("no tag {key}"),
    })
}

/// Names that somebody is creating or deleting at this moment.
#[derive(Debug, Default)]
pub(crate) struct BusyNames {
    names: Mutex<HashSet<TaskName>>,
    released: Condvar,
}

impl BusyNames {
    /// Waits until nobody is at the name, and holds it.
    fn hold(&self, name: &TaskName) -> BusyName<'_> {
        let names = lock(&self.names);
        let waited = self.released.wait_while(names, |names| names.contains(name));
        waited.unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        BusyName { all: self, name: name.clone() }
    }
}

/// A name that is held; given up when dropped.
struct BusyName<'a> {
    all: &'a BusyNames,
    name: TaskName,
}

impl Drop for BusyName<'_> {
    fn drop(&mut self) {
        lock(&self.all.names).remove(&self.name);
        self.all.released.notify_all();
    }
}
