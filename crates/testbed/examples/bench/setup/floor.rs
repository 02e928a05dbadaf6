//! The floor: the least that it can cost.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::Result;
use enid_testbed::floor::{Floor, Interface};

use super::contender::{Caller, Contender};
use crate::host::{folder, new_host};

/// The least it can cost: [`enid_testbed::floor`].
pub(crate) struct FloorHost {
    host: OwnedFd,
    folder: PathBuf,
}

impl FloorHost {
    pub(crate) fn new(work: &Path) -> Result<Self> {
        Ok(Self { host: new_host()?, folder: folder(work, "floor")? })
    }
}

impl Contender for FloorHost {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn host(&self) -> &OwnedFd {
        &self.host
    }

    fn device_prefix(&self) -> &'static str {
        "floor"
    }

    fn caller(&self) -> Result<Box<dyn Caller + '_>> {
        Ok(Box::new(FloorCaller { floor: Floor::open()?, folder: &self.folder }))
    }
}

struct FloorCaller<'a> {
    floor: Floor,
    folder: &'a Path,
}

impl FloorCaller<'_> {
    fn interface(&self, task: u32) -> Interface {
        let [_, a, b, c] = (task + 1).to_be_bytes();
        Interface {
            netns: self.folder.join(task.to_string()),
            index: 1_000_000 + task,
            mac: [0x02, 0x00, 0x00, a, b, c],
            mtu: 9001,
            ipv4: (Ipv4Addr::new(10, 9, b, c), 16),
            ipv4_gateway: Ipv4Addr::new(10, 9, 255, 254),
            ipv6: Ipv6Addr::from((0xfd00_u128 << 112) | u128::from(task) | 1 << 64),
            ipv6_gateway: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1),
        }
    }
}

impl Caller for FloorCaller<'_> {
    fn create(&mut self, task: u32) -> Result<()> {
        Ok(self.floor.create(&self.interface(task))?)
    }

    fn delete(&mut self, task: u32) -> Result<()> {
        Ok(self.floor.delete(&self.interface(task))?)
    }
}
