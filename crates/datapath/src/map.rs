//! Maps with the types of their keys and values.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::ptr;

use enid_abi::Plain;

use crate::error::DatapathError;
use crate::sys::{self, Batch, Element};

/// An array or a hash map.
#[derive(Debug)]
pub(crate) struct Map<K, V> {
    name: &'static str,
    fd: OwnedFd,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Plain, V: Plain> Map<K, V> {
    /// The sizes are those of the types: the loader has compared them.
    pub(crate) fn new(name: &'static str, fd: OwnedFd) -> Self {
        Self { name, fd, types: PhantomData }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(crate) fn error(&self, operation: &'static str, source: io::Error) -> DatapathError {
        DatapathError::Map { operation, map: self.name, source }
    }

    /// The value of a key, if it has one.
    pub(crate) fn get(&self, key: &K) -> Result<Option<V>, DatapathError> {
        self.value(sys::MAP_LOOKUP, key).map_err(|error| self.error("looking up", error))
    }

    /// Removes a key of a hash map; the value that it had, if it was there.
    pub(crate) fn take(&self, key: &K) -> Result<Option<V>, DatapathError> {
        self.value(sys::MAP_LOOKUP_AND_DELETE, key).map_err(|error| self.error("deleting", error))
    }

    fn value(&self, command: libc::c_int, key: &K) -> io::Result<Option<V>> {
        let mut value = V::default();
        let mut element = Element::new(self.fd(), bytes(key), ptr::from_mut(&mut value).cast(), 0);
        // SAFETY: the kernel reads a key and writes a value, of these sizes, and every pattern of bits is a value.
        match unsafe { sys::bpf(command, &mut element) } {
            Ok(_) => Ok(Some(value)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets the value of a key.
    pub(crate) fn set(&self, key: &K, value: &V) -> Result<(), DatapathError> {
        let mut element = Element::new(self.fd(), bytes(key), bytes(value), sys::ANY);
        // SAFETY: the kernel reads a key and a value of these sizes.
        match unsafe { sys::bpf(sys::MAP_UPDATE, &mut element) } {
            Ok(_) => Ok(()),
            Err(error) => Err(self.error("updating", error)),
        }
    }

    /// Removes a key of a hash map; says whether it was there.
    pub(crate) fn remove(&self, key: &K) -> Result<bool, DatapathError> {
        let mut element = Element::new(self.fd(), bytes(key), ptr::null(), 0);
        // SAFETY: the kernel reads a key of this size.
        match unsafe { sys::bpf(sys::MAP_DELETE, &mut element) } {
            Ok(_) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(self.error("deleting", error)),
        }
    }

    /// Calls `each` with every entry of a hash map.
    ///
    /// The kernel goes bucket by bucket, and an entry never leaves its bucket: one that is there from beginning to end
    /// is given exactly once, whatever comes and goes meanwhile.
    pub(crate) fn for_each(&self, each: &mut dyn FnMut(&K, &V)) -> Result<(), DatapathError> {
        // As many at a time as fit a buffer: elements of one map may be a thousand times those of another.
        const BUFFER: usize = 256 * 1024;
        let batch = (BUFFER / size_of::<(K, V)>()).clamp(8, 1024);
        let (mut keys, mut values) = (vec![K::default(); batch], vec![V::default(); batch]);
        let (mut position, mut next) = (0_u32, 0_u32);
        let mut begun = false;
        loop {
            let mut batch = Batch::new(self.fd());
            batch.from = if begun { ptr::from_ref(&position) as u64 } else { 0 };
            batch.to = ptr::from_mut(&mut next) as u64;
            batch.keys = keys.as_mut_ptr() as u64;
            batch.values = values.as_mut_ptr() as u64;
            batch.count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
            // SAFETY: the kernel reads a position and writes another, and at most `count` keys and values, for which
            // there is room.
            let (count, finished) = match unsafe { sys::bpf(sys::MAP_LOOKUP_BATCH, &mut batch) } {
                Ok(_) => (batch.count, false),
                Err(error) if is_absent(&error) => (batch.count, true),
                // A bucket holds more than there is room for. The position stays.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                    let room = keys.len() * 2;
                    keys.resize(room, K::default());
                    values.resize(room, V::default());
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.error("reading", error)),
            };
            for (key, value) in keys.iter().zip(&values).take(count as usize) {
                each(key, value);
            }
            if finished {
                return Ok(());
            }
            position = next;
            begun = true;
        }
    }

    /// Removes keys of a hash map, and calls `removed` with each that was there. One that is not is passed over.
    pub(crate) fn remove_all(
        &self,
        mut keys: &[K],
        removed: &mut dyn FnMut(&K),
    ) -> Result<(), DatapathError> {
        while !keys.is_empty() {
            let mut batch = Batch::new(self.fd());
            batch.keys = keys.as_ptr() as u64;
            batch.count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
            // SAFETY: the kernel reads `count` keys.
            let absent = match unsafe { sys::bpf(sys::MAP_DELETE_BATCH, &mut batch) } {
                Ok(_) => 0,
                // It stops at a key that is absent, having counted those before it.
                Err(error) if is_absent(&error) => 1,
                Err(error) => return Err(self.error("deleting", error)),
            };
            let done = batch.count as usize;
            keys.iter().take(done).for_each(&mut *removed);
            keys = keys.get(done + absent..).unwrap_or_default();
        }
        Ok(())
    }
}

/// An array with a value for each CPU.
#[derive(Debug)]
pub(crate) struct PerCpuMap<V> {
    map: Map<u32, V>,
    cpus: usize,
}

impl<V: Plain> PerCpuMap<V> {
    /// `cpus` is the number of CPUs that the kernel deems possible, not only those online.
    pub(crate) fn new(name: &'static str, fd: OwnedFd, cpus: usize) -> Self {
        // The kernel rounds a value's size up to this.
        const { assert!(size_of::<V>().is_multiple_of(8)) };
        Self { map: Map::new(name, fd), cpus }
    }

    /// The values of all CPUs at an index.
    pub(crate) fn get(&self, index: u32) -> Result<Vec<V>, DatapathError> {
        let mut values = vec![V::default(); self.cpus];
        let mut element = Element::new(self.map.fd(), bytes(&index), values.as_mut_ptr().cast(), 0);
        // SAFETY: the kernel reads an index and writes a value for each possible CPU, for which there is room.
        match unsafe { sys::bpf(sys::MAP_LOOKUP, &mut element) } {
            Ok(_) => Ok(values),
            Err(error) => Err(self.map.error("looking up", error)),
        }
    }

    /// Sets the values of all CPUs at an index to nothing.
    pub(crate) fn clear(&self, index: u32) -> Result<(), DatapathError> {
        let values = vec![V::default(); self.cpus];
        let mut element = Element::new(self.map.fd(), bytes(&index), values.as_ptr().cast(), sys::ANY);
        // SAFETY: the kernel reads an index and a value for each possible CPU.
        match unsafe { sys::bpf(sys::MAP_UPDATE, &mut element) } {
            Ok(_) => Ok(()),
            Err(error) => Err(self.map.error("updating", error)),
        }
    }
}

fn bytes<T>(value: &T) -> *const u8 {
    ptr::from_ref(value).cast()
}

fn is_absent(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Create;

    #[test]
    fn what_is_removed_is_told_apart_from_what_was_not_there() {
        /// `BPF_MAP_TYPE_HASH`.
        const HASH: u32 = 1;
        let fd = sys::create_map(Create {
            map_type: HASH,
            key_size: 4,
            value_size: 8,
            max_entries: 64,
            flags: 0,
            inner_map: 0,
        });
        let map: Map<u32, u64> = Map::new("test", fd.expect("a map, as root"));
        let removed = |keys: &[u32]| {
            let mut removed = Vec::new();
            map.remove_all(keys, &mut |key| removed.push(*key)).unwrap();
            removed
        };
        for key in 0..32 {
            map.set(&key, &u64::from(key)).unwrap();
        }
        assert_eq!(removed(&[]), [0; 0]);
        assert_eq!(removed(&[100]), [0; 0]);
        assert_eq!(removed(&[0, 1, 100, 2, 2, 101, 102, 3]), [0, 1, 2, 3]);
        assert_eq!(removed(&(0..64).collect::<Vec<_>>()), (4..32).collect::<Vec<_>>());
        map.for_each(&mut |key, _| panic!("{key} is still there")).unwrap();
    }
}
