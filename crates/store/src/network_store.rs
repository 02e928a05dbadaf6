//! What was declared: VPCs, subnets, security groups; flow logs.

use std::path::Path;

use redb::TableDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;
use crate::table::DatabaseFile;

const NETWORKS: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("networks");
const KEY: &str = "networks";
/// Flow logs by their id.
const FLOW_LOGS: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("flow_logs");

/// The declared networks and flow logs, on disk.
#[derive(Debug)]
pub struct NetworkStore {
    file: DatabaseFile,
}

impl NetworkStore {
    /// Opens the store, making it if there is none.
    ///
    /// # Errors
    /// The file can't be opened, or another daemon has it open.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { file: DatabaseFile::open(path)? })
    }

    /// What was declared last; nothing if nothing ever was.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn load<N: DeserializeOwned>(&self) -> Result<Option<N>, StoreError> {
        Ok(self.file.values(NETWORKS)?.pop())
    }

    /// Replaces what was declared.
    ///
    /// # Errors
    /// The file can't be written; then nothing has changed.
    pub fn save(&self, networks: &impl Serialize) -> Result<(), StoreError> {
        self.file.write(|transaction| transaction.put(NETWORKS, KEY, networks))
    }

    /// All flow logs, in the order of their ids.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn flow_logs<F: DeserializeOwned>(&self) -> Result<Vec<F>, StoreError> {
        self.file.values(FLOW_LOGS)
    }

    /// Writes or replaces flow logs, by their ids, and forgets others; all of it or nothing.
    ///
    /// # Errors
    /// The file can't be written; then nothing has changed.
    pub fn save_flow_logs<F: Serialize>(
        &self,
        put: &[(String, F)],
        removed: &[String],
    ) -> Result<(), StoreError> {
        self.file.write(|transaction| {
            removed.iter().try_for_each(|id| transaction.remove(FLOW_LOGS, id.as_str()))?;
            put.iter().try_for_each(|(id, flow_log)| transaction.put(FLOW_LOGS, id.as_str(), flow_log))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flow_logs_are_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("networks.redb");
        let entry = |id: &str, value: u32| (id.to_owned(), value);
        {
            let store = NetworkStore::open(&path).unwrap();
            assert_eq!(store.flow_logs::<u32>().unwrap(), [0; 0]);
            store.save_flow_logs(&[entry("b", 2), entry("a", 1), entry("c", 3)], &[]).unwrap();
            store.save_flow_logs(&[entry("b", 4)], &["c".to_owned(), "d".to_owned()]).unwrap();
            store.save(&"networks").unwrap();
        }
        let store = NetworkStore::open(&path).unwrap();
        assert_eq!(store.flow_logs::<u32>().unwrap(), [1, 4]);
        assert_eq!(store.load::<String>().unwrap().as_deref(), Some("networks"));
    }
}
