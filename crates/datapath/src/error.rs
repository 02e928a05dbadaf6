//! What can go wrong.

use std::io;
use std::path::PathBuf;

use enid_model::EniNumber;

/// Why the data path could not be loaded or used.
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    /// The directory for pins can't be made or read.
    #[error("the directory for pinned maps {path}: {source}")]
    PinDirectory {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The directory for pins is not on a BPF file system.
    #[error("{path} is not on a BPF file system: `mount -t bpf bpf /sys/fs/bpf` makes one")]
    NotBpfFileSystem {
        /// The directory.
        path: PathBuf,
    },
    /// A map that an earlier daemon pinned is of another shape.
    #[error(
        "{path} was pinned with {what} {found}, this daemon needs {expected}: \
         keep the configuration it was made with, or remove all tasks and the pinned maps"
    )]
    Incompatible {
        /// The pin.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What it is.
        found: u32,
        /// What it has to be.
        expected: u32,
    },
    /// A capacity is 0, too large, or not a power of two where it has to be one.
    #[error("{what} {value}: expected {expected}")]
    Capacity {
        /// Which.
        what: &'static str,
        /// The value.
        value: u32,
        /// What would do.
        expected: &'static str,
    },
    /// The object could not be read or its maps not be made.
    #[error("loading the eBPF object: {0}")]
    Object(#[source] Box<aya::EbpfError>),
    /// The kernel refused a program. The text has the verifier's log.
    #[error("loading the eBPF program {program}: {source}")]
    Program {
        /// Which.
        program: &'static str,
        /// Why.
        source: Box<aya::programs::ProgramError>,
    },
    /// A map could not be inspected.
    #[error("the pinned map {path}: {source}")]
    PinnedMap {
        /// The pin.
        path: PathBuf,
        /// Why.
        source: Box<aya::maps::MapError>,
    },
    /// The object lacks a program or a map.
    #[error("the eBPF object has no {0}")]
    Missing(&'static str),
    /// A system call on a map failed.
    #[error("{operation} on the map {map}: {source}")]
    Map {
        /// What was tried.
        operation: &'static str,
        /// The map.
        map: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The programs' clock could not be read.
    #[error("running the eBPF program now: {source}")]
    Clock {
        /// What the kernel said.
        source: io::Error,
    },
    /// The slot of an ENI is another's.
    #[error("ENI number {number} has no free slot: {holder} has it")]
    SlotTaken {
        /// The number wanted.
        number: EniNumber,
        /// The number that has its slot.
        holder: u32,
    },
    /// No slot holds this ENI.
    #[error("ENI number {0} is not known to the data path")]
    UnknownEni(EniNumber),
    /// A security group or a prefix list is larger than the programs evaluate.
    #[error("{object} has {given} {what}, and at most {most} can be in force")]
    PolicySize {
        /// Its id.
        object: String,
        /// What there are too many of.
        what: &'static str,
        /// The most.
        most: usize,
        /// How many it has.
        given: usize,
    },
    /// An entry of the flow table or of the table of refusals that no program can have made.
    #[error("a table of flows has an entry with {what} {value}")]
    Corrupt {
        /// What is wrong.
        what: &'static str,
        /// Its value.
        value: u32,
    },
}
