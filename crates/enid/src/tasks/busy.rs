//! Names that are busy: one request at a time works on a task.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, PoisonError};

use enid_model::TaskName;

use crate::lock;

/// Names that somebody is creating or deleting at this moment.
#[derive(Debug, Default)]
pub(crate) struct BusyNames {
    names: Mutex<HashSet<TaskName>>,
    released: Condvar,
}

impl BusyNames {
    /// Waits until nobody is at the name, and holds it.
    pub(super) fn hold(&self, name: &TaskName) -> BusyName<'_> {
        let names = lock(&self.names);
        let waited = self.released.wait_while(names, |names| names.contains(name));
        waited.unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        BusyName { all: self, name: name.clone() }
    }
}

/// A name that is held; given up when dropped.
pub(super) struct BusyName<'a> {
    all: &'a BusyNames,
    name: TaskName,
}

impl Drop for BusyName<'_> {
    fn drop(&mut self) {
        lock(&self.all.names).remove(&self.name);
        self.all.released.notify_all();
    }
}
