//! What only matters while the host is up: tasks with their ENIs, and VPC routers.

use std::path::{Path, PathBuf};

use enid_model::{EniNumber, NamespaceId, Task, VpcId};
use redb::TableDefinition;
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::table::DatabaseFile;

/// Tasks by the number of their ENI, so that what is left of a deleted task and a new task of the same name can
/// stand side by side.
const TASKS: TableDefinition<'static, u32, &'static [u8]> = TableDefinition::new("tasks");
const ROUTERS: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("routers");

/// How far a task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It is being made: what is there of it after a crash is taken away.
    Creating,
    /// It is whole.
    Ready,
    /// It was deleted, and what is left of it is being taken away.
    Deleting,
}

/// A task as the run store holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The task.
    pub task: Task,
    /// How far it has come.
    pub state: TaskState,
    /// Which namespace it is in, once that is known.
    pub namespace: Option<NamespaceId>,
}

/// A VPC router as the run store holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterRecord {
    /// Whose router it is.
    pub vpc: VpcId,
    /// The path of its namespace.
    pub netns: PathBuf,
    /// Which namespace that is, once it is known.
    pub namespace: Option<NamespaceId>,
    /// The number of its uplink on this host, which its transit addresses are made from.
    pub uplink_number: u16,
}

/// Tasks and routers, under the run directory.
#[derive(Debug)]
pub struct RunStore {
    file: DatabaseFile,
}

impl RunStore {
    /// Opens the store, making it if there is none.
    ///
    /// # Errors
    /// The file can't be opened, or another daemon has it open.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { file: DatabaseFile::open(path)? })
    }

    /// Writes or replaces a task.
    ///
    /// # Errors
    /// The file can't be written; then nothing has changed.
    pub fn put_task(&self, record: &TaskRecord) -> Result<(), StoreError> {
        self.file.write(|transaction| transaction.put(TASKS, record.task.eni.number.get(), record))
    }

    /// Forgets tasks, all of them or none.
    ///
    /// # Errors
    /// The file can't be written; then nothing has changed.
    pub fn remove_tasks(&self, numbers: &[EniNumber]) -> Result<(), StoreError> {
        self.file.write(|transaction| {
            numbers.iter().try_for_each(|number| transaction.remove(TASKS, number.get()))
        })
    }

    /// All tasks, in the order of their ENI numbers.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn tasks(&self) -> Result<Vec<TaskRecord>, StoreError> {
        self.file.values(TASKS)
    }

    /// Writes or replaces a router.
    ///
    /// # Errors
    /// The file can't be written; then nothing has changed.
    pub fn put_router(&self, record: &RouterRecord) -> Result<(), StoreError> {
        self.file.write(|transaction| transaction.put(ROUTERS, record.vpc.to_string().as_str(), record))
    }

    /// Forgets a router.
    ///
    /// # Errors
    /// The file can't be written; then nothing has changed.
    pub fn remove_router(&self, vpc: VpcId) -> Result<(), StoreError> {
        self.file.write(|transaction| transaction.remove(ROUTERS, vpc.to_string().as_str()))
    }

    /// All routers.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn routers(&self) -> Result<Vec<RouterRecord>, StoreError> {
        self.file.values(ROUTERS)
    }
}

#[cfg(test)]
mod tests {
    use enid_model::{
        EcsTask, Eni, EniAddresses, EniId, IdleTimeouts, MacAddress, Mtu, PlatformVersion, SubnetId, Tags,
    };

    use super::*;

    fn record(name: &str, number: u32) -> TaskRecord {
        let eni = Eni {
            id: EniId::random(),
            number: number.try_into().unwrap(),
            vpc: VpcId::random(),
            subnet: SubnetId::random(),
            mac: MacAddress::random(),
            addresses: EniAddresses { ipv4: Some([10, 0, 0, 4].into()), ipv6: None },
            mtu: Mtu::JUMBO,
            security_groups: Vec::new(),
            idle_timeouts: IdleTimeouts::default(),
        };
        let task = Task {
            name: name.parse().unwrap(),
            platform_version: PlatformVersion::V1_4_0,
            netns: "/run/netns/a".into(),
            netns_adopted: false,
            eni,
            ecs: EcsTask::default(),
            tags: Tags::default(),
        };
        TaskRecord { task, state: TaskState::Creating, namespace: None }
    }

    #[test]
    fn what_was_written_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.redb");
        let (first, second) = (record("a", 1_000_000), record("a", 1_000_001));
        {
            let store = RunStore::open(&path).unwrap();
            assert_eq!(store.tasks().unwrap(), []);
            store.put_task(&first).unwrap();
            store.put_task(&second).unwrap();
            store.put_task(&TaskRecord { state: TaskState::Ready, ..first.clone() }).unwrap();
            store.remove_tasks(&[second.task.eni.number]).unwrap();
        }
        let store = RunStore::open(&path).unwrap();
        assert_eq!(store.tasks().unwrap(), [TaskRecord { state: TaskState::Ready, ..first }]);
    }

    #[test]
    fn a_second_daemon_is_refused_by_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.redb");
        let _first = RunStore::open(&path).unwrap();
        let error = RunStore::open(&path).unwrap_err().to_string();
        assert!(error.contains("run.redb"), "{error}");
    }

    #[test]
    fn routers_are_kept_by_vpc() {
        let directory = tempfile::tempdir().unwrap();
        let store = RunStore::open(&directory.path().join("run.redb")).unwrap();
        let vpc = VpcId::random();
        let router = RouterRecord { vpc, netns: "/run/netns/r".into(), namespace: None, uplink_number: 3 };
        store.put_router(&router).unwrap();
        assert_eq!(store.routers().unwrap(), [router]);
        store.remove_router(vpc).unwrap();
        assert_eq!(store.routers().unwrap(), []);
    }
}
