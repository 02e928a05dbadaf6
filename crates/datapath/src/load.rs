//! Loading the object.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use aya::maps::{Map as AyaMap, MapType};
use aya::programs::{ProgramError, SchedClassifier};
use aya::{Ebpf, EbpfLoader};
use enid_abi::{
    CLASS_CAPACITY, ClassTag, Clock, ENI_MASK, EniSlot, FlowKey, FlowValue, Interval, Ledger, map_name,
};

use crate::Datapath;
use crate::clock::Ticks;
use crate::error::DatapathError;
use crate::grace::GracePeriod;
use crate::map::{Map, PerCpuMap};
use crate::object::OBJECT;
use crate::pin::{self, Shape};

/// How the data path is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatapathConfig {
    /// Where the maps are pinned: a directory on a BPF file system, made if it is not there.
    pub pin_directory: PathBuf,
    /// How many flow entries there may be, at most 2^26. Each takes 200 bytes once it is there, and room for each
    /// takes 16.
    pub flow_capacity: u32,
    /// How many slots for ENIs there are, a power of two, at most 65,536. Each takes 320 bytes a CPU.
    pub eni_capacity: u32,
}

impl DatapathConfig {
    /// A million flows and 4,096 ENIs.
    pub fn new(pin_directory: impl Into<PathBuf>) -> Self {
        Self { pin_directory: pin_directory.into(), flow_capacity: 1_048_576, eni_capacity: 4096 }
    }

    fn check(&self) -> Result<(), DatapathError> {
        if !(1..=1 << 26).contains(&self.flow_capacity) {
            return Err(DatapathError::Capacity {
                what: "the capacity of the flow table",
                value: self.flow_capacity,
                expected: "1 to 67,108,864",
            });
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

    fn shapes(&self) -> [Shape; 5] {
        let shape = |name, map_type, key, value, capacity| Shape { name, map_type, key, value, capacity };
        let index = size_of::<u32>();
        [
            shape(map_name::ENIS, MapType::Array, index, size_of::<EniSlot>(), self.eni_capacity),
            shape(map_name::LEDGERS, MapType::PerCpuArray, index, size_of::<Ledger>(), self.eni_capacity * 2),
            shape(
                map_name::FLOWS,
                MapType::Hash,
                size_of::<FlowKey>(),
                size_of::<FlowValue>(),
                self.flow_capacity,
            ),
            shape(map_name::CLASSES, MapType::Hash, size_of::<u64>(), size_of::<ClassTag>(), CLASS_CAPACITY),
            shape(map_name::CLOCK, MapType::Array, index, size_of::<Clock>(), 1),
        ]
    }
}

impl Datapath {
    /// Loads the programs and makes the maps, or takes those that an earlier daemon pinned.
    pub fn load(config: &DatapathConfig) -> Result<Self, DatapathError> {
        config.check()?;
        pin::prepare(&config.pin_directory)?;
        let shapes = config.shapes();
        let eni_mask = config.eni_capacity - 1;
        let mut loader = EbpfLoader::new();
        loader.override_global(ENI_MASK, &eni_mask, true);
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
            classes: Map::new(map_name::CLASSES, map(&mut object, map_name::CLASSES)?),
            clock: Map::new(map_name::CLOCK, map(&mut object, map_name::CLOCK)?),
            grace: GracePeriod::new()?,
            ticks: Ticks::new(program(&mut object, "now")?)?,
            eni_mask,
            slots: Mutex::new(()),
            advance: Mutex::new(()),
            settled: AtomicU32::new(0),
        };
        datapath.resume()?;
        Ok(datapath)
    }

    /// Goes on in the interval of an earlier daemon, which may have ended before every program had reached it.
    fn resume(&self) -> Result<(), DatapathError> {
        let found = Interval::new(self.clock.get(&0)?.unwrap_or_default().interval);
        self.begin(if found.number() == 0 { Interval::FIRST } else { found })
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
    let (AyaMap::Array(data) | AyaMap::PerCpuArray(data) | AyaMap::HashMap(data)) = map else {
        return Err(DatapathError::Missing(name));
    };
    duplicate(data.fd().as_fd().try_clone_to_owned(), name)
}

/// A descriptor of our own, so that all that aya keeps for the object can go.
fn duplicate(fd: std::io::Result<OwnedFd>, name: &'static str) -> Result<OwnedFd, DatapathError> {
    fd.map_err(|source| DatapathError::Map { operation: "duplicating the descriptor", map: name, source })
}
