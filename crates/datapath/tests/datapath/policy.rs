//! Security groups in the maps.

use aya::maps::{HashMap, Map, MapData};
use enid_abi::{GroupPolicy, ObjectId, PeerKind, PolicyRule, map_name};
use enid_datapath::Datapath;

use crate::host::BPF;

pub(crate) fn open(_: &Datapath) -> ObjectId {
    let anywhere = |kind| PolicyRule {
        last: u16::MAX,
        protocol: PolicyRule::ALL_PROTOCOLS,
        kind: kind as u8,
        ..PolicyRule::default()
    };
    let mut policy = GroupPolicy { counts: [2, 2], open: 0xff, ..GroupPolicy::default() };
    for rules in &mut policy.rules {
        rules[0] = anywhere(PeerKind::Ipv4);
        rules[1] = anywhere(PeerKind::Ipv6);
    }
    let id = [7, 7];
    set(id, policy);
    id
}

pub(crate) fn set(id: ObjectId, policy: GroupPolicy) {
    const SIZE: usize = size_of::<GroupPolicy>();
    let data = MapData::from_pin(format!("{BPF}/enid/{}", map_name::GROUPS)).unwrap();
    let mut map: HashMap<MapData, [u64; 2], [u8; SIZE]> = Map::HashMap(data).try_into().unwrap();
    let bytes: [u8; SIZE] = unsafe { std::mem::transmute(policy) };
    map.insert(id, bytes, 0).unwrap();
}
