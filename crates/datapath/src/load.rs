//! Loading the object.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use aya::maps::{Map as AyaMap, MapType};
use aya::programs::{ProgramError, SchedClassifier};
use aya::{Ebpf, EbpfLoader};
use enid_abi::{
    CLASS_CAPACITY, ClassTag, Clock, ENI_MASK, EniSlot, FORWARDING, FlowCount, FlowKey, FlowValue,
    FragmentKey, GROUP_CAPACITY, GroupPolicy, LIST_CAPACITY, Ledger, ListKey, MAX_GROUPS, MemberKey,
    ObjectId, PrefixRanges, RefusalKey, RefusalValue, map_name,
};

use crate::Datapath;
use crate::clock::Ticks;
use crate::error::DatapathError;
use crate::grace::GracePeriod;
use crate::map::{Map, PerCpuMap};
use crate::object::OBJECT;
use crate::pin::{self, Shape};
use crate::policy::PolicyMaps;

/// How the data path is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatapathConfig {
    /// Where the maps are pinned: a directory on a BPF file system, made if it is not there.
    pub pin_directory: PathBuf,
    /// How many flow entries there may be, at most 2^26. Each takes 200 bytes once it is there, and room for each
    /// takes 16.
    pub flow_capacity: u32,
    /// How many refused flows are told apart, at most 2^26; further ones are only counted.
    pub refusal_capacity: u32,
    /// How many slots for ENIs there are, a power of two, at most 65,536. Each takes 320 bytes a CPU.
    pub eni_capacity: u32,
    /// Who forwards packets between ENIs of this host.
    pub forwarding: Forwarding,
}

/// Who forwards packets between ENIs of this host. Verdicts and counts are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Forwarding {
    /// The programs, straight into the receiver's namespace (`bpf_redirect_peer`, Linux 5.10).
    Direct,
    /// The kernel's routing.
    Kernel,
}

impl DatapathConfig {
    /// A million flows, 65,536 refused ones and 4,096 ENIs.
    pub fn new(pin_directory: impl Into<PathBuf>) -> Self {
        Self {
            pin_directory: pin_directory.into(),
            flow_capacity: 1_048_576,
            refusal_capacity: 65_536,
            eni_capacity: 4096,
            forwarding: Forwarding::Direct,
        }
    }

    fn check(&self) -> Result<(), DatapathError> {
        let tables = [
            ("the capacity of the flow table", self.flow_capacity),
            ("the capacity of the table of refusals", self.refusal_capacity),
        ];
        for (what, value) in tables {
            if !(1..=1 << 26).contains(&value) {
                return Err(DatapathError::Capacity { what, value, expected: "1 to 67,108,864" });
            }
        }
        if !self.eni_capacity.is_power_of_two() || self.eni_capacity > 1 << 16 {
            return Err(DatapathError::Capacity {
                what: "the capacity for ENIs",
                value: self.eni_capacity,
                expected: "a power of two, at most 65,536",
            });
        }
        Ok(())
    }

    fn shapes(&self) -> [Shape; 13] {
        fn shape<K, V>(name: &'static str, map_type: MapType, capacity: u32) -> Shape {
            Shape { name, map_type, key: size_of::<K>(), value: size_of::<V>(), capacity }
        }
        let enis = self.eni_capacity;
        // An address of each family in each of its groups.
        let members = enis.saturating_mul(2 * u32::try_from(MAX_GROUPS).unwrap_or(u32::MAX));
        [
            shape::<u32, EniSlot>(map_name::ENIS, MapType::Array, enis),
            shape::<u32, Ledger>(map_name::LEDGERS, MapType::PerCpuArray, enis * 2),
            shape::<FlowKey, FlowValue>(map_name::FLOWS, MapType::Hash, self.flow_capacity),
            shape::<RefusalKey, RefusalValue>(map_name::REFUSALS, MapType::Hash, self.refusal_capacity),
            shape::<u32, FlowCount>(map_name::FLOW_COUNTS, MapType::Array, enis),
            shape::<u32, [u64; 2]>(map_name::FLOWS_DELETED, MapType::Array, enis),
            shape::<FragmentKey, u32>(map_name::FRAGMENTS, MapType::LruHash, FRAGMENT_CAPACITY),
            shape::<ObjectId, GroupPolicy>(map_name::GROUPS, MapType::Hash, GROUP_CAPACITY),
            shape::<MemberKey, u32>(map_name::MEMBERS, MapType::Hash, members),
            shape::<ListKey, PrefixRanges>(map_name::LISTS, MapType::Hash, LIST_CAPACITY),
            shape::<u64, ClassTag>(map_name::CLASSES, MapType::Hash, CLASS_CAPACITY),
            shape::<u32, ClassTag>(map_name::SOCKET_CLASSES, MapType::SkStorage, 0),
            shape::<u32, Clock>(map_name::CLOCK, MapType::Array, 1),
        ]
    }
}

/// How many datagrams may be on their way in fragments at a time; the oldest is forgotten first.
const FRAGMENT_CAPACITY: u32 = 16_384;

impl Datapath {
    /// Loads the programs and makes the maps, or takes those that an earlier daemon pinned.
    pub fn load(config: &DatapathConfig) -> Result<Self, DatapathError> {
        config.check()?;
        pin::prepare(&config.pin_directory)?;
        let shapes = config.shapes();
        let eni_mask = config.eni_capacity - 1;
        let mut loader = EbpfLoader::new();
        let forwarding = u32::from(config.forwarding == Forwarding::Direct);
        loader.override_global(ENI_MASK, &eni_mask, true);
        loader.override_global(FORWARDING, &forwarding, true);
        for shape in &shapes {
            pin::check(&config.pin_directory, shape)?;
            loader
                .map_max_entries(shape.name, shape.capacity)
                .map_pin_path(shape.name, config.pin_directory.join(shape.name));
        }
        let mut object = loader.load(OBJECT).map_err(|error| DatapathError::Object(Box::new(error)))?;
        drop(loader);

        let cpus = aya::util::nr_cpus().map_err(|(_, source)| DatapathError::Map {
            operation: "counting the CPUs for a value each",
            map: map_name::LEDGERS,
            source,
        })?;
        let datapath = Self {
            from_eni: program(&mut object, "from_eni")?,
            to_eni: program(&mut object, "to_eni")?,
            enis: Map::new(map_name::ENIS, map(&mut object, map_name::ENIS)?),
            ledgers: PerCpuMap::new(map_name::LEDGERS, map(&mut object, map_name::LEDGERS)?, cpus),
            flows: Map::new(map_name::FLOWS, map(&mut object, map_name::FLOWS)?),
            refusals: Map::new(map_name::REFUSALS, map(&mut object, map_name::REFUSALS)?),
            flow_counts: Map::new(map_name::FLOW_COUNTS, map(&mut object, map_name::FLOW_COUNTS)?),
            flows_deleted: Map::new(map_name::FLOWS_DELETED, map(&mut object, map_name::FLOWS_DELETED)?),
            policy: PolicyMaps::new(
                Map::new(map_name::GROUPS, map(&mut object, map_name::GROUPS)?),
                Map::new(map_name::LISTS, map(&mut object, map_name::LISTS)?),
                Map::new(map_name::MEMBERS, map(&mut object, map_name::MEMBERS)?),
            ),
            classes: Map::new(map_name::CLASSES, map(&mut object, map_name::CLASSES)?),
            socket_classes: Map::new(map_name::SOCKET_CLASSES, map(&mut object, map_name::SOCKET_CLASSES)?),
            clock: Map::new(map_name::CLOCK, map(&mut object, map_name::CLOCK)?),
            grace: GracePeriod::new()?,
            ticks: Ticks::new(program(&mut object, "now")?)?,
            eni_mask,
            slots: Mutex::new(()),
            clock_hand: Mutex::new(()),
            settled: AtomicU32::new(0),
            began: AtomicU32::new(0),
        };
        datapath.resume()?;
        Ok(datapath)
    }
}

fn program(object: &mut Ebpf, name: &'static str) -> Result<OwnedFd, DatapathError> {
    let failed = |source: ProgramError| DatapathError::Program { program: name, source: Box::new(source) };
    let program = object.program_mut(name).ok_or(DatapathError::Missing(name))?;
    let program: &mut SchedClassifier = program.try_into().map_err(failed)?;
    program.load().map_err(failed)?;
    let fd = program.fd().map_err(failed)?;
    duplicate(fd.as_fd().try_clone_to_owned(), name)
}

fn map(object: &mut Ebpf, name: &'static str) -> Result<OwnedFd, DatapathError> {
    let map = object.take_map(name).ok_or(DatapathError::Missing(name))?;
    let (AyaMap::Array(data) | AyaMap::PerCpuArray(data) | AyaMap::HashMap(data) | AyaMap::SkStorage(data)) =
        map
    else {
        return Err(DatapathError::Missing(name));
    };
    duplicate(data.fd().as_fd().try_clone_to_owned(), name)
}

/// A descriptor of our own, so that all that aya keeps for the object can go.
fn duplicate(fd: std::io::Result<OwnedFd>, name: &'static str) -> Result<OwnedFd, DatapathError> {
    fd.map_err(|source| DatapathError::Map { operation: "duplicating the descriptor", map: name, source })
}
