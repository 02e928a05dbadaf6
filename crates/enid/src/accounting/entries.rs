//! Counts by entry, in as little memory as a million of them are worth: 80 bytes each, and 5 to 10 of an index.
//!
//! A table of keys and values has room for up to twice as many as there are, and for three times as many while it grows. A
//! list grows in place, and the index beside it is small.

use ahash::RandomState;
use enid_datapath::{Count, RefusalKey};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;

/// What is known of an entry's windows.
pub(super) type Windows = [Count; 2];

/// Counts by entry. Their order means nothing.
#[derive(Debug, Default)]
pub(super) struct Entries {
    list: Vec<(RefusalKey, Windows)>,
    /// Places in the list, by key.
    places: HashTable<u32>,
    random: RandomState,
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
        let Self { list, places, random } = self;
        places.find(random.hash_one(key), |place| is_at(list, *place, key)).map(|place| *place as usize)
    }

    /// The windows of an entry, which are nothing if they are new.
    pub(super) fn get_or_new(&mut self, key: RefusalKey) -> Option<&mut Windows> {
        let Self { list, places, random } = self;
        let hash = |place: &u32| list.get(*place as usize).map_or(0, |(key, _)| random.hash_one(key));
        let place = match places.entry(random.hash_one(key), |place| is_at(list, *place, &key), hash) {
            Place::Occupied(place) => *place.get() as usize,
            Place::Vacant(vacant) => {
                // The tables of the data path have far fewer.
                vacant.insert(u32::try_from(list.len()).ok()?);
                list.push((key, Windows::default()));
                list.len() - 1
            }
        };
        list.get_mut(place).map(|(_, windows)| windows)
    }

    /// Removes the entry at a place, which the last one takes.
    pub(super) fn remove_at(&mut self, place: usize) {
        let Self { list, places, random } = self;
        let (Some((removed, _)), Some((last, _))) = (list.get(place), list.last()) else { return };
        let (removed, last, end) = (random.hash_one(removed), random.hash_one(last), list.len() - 1);
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
        let Self { list, places, random } = self;
        if list.len() < list.capacity() / 4 {
            list.shrink_to(2 * list.len());
            let hash = |place: &u32| list.get(*place as usize).map_or(0, |(key, _)| random.hash_one(key));
            places.shrink_to(2 * list.len(), hash);
        }
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(RefusalKey, Windows)> {
        self.list.iter()
    }
}

fn is_at(list: &[(RefusalKey, Windows)], place: u32, key: &RefusalKey) -> bool {
    list.get(place as usize).is_some_and(|(known, _)| known == key)
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
