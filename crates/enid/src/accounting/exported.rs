//! What was exported of each flow, and what that adds up to.
//!
//! Flow entries only ever count up, so that a crash loses nothing; what has been exported must therefore be known to
//! the next daemon too, and is kept in a file under the run directory.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use enid_datapath::{Count, Datapath, Direction, FlowKey, FlowReading};
use enid_model::{EniNumber, TrafficClass};
use serde::{Deserialize, Serialize};

use crate::EnidError;

/// What was exported of an ENI, by direction and traffic class.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    egress: [(u64, u64); TrafficClass::ALL.len()],
    ingress: [(u64, u64); TrafficClass::ALL.len()],
}

impl Totals {
    pub(super) fn add(&mut self, direction: Direction, class: TrafficClass, count: Count) {
        let classes = match direction {
            Direction::Egress => &mut self.egress,
            Direction::Ingress => &mut self.ingress,
        };
        if let Some((packets, bytes)) = classes.get_mut(usize::from(class.number())) {
            *packets += count.packets;
            *bytes += count.bytes;
        }
    }

    pub(super) fn by_class(&self, direction: Direction) -> impl Iterator<Item = (TrafficClass, Count)> {
        let classes = match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        };
        TrafficClass::ALL.into_iter().zip(classes.iter().map(|&(packets, bytes)| Count { packets, bytes }))
    }
}

/// What is exported of one window of a flow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Export {
    pub(super) key: FlowKey,
    pub(super) window: usize,
    pub(super) direction: Direction,
    pub(super) class: TrafficClass,
    pub(super) count: Count,
}

/// What was exported, flow by flow and ENI by ENI.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Exported {
    flows: HashMap<FlowKey, [Count; 2]>,
    totals: HashMap<u32, Totals>,
    /// Whether some of the records are not kept any more.
    trimmed: bool,
}

impl Exported {
    /// Remembers that this was exported.
    pub(super) fn add(&mut self, export: Export) {
        if let Some(known) = self.flows.entry(export.key).or_default().get_mut(export.window) {
            known.add(export.count);
        }
        self.totals.entry(export.key.eni).or_default().add(export.direction, export.class, export.count);
    }

    /// Remembers that the oldest records were removed, to stay within their limit.
    pub(super) fn trim(&mut self) {
        self.trimmed = true;
    }

    /// What of an ENI's exported counts the records that are kept do not hold, since the oldest were removed. None as long
    /// as none were: then whatever is missing was lost.
    pub(super) fn not_kept(&self, number: EniNumber, direction: Direction, kept: Count) -> Count {
        if !self.trimmed {
            return Count::default();
        }
        let mut exported = Count::default();
        for (_, count) in self.totals(number).by_class(direction) {
            exported.add(count);
        }
        Count {
            packets: exported.packets.saturating_sub(kept.packets),
            bytes: exported.bytes.saturating_sub(kept.bytes),
        }
    }

    /// What a flow's window has counted since it was exported.
    pub(super) fn pending(&self, flow: &FlowReading, window: usize) -> Count {
        let Some(reading) = flow.windows.get(window) else { return Count::default() };
        let known =
            self.flows.get(&flow.key).and_then(|windows| windows.get(window)).copied().unwrap_or_default();
        Count {
            packets: reading.packets.saturating_sub(known.packets),
            bytes: reading.bytes.saturating_sub(known.bytes),
        }
    }

    /// What was exported of an ENI.
    pub(super) fn totals(&self, number: EniNumber) -> Totals {
        self.totals.get(&number.get()).cloned().unwrap_or_default()
    }

    /// Forgets flows whose entries are gone, or were made anew: an earlier daemon may have deleted them and not come to
    /// remember it.
    pub(super) fn reconcile(&mut self, datapath: &Datapath) -> Result<(), EnidError> {
        let mut known = std::mem::take(&mut self.flows);
        datapath.read_flows(&mut |flow| {
            if let Some(windows) = known.remove(&flow.key) {
                let counted = flow.windows.iter().map(|window| window.packets);
                if windows.iter().zip(counted).all(|(exported, counted)| exported.packets <= counted) {
                    self.flows.insert(flow.key, windows);
                }
            }
        })?;
        Ok(())
    }

    /// Forgets flows whose entries are deleted.
    pub(super) fn forget(&mut self, keys: &[FlowKey]) {
        for key in keys {
            self.flows.remove(key);
        }
    }

    /// Forgets an ENI.
    pub(super) fn forget_eni(&mut self, number: EniNumber) {
        self.totals.remove(&number.get());
    }

    /// Reads what an earlier daemon saved. A file that is not whole, or of another version, is as none: it is better to
    /// report a flow twice than to refuse to start.
    pub(super) fn load(path: &Path) -> Result<Self, EnidError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(EnidError::file("read", path)(error)),
        };
        let loaded = Self::decode(&bytes);
        if loaded.is_none() {
            tracing::warn!(path = %path.display(), "what was exported can't be read: flows may be reported twice");
        }
        Ok(loaded.unwrap_or_default())
    }

    /// Saves it, whole or not at all.
    pub(super) fn save(&self, path: &Path) -> Result<(), EnidError> {
        let next = path.with_extension("next");
        fs::write(&next, self.encode()).map_err(EnidError::file("write", &next))?;
        fs::rename(&next, path).map_err(EnidError::file("write", path))
    }

    /// A line of totals and of whether records were removed, as JSON, then an entry a flow.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(&(&self.totals, self.trimmed)).unwrap_or_default();
        bytes.push(b'\n');
        bytes.reserve(self.flows.len() * ENTRY_LENGTH);
        for (key, windows) in &self.flows {
            bytes.extend_from_slice(&key.source);
            bytes.extend_from_slice(&key.destination);
            bytes.extend_from_slice(&key.eni.to_le_bytes());
            bytes.extend_from_slice(&key.source_port.to_le_bytes());
            bytes.extend_from_slice(&key.destination_port.to_le_bytes());
            bytes.extend_from_slice(&[key.protocol, key.direction, key.family, key.generation]);
            for count in windows {
                bytes.extend_from_slice(&count.packets.to_le_bytes());
                bytes.extend_from_slice(&count.bytes.to_le_bytes());
            }
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let (line, entries) = bytes.split_at_checked(end)?;
        let (totals, trimmed) = serde_json::from_slice(line).ok()?;
        let entries = entries.get(1..)?.chunks_exact(ENTRY_LENGTH);
        if !entries.remainder().is_empty() {
            return None;
        }
        Some(Self { flows: entries.map(decode_flow).collect::<Option<_>>()?, totals, trimmed })
    }
}

/// A flow key, and packets and bytes of two windows.
const ENTRY_LENGTH: usize = 44 + 2 * 16;

fn decode_flow(mut entry: &[u8]) -> Option<(FlowKey, [Count; 2])> {
    fn take<const N: usize>(entry: &mut &[u8]) -> Option<[u8; N]> {
        let (taken, rest) = entry.split_first_chunk()?;
        *entry = rest;
        Some(*taken)
    }
    let entry = &mut entry;
    let mut key = FlowKey {
        source: take(entry)?,
        destination: take(entry)?,
        eni: u32::from_le_bytes(take(entry)?),
        source_port: u16::from_le_bytes(take(entry)?),
        destination_port: u16::from_le_bytes(take(entry)?),
        ..FlowKey::default()
    };
    [key.protocol, key.direction, key.family, key.generation] = take(entry)?;
    let mut count =
        || Some(Count { packets: u64::from_le_bytes(take(entry)?), bytes: u64::from_le_bytes(take(entry)?) });
    Some((key, [count()?, count()?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_what_is_torn_is_not() {
        let mut exported = Exported::default();
        for number in 0..100_u8 {
            let key = FlowKey {
                source: [number; 16],
                eni: 1_000_000 + u32::from(number),
                protocol: number,
                ..FlowKey::default()
            };
            let count = Count { packets: u64::from(number) + 1, bytes: 1 << number.min(63) };
            exported.flows.insert(key, [count, Count::default()]);
            exported.totals.entry(key.eni).or_default().add(Direction::Egress, TrafficClass::Logs, count);
        }
        let bytes = exported.encode();
        assert_eq!(Exported::decode(&bytes).unwrap(), exported);
        assert_eq!(Exported::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Exported::decode(b""), None);
        assert_eq!(Exported::decode(b"[{},false]\n"), Some(Exported::default()));
    }

    #[test]
    fn it_survives_on_disk() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("exported");
        assert_eq!(Exported::load(&path).unwrap(), Exported::default());
        let mut exported = Exported::default();
        exported.flows.insert(FlowKey::default(), [Count { packets: 1, bytes: 2 }; 2]);
        exported.save(&path).unwrap();
        assert_eq!(Exported::load(&path).unwrap(), exported);
        fs::write(&path, "junk").unwrap();
        assert_eq!(Exported::load(&path).unwrap(), Exported::default());
    }
}
