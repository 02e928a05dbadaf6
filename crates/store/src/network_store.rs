//! What was declared: VPCs, subnets, security groups.

use std::path::Path;

use redb::TableDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;
use crate::table::DatabaseFile;

const NETWORKS: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("networks");
const KEY: &str = "networks";

/// The declared networks, on disk.
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
}
