//! The policy in maps of the kernel: these need root.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use enid_abi::{Direction, EniSlot, Family, ListKey, MAX_GROUPS, Plain};
use enid_model::{EniNumber, Peer, Protocol, SecurityGroup, SecurityGroupId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::property::{compile, packet, world};
use super::{block, group, group_id, list, list_id, rule};
use crate::grace::GracePeriod;
use crate::map::Map;
use crate::policy::compile::{compile_group, compile_list};
use crate::policy::judge::judge_by;
use crate::policy::wanted::{list_key, member_key};
use crate::policy::{DecidingRule, MapId as _, Policy, PolicyMaps, PolicyQuestion};
use crate::sys::{self, Create};

struct Kernel {
    maps: PolicyMaps,
    grace: GracePeriod,
}

impl Kernel {
    fn new() -> Self {
        fn hash<K: Plain, V: Plain>(name: &'static str) -> Map<K, V> {
            const HASH: u32 = 1;
            const NO_PREALLOC: u32 = 1;
            let attributes = Create {
                map_type: HASH,
                key_size: u32::try_from(size_of::<K>()).unwrap(),
                value_size: u32::try_from(size_of::<V>()).unwrap(),
                max_entries: 1024,
                flags: NO_PREALLOC,
                inner_map: 0,
            };
            Map::new(name, sys::create_map(attributes).expect("make a map, as root"))
        }
        let maps = PolicyMaps::new(hash("GROUPS"), hash("LISTS"), hash("MEMBERS"));
        Self { maps, grace: GracePeriod::new().unwrap() }
    }

    fn set_group(&self, group: &SecurityGroup) -> bool {
        let policy = compile_group(group).unwrap();
        self.maps.swap_group(&group.id.object_id(), Some(&policy), &self.grace).unwrap()
    }

    fn set(&self, policy: &Policy) -> bool {
        self.maps.set(policy, &self.grace).unwrap()
    }

    #[track_caller]
    fn assert_holds(&self, policy: &Policy) {
        let mut sizes = [0; 3];
        self.maps
            .groups
            .for_each(&mut |key, value| {
                sizes[0] += 1;
                assert!(policy.groups[key].as_ref() == value, "{key:x?}");
            })
            .unwrap();
        self.maps
            .lists
            .for_each(&mut |key, value| {
                sizes[1] += 1;
                assert!(policy.lists[key].as_ref() == value, "{key:x?}");
            })
            .unwrap();
        self.maps
            .members
            .for_each(&mut |key, value| {
                sizes[2] += 1;
                assert_eq!(policy.members[key], *value, "{key:x?}");
            })
            .unwrap();
        assert_eq!(sizes, [policy.groups.len(), policy.lists.len(), policy.members.len()]);
    }
}

fn slot(groups: &[SecurityGroupId]) -> EniSlot {
    let mut slot = EniSlot { group_count: u32::try_from(groups.len()).unwrap(), ..EniSlot::default() };
    for (place, group) in slot.groups.iter_mut().zip(groups) {
        *place = group.object_id();
    }
    slot
}

fn https_from(peer: &str) -> PolicyQuestion {
    let peer = peer.parse().unwrap();
    PolicyQuestion { direction: Direction::Ingress, peer, protocol: 6, selector: Some(443) }
}

#[test]
fn a_change_is_one_only_once() {
    let kernel = Kernel::new();
    let web = group(1, vec![rule(Protocol::TCP, block("0.0.0.0/0"))], Vec::new());
    assert!(kernel.set_group(&web));
    assert!(!kernel.set_group(&web));
    let changed = SecurityGroup { ingress: vec![rule(Protocol::TCP, block("10.0.0.0/8"))], ..web.clone() };
    assert!(kernel.set_group(&changed));
    assert!(kernel.set_group(&web));
    let remove = || kernel.maps.swap_group(&web.id.object_id(), None, &kernel.grace).unwrap();
    assert!(remove());
    assert!(!remove());
    kernel.assert_holds(&Policy::new());
}

#[test]
fn the_answer_names_group_and_rule_as_written() {
    let kernel = Kernel::new();
    let first = group(1, Vec::new(), Vec::new());
    let written = vec![
        rule(Protocol::UDP, block("0.0.0.0/0")),
        rule(Protocol::TCP, Peer::SecurityGroup(group_id(3))),
        rule(Protocol::TCP, Peer::PrefixList(list_id(1))),
        rule(Protocol::TCP, block("::/0")),
    ];
    let second = group(2, written, vec![rule(Protocol::All, block("::/0"))]);
    kernel.set_group(&first);
    kernel.set_group(&second);
    let mut policy = Policy::new();
    policy.add_group(&first).unwrap();
    policy.add_group(&second).unwrap();
    policy.add_member(group_id(3), "10.0.0.9".parse().unwrap(), EniNumber::MIN);
    policy.add_prefix_list(&list(1, vec!["10.1.0.0/16".parse().unwrap()])).unwrap();
    assert!(kernel.set(&policy));
    let slot = slot(&[group_id(1), group_id(2)]);
    let judge = |peer| judge_by(&kernel.maps, &slot, &https_from(peer)).unwrap();
    let decided = |index| Some(DecidingRule { group: group_id(2), index });
    assert_eq!((judge("10.0.0.9").rule, judge("10.0.0.9").untracked), (decided(1), false));
    assert_eq!(judge("10.1.2.3").rule, decided(2));
    assert_eq!((judge("fd00::1").rule, judge("fd00::1").untracked), (decided(3), true));
    assert_eq!((judge("10.2.0.1").rule, judge("10.2.0.1").untracked), (None, false));
}

#[test]
fn the_maps_become_what_is_wanted_and_nothing_else() {
    let kernel = Kernel::new();
    let (old, new) = (world(), world());
    let mut runner = TestRunner::new(Config::with_cases(32));
    let outcome = runner.run(&(old, new), |(old, new)| {
        for world in [&old, &new, &new] {
            let policy = compile(world);
            kernel.set(&policy);
            kernel.assert_holds(&policy);
            prop_assert!(!kernel.set(&policy));
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn what_the_maps_say_is_what_was_compiled() {
    let kernel = Kernel::new();
    let groups = proptest::sample::subsequence((0..6_u8).collect::<Vec<_>>(), 0..=MAX_GROUPS);
    let mut runner = TestRunner::new(Config::with_cases(64));
    let outcome = runner.run(&(world(), groups, vec(packet(), 16)), |(world, groups, packets)| {
        let groups: Vec<SecurityGroupId> = groups.into_iter().map(group_id).collect();
        kernel.set(&compile(&world));
        for packet in packets {
            let answer = judge_by(&kernel.maps, &slot(&groups), &packet).unwrap();
            prop_assert_eq!(answer.rule.is_some(), world.is_allowed(&groups, &packet));
            prop_assert_eq!(answer.untracked, world.is_untracked(&groups, &packet));
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_member_is_removed_by_its_own_eni_alone() {
    let kernel = Kernel::new();
    let key = member_key(group_id(1), "10.0.0.4".parse().unwrap());
    assert!(kernel.maps.add_member(&key, 1_000_000).unwrap());
    assert!(!kernel.maps.add_member(&key, 1_000_000).unwrap());
    // The address is given to the next ENI before the last of the first is gone.
    assert!(kernel.maps.add_member(&key, 1_000_001).unwrap());
    assert!(!kernel.maps.remove_member(&key, 1_000_000).unwrap());
    assert_eq!(kernel.maps.members.get(&key).unwrap(), Some(1_000_001));
    assert!(kernel.maps.remove_member(&key, 1_000_001).unwrap());
    assert!(!kernel.maps.remove_member(&key, 1_000_001).unwrap());
}

#[test]
fn what_is_replaced_is_never_seen_half_changed() {
    let kernel = Kernel::new();
    // As large as they come, and different in every range, so that a mixture is seen.
    let version = |first: u8| {
        let blocks = (0..1000_u32).map(|n| format!("{first}.{}.{}.0/32", n / 256, n % 256).parse().unwrap());
        Box::new(compile_list(&list(1, blocks.collect()), Family::Ipv4).unwrap())
    };
    let versions = [version(10), version(11), version(12), version(13)];
    let keys = [1, 2].map(|number| list_key(list_id(number), Family::Ipv4));
    let set = |key: &ListKey, version: usize| {
        kernel.maps.swap_list(key, Some(&versions[version % 4]), &kernel.grace).unwrap();
    };
    set(&keys[0], 0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let looking = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let seen = Box::new(kernel.maps.lists.get(&keys[0]).unwrap().expect("it is always there"));
                assert!(versions.contains(&seen), "torn");
            }
        });
        let (mut round, began) = (0, Instant::now());
        while !looking.is_finished() && began.elapsed() < Duration::from_secs(3) {
            round += 1;
            set(&keys[0], round);
            // It would take the memory of what was just replaced.
            set(&keys[1], round + 1);
        }
        done.store(true, Ordering::Relaxed);
        looking.join().expect("what is seen is whole");
    });
}
