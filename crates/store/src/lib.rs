//! What must outlive the daemon, in two embedded databases (redb): [`NetworkStore`] on disk holds what was declared,
//! [`RunStore`] under the run directory holds what only matters while the host is up: tasks, ENIs and routers.
//!
//! Every change is one transaction that is synced before it returns. The run directory is a tmpfs, where a sync
//! costs nothing. Values are JSON, so that a person can read them.

mod error;
mod network_store;
mod run_store;
mod table;

pub use error::StoreError;
pub use network_store::NetworkStore;
pub use run_store::{RouterRecord, RunStore, TaskRecord, TaskState};
