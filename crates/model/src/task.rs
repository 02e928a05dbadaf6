//! Tasks.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{EcsTask, Eni, PlatformVersion, Tags, TaskName};

/// Which network namespace a namespace is, whatever it is called: its inode in the kernel's namespace file system.
/// An inode is given out again only after the namespace is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NamespaceId(u64);

impl NamespaceId {
    /// The namespace with this inode.
    pub const fn new(inode: u64) -> Self {
        Self(inode)
    }
}

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
    /// The ECS objects that it belongs to.
    #[serde(default)]
    pub ecs: EcsTask,
    /// The tags of its ENI.
    #[serde(default)]
    pub tags: Tags,
}
