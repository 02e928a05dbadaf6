//! A database file with tables of JSON values.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use redb::{Builder, Database, Key, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;

/// redb's page cache in bytes. What enid stores fits in it, and the daemon has to stay small.
const CACHE_SIZE: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct DatabaseFile {
    path: PathBuf,
    /// None after a failure of the file's, such as a full disk: redb then wants it opened anew.
    database: Mutex<Option<Database>>,
}

impl DatabaseFile {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { database: Mutex::new(Some(open(path)?)), path: path.to_owned() })
    }

    /// Runs `work` in one transaction that is on disk when this returns, or did not happen.
    pub(crate) fn write(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.with_database(|database| {
            let failed = |error: redb::Error| failed("write to", &self.path, error);
            let transaction = database.begin_write().map_err(|error| failed(error.into()))?;
            let mut open = Transaction { transaction, path: &self.path };
            work(&mut open)?;
            open.transaction.commit().map_err(|error| failed(error.into()))
        })
    }

    /// Runs `work` with the database, opened again if it had to be closed.
    fn with_database<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // A thread that panicked in the middle has left no transaction: redb takes back what was not committed.
        let mut slot = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match slot.take() {
            Some(database) => database,
            None => open(&self.path)?,
        };
        let done = work(&database);
        if !done.as_ref().is_err_and(StoreError::is_of_the_file) {
            *slot = Some(database);
        }
        done
    }

    /// All values of a table, in the order of their keys; none if there is no such table yet.
    pub(crate) fn values<K: Key + 'static, V: DeserializeOwned>(
        &self,
        table: TableDefinition<'static, K, &'static [u8]>,
    ) -> Result<Vec<V>, StoreError> {
        let read = |database: &Database| -> Result<Vec<Vec<u8>>, redb::Error> {
            let transaction = database.begin_read()?;
            let table = match transaction.open_table(table) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                opened => opened?,
            };
            let entries = table.iter()?.map(|entry| Ok(entry?.1.value().to_vec()));
            entries.collect()
        };
        let texts =
            self.with_database(|database| read(database).map_err(|error| failed("read", &self.path, error)))?;
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

fn open(path: &Path) -> Result<Database, StoreError> {
    let database = Builder::new().set_cache_size(CACHE_SIZE).create(path);
    database.map_err(|error| failed("open", path, error))
}

fn failed(action: &'static str, path: &Path, error: impl Into<redb::Error>) -> StoreError {
    StoreError::Database { action, path: path.to_owned(), source: Box::new(error.into()) }
}
