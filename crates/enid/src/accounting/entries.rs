//! Counts by entry, in as little memory as a million of them are worth: 80 bytes each, and 5 to 10 of an index.
//!
//! A table of keys and values has room for up to twice as many as there are, and for three times as many while it grows. A
//! list grows in place, and the index beside it is small.

use std::cell::Cell;

use ahash::RandomState;
use enid_datapath::{Count, FlowKey, RefusalKey};
use hashbrown::HashTable;

/// What is known of an entry's windows.
pub(super) type Windows = [Count; 2];

/// Counts by entry. Their order means nothing.
#[derive(Debug, Default)]
pub(super) struct Entries {
    list: Vec<(RefusalKey, Windows)>,
    /// Places in the list, by key.
    places: HashTable<u32>,
    random: RandomState,
    /// The last place that was found. The data path's tables are read in an order that hardly changes, and the list is of that
    /// order, so that what is asked for next is mostly at the next place: that is in the processor's cache, unlike any other.
    last: Cell<usize>,
    /// The last key that was looked for in vain, and its hash: mostly it is the next to be added.
    absent: Cell<Option<(RefusalKey, u64)>>,
}

impl Entries {
    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.list.len()
    }

    /// The windows of an entry, if there are any.
    pub(super) fn get(&self, key: &RefusalKey) -> Option<&Windows> {
        self.list.get(self.place(key)?).map(|(_, windows)| windows)
    }

    /// Where an entry is in the list.
    pub(super) fn place(&self, key: &RefusalKey) -> Option<usize> {
        let Self { list, places, random, last, absent } = self;
        let near = [last.get(), last.get() + 1];
        let is_it = |place: &usize| list.get(*place).is_some_and(|(known, _)| known == key);
        if let Some(place) = near.into_iter().find(is_it) {
            last.set(place);
            return Some(place);
        }
        if absent.get().is_some_and(|(absent, _)| absent == *key) {
            return None;
        }
        let hash = hash_of(random, key);
        let Some(place) = places.find(hash, |place| is_it(&(*place as usize))) else {
            absent.set(Some((*key, hash)));
            return None;
        };
        last.set(*place as usize);
        Some(*place as usize)
    }

    /// The windows of an entry, which are nothing if they are new.
    pub(super) fn get_or_new(&mut self, key: RefusalKey) -> Option<&mut Windows> {
        let place = if let Some(place) = self.place(&key) {
            place
        } else {
            let Self { list, places, random, last, absent } = self;
            let known = absent.take().filter(|(absent, _)| *absent == key);
            let hash = known.map_or_else(|| hash_of(random, &key), |(_, hash)| hash);
            let of = |place: &u32| list.get(*place as usize).map_or(0, |(key, _)| hash_of(random, key));
            // The tables of the data path have far fewer.
            places.insert_unique(hash, u32::try_from(list.len()).ok()?, of);
            list.push((key, Windows::default()));
            last.set(list.len() - 1);
            list.len() - 1
        };
        self.list.get_mut(place).map(|(_, windows)| windows)
    }

    /// Removes the entry at a place, which the last one takes.
    pub(super) fn remove_at(&mut self, place: usize) {
        let Self { list, places, random, .. } = self;
        let (Some((removed, _)), Some((last, _))) = (list.get(place), list.last()) else { return };
        let (removed, last, end) = (hash_of(random, removed), hash_of(random, last), list.len() - 1);
        if let Ok(found) = places.find_entry(removed, |known| *known as usize == place) {
            let place = *found.get();
            found.remove();
            if let Some(moved) = places.find_mut(last, |known| *known as usize == end) {
                *moved = place;
            }
        }
        list.swap_remove(place);
    }

    /// Removes entries; one that is not there is passed over.
    pub(super) fn remove_all(&mut self, keys: &[RefusalKey]) {
        for key in keys {
            if let Some(place) = self.place(key) {
                self.remove_at(place);
            }
        }
        self.shrink();
    }

    /// Gives memory back: the few that are left need not have that of many.
    pub(super) fn shrink(&mut self) {
        let Self { list, places, random, .. } = self;
        if list.len() < list.capacity() / 4 {
            list.shrink_to(2 * list.len());
            let hash = |place: &u32| list.get(*place as usize).map_or(0, |(key, _)| hash_of(random, key));
            places.shrink_to(2 * list.len(), hash);
        }
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(RefusalKey, Windows)> {
        self.list.iter()
    }
}

/// Of a key's bytes in few pieces: field by field it takes several times as long.
fn hash_of(random: &RandomState, RefusalKey { flow, reason, .. }: &RefusalKey) -> u64 {
    let FlowKey { source, destination, eni, source_port, destination_port, .. } = flow;
    let ports = u32::from(*source_port) << 16 | u32::from(*destination_port);
    let rest = [flow.protocol, flow.direction, flow.family, flow.generation, *reason, 0, 0, 0];
    random.hash_one((
        u128::from_ne_bytes(*source),
        u128::from_ne_bytes(*destination),
        u64::from(*eni) << 32 | u64::from(ports),
        u64::from_ne_bytes(rest),
    ))
}

impl FromIterator<(RefusalKey, Windows)> for Entries {
    fn from_iter<T: IntoIterator<Item = (RefusalKey, Windows)>>(entries: T) -> Self {
        let mut all = Self::default();
        for (key, windows) in entries {
            if let Some(place) = all.get_or_new(key) {
                *place = windows;
            }
        }
        all
    }
}

impl PartialEq for Entries {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, windows)| other.get(key) == Some(windows))
    }
}

impl Eq for Entries {}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::super::testing::entry;
    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0_u16..40, 1_u64..9, any::<bool>()), 0..200)) {
            let (mut entries, mut map) = (Entries::default(), HashMap::new());
            for (port, packets, is_removed) in steps {
                let key = entry(0, port).entry();
                if is_removed {
                    entries.remove_all(&[key, entry(1, port).entry()]);
                    map.remove(&key);
                } else {
                    entries.get_or_new(key).unwrap()[1].packets += packets;
                    map.entry(key).or_insert_with(Windows::default)[1].packets += packets;
                }
                prop_assert_eq!(entries.len(), map.len());
                for port in 0..40 {
                    let key = entry(0, port).entry();
                    prop_assert_eq!(entries.get(&key), map.get(&key));
                }
            }
            prop_assert_eq!(map.into_iter().collect::<Entries>(), entries);
        }
    }
}
