//! The maps, shared by all programs. Capacities are set when they are loaded; those here are the defaults.

use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, SkStorage};
use aya_ebpf::macros::btf_map;
use enid_abi::{
    CLASS_CAPACITY, ClassTag, Clock, EniSlot, FlowCount, FlowKey, FlowValue, FragmentKey, GROUP_CAPACITY,
    GroupPolicy, LIST_CAPACITY, Ledger, ListKey, MemberKey, ObjectId, PrefixRanges, RefusalKey, RefusalValue,
};

const ENI_SLOTS: usize = 4096;
const NO_PREALLOC: usize = BPF_F_NO_PREALLOC as usize;

/// The number of ENI slots less one: a slot is a number's low bits.
#[unsafe(no_mangle)]
pub static ENI_MASK: Global<u32> = Global::new(ENI_SLOTS as u32 - 1);

/// 1 where packets between ENIs of this host are delivered by the programs, 0 where the kernel routes them.
#[unsafe(no_mangle)]
pub static FORWARDING: Global<u32> = Global::new(1);

#[btf_map]
pub static ENIS: Array<EniSlot, ENI_SLOTS> = Array::new();

#[btf_map]
pub static LEDGERS: PerCpuArray<Ledger, { ENI_SLOTS * 2 }> = PerCpuArray::new();

// Entries are allocated as flows come: a table for a million flows, allocated beforehand, would take 193 MB on a
// host that has a hundred.
#[btf_map]
pub static FLOWS: HashMap<FlowKey, FlowValue, 1_048_576, NO_PREALLOC> = HashMap::new();

#[btf_map]
pub static REFUSALS: HashMap<RefusalKey, RefusalValue, 65_536, NO_PREALLOC> = HashMap::new();

#[btf_map]
pub static FLOW_COUNTS: Array<FlowCount, ENI_SLOTS> = Array::new();

#[btf_map]
pub static FLOWS_DELETED: Array<[u64; 2], ENI_SLOTS> = Array::new();

#[btf_map]
pub static FRAGMENTS: LruHashMap<FragmentKey, u32, 16_384> = LruHashMap::new();

#[btf_map]
pub static GROUPS: HashMap<ObjectId, GroupPolicy, { GROUP_CAPACITY as usize }, NO_PREALLOC> = HashMap::new();

#[btf_map]
pub static MEMBERS: HashMap<MemberKey, u32, { ENI_SLOTS * 10 }, NO_PREALLOC> = HashMap::new();

#[btf_map]
pub static LISTS: HashMap<ListKey, PrefixRanges, { LIST_CAPACITY as usize }, NO_PREALLOC> = HashMap::new();

#[btf_map]
pub static CLASSES: HashMap<u64, ClassTag, { CLASS_CAPACITY as usize }, NO_PREALLOC> = HashMap::new();

// A value lives and dies with its socket.
#[btf_map]
pub static SOCKET_CLASSES: SkStorage<ClassTag> = SkStorage::new();

#[btf_map]
pub static CLOCK: Array<Clock, 1> = Array::new();
