//! The commands, a file for each group.

pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod completions;
pub(crate) mod counters;
mod deletions;
pub(crate) mod dial;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod flow_logs;
pub(crate) mod flows;
pub(crate) mod flush;
pub(crate) mod networks;
pub(crate) mod platform_versions;
pub(crate) mod proxy;
pub(crate) mod run;
pub(crate) mod setup_times;
pub(crate) mod tasks;
pub(crate) mod version;
