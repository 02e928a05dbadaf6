//! A database file with tables of JSON values.

use std::path::{Path, PathBuf};

use redb::{Builder, Database, Key, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;

/// redb's page cache in bytes. What enid stores fits in it, and the daemon has to stay small.
const CACHE_SIZE: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct DatabaseFile {
    database: Database,
    path: PathBuf,
}

impl DatabaseFile {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Builder::new().set_cache_size(CACHE_SIZE).create(path);
        let database = database.map_err(|error| failed("open", path, error))?;
        Ok(Self { database, path: path.to_owned() })
    }

    /// Runs `work` in one transaction that is on disk when this returns, or did not happen.
    pub(crate) fn write(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let transaction =
            self.database.begin_write().map_err(|error| failed("write to", &self.path, error))?;
        let mut open = Transaction { transaction, path: &self.path };
        work(&mut open)?;
        open.transaction.commit().map_err(|error| failed("write to", &self.path, error))
    }

    /// All values of a table, in the order of their keys; none if there is no such table yet.
    pub(crate) fn values<K: Key + 'static, V: DeserializeOwned>(
        &self,
        table: TableDefinition<'static, K, &'static [u8]>,
    ) -> Result<Vec<V>, StoreError> {
        let read = || -> Result<Vec<Vec<u8>>, redb::Error> {
            let transaction = self.database.begin_read()?;
            let table = match transaction.open_table(table) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                opened => opened?,
            };
            let entries = table.iter()?.map(|entry| Ok(entry?.1.value().to_vec()));
            entries.collect()
        };
        let texts = read().map_err(|error| failed("read", &self.path, error))?;
        let parse = |text: Vec<u8>| {
            let unreadable = |source| StoreError::Value {
                path: self.path.clone(),
                key: redb::TableHandle::name(&table).to_owned(),
                source,
            };
            serde_json::from_slice(&text).map_err(unreadable)
        };
        texts.into_iter().map(parse).collect()
    }
}

/// A transaction under way.
pub(crate) struct Transaction<'a> {
    transaction: WriteTransaction,
    path: &'a Path,
}

impl Transaction<'_> {
    pub(crate) fn put<K: Key + 'static>(
        &mut self,
        table: TableDefinition<'static, K, &'static [u8]>,
        key: K::SelfType<'_>,
        value: &impl Serialize,
    ) -> Result<(), StoreError> {
        let unreadable = |source| StoreError::Value {
            path: self.path.to_owned(),
            key: redb::TableHandle::name(&table).to_owned(),
            source,
        };
        let text = serde_json::to_vec(value).map_err(unreadable)?;
        let put = || -> Result<(), redb::Error> {
            self.transaction.open_table(table)?.insert(key, text.as_slice())?;
            Ok(())
        };
        put().map_err(|error| failed("write to", self.path, error))
    }

    pub(crate) fn remove<K: Key + 'static>(
        &mut self,
        table: TableDefinition<'static, K, &'static [u8]>,
        key: K::SelfType<'_>,
    ) -> Result<(), StoreError> {
        let remove = || -> Result<(), redb::Error> {
            self.transaction.open_table(table)?.remove(key)?;
            Ok(())
        };
        remove().map_err(|error| failed("write to", self.path, error))
    }
}

fn failed(action: &'static str, path: &Path, error: impl Into<redb::Error>) -> StoreError {
    StoreError::Database { action, path: path.to_owned(), source: Box::new(error.into()) }
}
