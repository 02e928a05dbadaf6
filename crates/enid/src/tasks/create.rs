//! Creating a task.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use enid_model::{
    EcsTask, Eni, EniAddresses, EniId, EniNumber, IdleTimeouts, MacAddress, Mtu, PlatformVersion,
    SecurityGroupId, Subnet, Tags, Task, TaskName, Vpc, WantedPlatformVersion,
};
use enid_netns::{Namespace, NetnsError};
use enid_store::{TaskRecord, TaskState};

use super::difference::{difference, security_groups};
use super::{Tasks, check_namespace};
use crate::addresses::WantedAddresses;
use crate::eni::{self, Link, TaskNamespace};
use crate::events::EventKind;
use crate::router::Router;
use crate::slots::Slot;
use crate::{EnidError, lock};

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

/// What is declared of what a creator asks for.
struct Plan {
    vpc: Vpc,
    subnet: Subnet,
    groups: Vec<SecurityGroupId>,
    mtu: Mtu,
}

/// A task that is to be made.
struct Order<'a> {
    new: &'a NewTask,
    plan: Plan,
    platform_version: PlatformVersion,
    addresses: EniAddresses,
}

/// Where a task is made.
struct Place {
    number: EniNumber,
    mac: MacAddress,
    namespace: TaskNamespace,
    router: Arc<Router>,
    link: Link,
}

impl From<Slot> for Place {
    fn from(Slot { number, mac, namespace, router, .. }: Slot) -> Self {
        Self { number, mac, namespace, router, link: Link::Ready }
    }
}

impl Tasks {
    /// Creates a task with its ENI; one that is there already with the same content is the answer. It blocks, and is done to
    /// its end.
    ///
    /// `observe` is called when the ENI is up, its record still [`TaskState::Creating`], and again when the task is whole.
    /// It must be quick.
    pub(crate) fn create(
        &self,
        new: &NewTask,
        observe: &mut dyn FnMut(&TaskRecord),
    ) -> Result<TaskRecord, EnidError> {
        let _busy = self.busy.hold(&new.name);
        // Until the task is listed: nobody could see before that its network is in use.
        let _networks = self.networks.hold();
        let plan = self.plan(new)?;
        if let Some(existing) = self.existing(new, &plan)? {
            return Ok(existing);
        }
        let platform_version = self.platform_versions.resolve(new.platform_version)?;
        self.bell.ring();
        let subnet = plan.subnet.id;
        let addresses = lock(&self.state).addresses.take(&plan.subnet, new.addresses)?;
        let order = Order { new, plan, platform_version, addresses };
        let mut made = match self.ready_place(&order) {
            Some(place) => self.make(&order, place, observe),
            None => self.make_anew(&order, observe),
        };
        if made.as_ref().is_err_and(is_gone) {
            // Somebody took away what was ready.
            made = self.make_anew(&order, observe);
        }
        self.bell.ring();
        match &made {
            Ok(record) => {
                lock(&self.state).tasks.insert(new.name.clone(), record.clone());
                self.events.task(EventKind::TaskReady, &new.name, Some(record.task.eni.id), Vec::new());
                observe(record);
            }
            Err(error) => {
                lock(&self.state).addresses.release(subnet, addresses);
                self.events.task(EventKind::TaskFailed, &new.name, None, vec![error.to_string()]);
            }
        }
        made
    }

    fn plan(&self, new: &NewTask) -> Result<Plan, EnidError> {
        let (vpc, subnet) = self.networks.subnet(&new.subnet)?;
        let groups = security_groups(&vpc, &new.security_groups)?;
        Ok(Plan { vpc, subnet, groups, mtu: new.mtu.unwrap_or(self.default_mtu) })
    }

    /// The task of that name, if there is one: it must be what is asked for.
    fn existing(&self, new: &NewTask, plan: &Plan) -> Result<Option<TaskRecord>, EnidError> {
        let Some(existing) = lock(&self.state).tasks.get(&new.name).cloned() else { return Ok(None) };
        if let Some(what) = difference(&existing, new, &plan.subnet, &plan.groups, plan.mtu) {
            return Err(EnidError::TaskDiffers { name: new.name.clone(), what });
        }
        check_namespace(&existing)?;
        Ok(Some(existing))
    }

    /// A slot, if one is ready that is what the task is to be in.
    fn ready_place(&self, Order { new, plan, .. }: &Order<'_>) -> Option<Place> {
        if new.netns.is_some() || plan.mtu != self.default_mtu {
            return None;
        }
        let router = self.routers.get(plan.vpc.id)?;
        let gso = self.segmentation.of(&plan.vpc);
        let fits = |slot: &Slot| slot.gso == gso && Arc::ptr_eq(&slot.router, &router);
        self.slots.take(plan.vpc.id, fits).map(Place::from)
    }

    fn make_anew(
        &self,
        order: &Order<'_>,
        observe: &mut dyn FnMut(&TaskRecord),
    ) -> Result<TaskRecord, EnidError> {
        let namespace = match &order.new.netns {
            Some(path) => TaskNamespace::adopt(self.adoptable(path)?)?,
            None => self.namespace()?,
        };
        let router = self.routers.get_or_create(&order.plan.vpc)?;
        let number = self.next_number()?;
        let link = Link::New(self.segmentation.of(&order.plan.vpc));
        let place = Place { number, mac: MacAddress::random(), namespace, router, link };
        self.make(order, place, observe)
    }

    /// A namespace that is ready, or else a new one.
    fn namespace(&self) -> Result<TaskNamespace, EnidError> {
        if let Some(ready) = self.spares.take() {
            return Ok(ready);
        }
        let _turn = self.stages.namespace.enter_blocking();
        Ok(TaskNamespace::create()?)
    }

    /// A number that is no ENI's. Slots give theirs up if there is no other.
    fn next_number(&self) -> Result<EniNumber, EnidError> {
        loop {
            let number = lock(&self.state).next_number(self.eni_capacity);
            let Err(EnidError::HostFull { .. }) = number else { return number };
            let Some(given_up) = self.slots.give_up_one() else { return number };
            lock(&self.state).release_number(given_up, self.eni_capacity);
        }
    }

    /// Makes a task; if that fails, takes away what was made.
    fn make(
        &self,
        order: &Order<'_>,
        mut place: Place,
        observe: &mut dyn FnMut(&TaskRecord),
    ) -> Result<TaskRecord, EnidError> {
        let subnet = &order.plan.subnet;
        let mut record = record(order, &place, &self.netns_directory);
        let made = self.put(&record).and_then(|()| {
            self.accounting.register(&record.task, subnet);
            let id = record.task.eni.id;
            self.events.task(EventKind::TaskCreated, &record.task.name, Some(id), Vec::new());
            if !record.task.netns_adopted {
                name(&place.namespace.namespace, &mut record)?;
            }
            let turn = self.stages.link.enter_blocking();
            let Place { namespace, router, link, .. } = &mut place;
            eni::create(&record.task.eni, *link, subnet, router, &self.datapath, self.flow_limit, namespace)?;
            drop(turn);
            observe(&record);
            record.state = TaskState::Ready;
            self.put(&record)
        });
        match made {
            Ok(()) => Ok(record),
            Err(error) => {
                self.dismantle(record);
                Err(error)
            }
        }
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
}

fn record(order: &Order<'_>, place: &Place, netns_directory: &Path) -> TaskRecord {
    let Order { new, plan, platform_version, addresses } = order;
    let eni = Eni {
        id: EniId::random(),
        number: place.number,
        vpc: plan.vpc.id,
        subnet: plan.subnet.id,
        mac: place.mac,
        addresses: *addresses,
        mtu: plan.mtu,
        security_groups: plan.groups.clone(),
        idle_timeouts: new.idle_timeouts,
    };
    let task = Task {
        name: new.name.clone(),
        platform_version: *platform_version,
        netns: new.netns.clone().unwrap_or_else(|| netns_directory.join(new.name.as_str())),
        netns_adopted: new.netns.is_some(),
        eni,
        ecs: new.ecs.clone(),
        tags: new.tags.clone(),
    };
    TaskRecord { task, state: TaskState::Creating, namespace: Some(place.namespace.namespace.id()) }
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

/// Whether a link was not there that should have been.
fn is_gone(error: &EnidError) -> bool {
    matches!(error, EnidError::Netns(NetnsError::Netlink(error)) if error.is_gone())
}
