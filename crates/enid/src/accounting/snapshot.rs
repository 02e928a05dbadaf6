//! What was exported, in a file under the run directory, for the next daemon.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use enid_datapath::{Count, FlowKey, Interval, RefusalKey};
use serde::{Deserialize, Serialize};

use super::exported::{Ending, Exported};
use super::totals::Totals;
use crate::EnidError;

/// The first line, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    totals: HashMap<u32, Totals>,
    batch: u64,
    trimmed: bool,
    ending_interval: u32,
    ending_enis: Vec<u32>,
    /// How many of the keys that follow are of entries that are about to be deleted; they come first, without counts.
    ending_entries: usize,
}

/// Read and written piece by piece: with a million flows it is 80 MB.
const BUFFER: usize = 1 << 16;
/// An entry's key.
const KEY_LENGTH: usize = 45;
/// Packets and bytes of two windows.
const COUNTS_LENGTH: usize = 2 * 16;

impl Exported {
    /// Reads what was saved; none if nothing was. A file that is not whole, or of another version, is as none: it is better
    /// to report a flow twice than to refuse to start.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, EnidError> {
        let read = File::open(path).and_then(|file| Self::decode(BufReader::with_capacity(BUFFER, file)));
        match read {
            Ok(Some(loaded)) => Ok(Some(loaded)),
            Ok(None) => {
                tracing::warn!(path = %path.display(), "what was exported can't be read: flows may be reported twice");
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(EnidError::file("read", path)(error)),
        }
    }

    /// Saves it, whole or not at all.
    pub(super) fn save(&self, path: &Path) -> Result<(), EnidError> {
        let next = path.with_extension("next");
        // It says who talked to whom.
        let created = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next);
        let written = created.and_then(|file| {
            let mut file = BufWriter::with_capacity(BUFFER, file);
            self.encode(&mut file)?;
            file.flush()
        });
        written.map_err(EnidError::file("write", &next))?;
        fs::rename(&next, path).map_err(EnidError::file("write", path))
    }

    pub(super) fn encode(&self, to: &mut impl io::Write) -> io::Result<()> {
        let head = Head {
            totals: self.totals.clone(),
            batch: self.batch,
            trimmed: self.trimmed,
            ending_interval: self.ending.interval.number(),
            ending_enis: self.ending.enis.clone(),
            ending_entries: self.ending.entries.len(),
        };
        serde_json::to_writer(&mut *to, &head)?;
        to.write_all(b"\n")?;
        let mut bytes = Vec::with_capacity(KEY_LENGTH + COUNTS_LENGTH);
        for key in &self.ending.entries {
            bytes.clear();
            encode_key(key, &mut bytes);
            to.write_all(&bytes)?;
        }
        for (key, windows) in self.entries.iter() {
            bytes.clear();
            encode_key(key, &mut bytes);
            for count in windows {
                bytes.extend_from_slice(&count.packets.to_le_bytes());
                bytes.extend_from_slice(&count.bytes.to_le_bytes());
            }
            to.write_all(&bytes)?;
        }
        Ok(())
    }

    /// What was encoded; none if it is not whole, or something else.
    pub(super) fn decode(mut from: impl BufRead) -> io::Result<Option<Self>> {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line)?;
        let Ok(head) = serde_json::from_slice::<Head>(&line) else { return Ok(None) };
        let mut exported = Self {
            totals: head.totals,
            batch: head.batch,
            trimmed: head.trimmed,
            ending: Ending {
                entries: Vec::new(),
                interval: Interval::new(head.ending_interval),
                enis: head.ending_enis,
            },
            ..Self::default()
        };
        for _ in 0..head.ending_entries {
            let Some(key) = read::<KEY_LENGTH>(&mut from)? else { return Ok(None) };
            exported.ending.entries.extend(decode_key(&mut &key[..]));
        }
        while !from.fill_buf()?.is_empty() {
            let Some(entry) = read::<{ KEY_LENGTH + COUNTS_LENGTH }>(&mut from)? else { return Ok(None) };
            let Some((key, windows)) = decode_entry(&entry) else { return Ok(None) };
            exported.entries.get_or_new(key).into_iter().for_each(|place| *place = windows);
        }
        Ok(Some(exported))
    }
}

/// So many bytes; none if there are fewer.
fn read<const N: usize>(from: &mut impl Read) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    match from.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn encode_key(key: &RefusalKey, bytes: &mut Vec<u8>) {
    let RefusalKey { flow, reason, .. } = key;
    bytes.extend_from_slice(&flow.source);
    bytes.extend_from_slice(&flow.destination);
    bytes.extend_from_slice(&flow.eni.to_le_bytes());
    bytes.extend_from_slice(&flow.source_port.to_le_bytes());
    bytes.extend_from_slice(&flow.destination_port.to_le_bytes());
    bytes.extend_from_slice(&[flow.protocol, flow.direction, flow.family, flow.generation, *reason]);
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn decode_key(bytes: &mut &[u8]) -> Option<RefusalKey> {
    let mut flow = FlowKey {
        source: take(bytes)?,
        destination: take(bytes)?,
        eni: u32::from_le_bytes(take(bytes)?),
        source_port: u16::from_le_bytes(take(bytes)?),
        destination_port: u16::from_le_bytes(take(bytes)?),
        ..FlowKey::default()
    };
    let reason;
    [flow.protocol, flow.direction, flow.family, flow.generation, reason] = take(bytes)?;
    Some(RefusalKey { flow, reason, ..RefusalKey::default() })
}

fn decode_entry(mut bytes: &[u8]) -> Option<(RefusalKey, [Count; 2])> {
    let bytes = &mut bytes;
    let key = decode_key(bytes)?;
    let mut count =
        || Some(Count { packets: u64::from_le_bytes(take(bytes)?), bytes: u64::from_le_bytes(take(bytes)?) });
    Some((key, [count()?, count()?]))
}

#[cfg(test)]
mod tests {
    use enid_datapath::Reason;

    use super::super::testing::{entry, number};
    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_what_is_torn_is_not() {
        let mut exported = Exported { batch: 7, ..Exported::default() };
        for port in 0..100_u8 {
            let mut flow = entry(u32::from(port), port.into());
            flow.reason = Reason::from_number(port % 8);
            let count = Count { packets: u64::from(port) + 1, bytes: 1 << port.min(63) };
            *exported.entries.get_or_new(flow.entry()).unwrap() = [count, Count::default()];
            let balanced = Count { bytes: 1, ..count };
            exported.balance_ahead(flow.eni, [[balanced; 2]; 2]);
            if port % 3 == 0 {
                exported.ending.entries.push(flow.entry());
            }
        }
        exported.ending.interval = Interval::new(5);
        exported.ending.enis.push(number(3).get());
        let mut bytes = Vec::new();
        exported.encode(&mut bytes).unwrap();
        assert_eq!(Exported::decode(&bytes[..]).unwrap(), Some(exported));
        for length in [bytes.len() - 1, 10, 0] {
            assert_eq!(Exported::decode(&bytes[..length]).unwrap(), None);
        }
        assert_eq!(Exported::decode(&b"[{},false]\n"[..]).unwrap(), None);
    }

    #[test]
    fn it_survives_on_disk() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("exported");
        assert_eq!(Exported::load(&path).unwrap(), None);
        let mut exported = Exported::default();
        *exported.entries.get_or_new(RefusalKey::default()).unwrap() = [Count { packets: 1, bytes: 2 }; 2];
        exported.save(&path).unwrap();
        assert_eq!(Exported::load(&path).unwrap(), Some(exported));
        fs::write(&path, "junk").unwrap();
        assert_eq!(Exported::load(&path).unwrap(), None);
    }
}
