//! Tasks.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Eni, PlatformVersion, TaskName};

/// A task and its one ENI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The name.
    pub name: TaskName,
    /// The platform version it was created with, resolved.
    pub platform_version: PlatformVersion,
    /// The path of its network namespace.
    pub netns: PathBuf,
    /// Whether the namespace was made by somebody else, who will also remove it.
    pub netns_adopted: bool,
    /// Its ENI.
    pub eni: Eni,
}
