//! A block: records, and all that they refer to.
//!
//! | offset | | |
//! |---|---|---|
//! | 0 | `ENSB` | |
//! | 4 | version | 1 |
//! | 5 | flags | 1: the last block of its batch |
//! | 8, 16, 24 | batch; its beginning and end | Unix seconds |
//! | 32 | records | how many |
//! | 36, 40 | length of the references, of the balances | JSON each |
//! | 44 | checksum of what follows the header | CRC-32 |
//! | 60 | checksum of the header so far | CRC-32 |
//! | 64 | references, balances, [records](crate::record) | |
//!
//! All numbers are little-endian.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use enid_flowlog::{FlowRecord, Interface};
use serde::{Deserialize, Serialize};

use crate::balance::Balances;
use crate::record::{self, RECORD_BYTES};

/// The length of a header.
pub(crate) const HEADER_BYTES: usize = 64;
/// The most records in a block: what damage can take away at once.
pub(crate) const MAX_RECORDS: usize = 8192;

/// What a header begins with.
pub(crate) const MAGIC: [u8; 4] = *b"ENSB";
const VERSION: u8 = 1;
const LAST: u8 = 1;

/// What a block's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The batch that it is of.
    pub(crate) batch: u64,
    /// The batch's beginning, in Unix seconds.
    pub(crate) began: u64,
    /// The batch's end, in Unix seconds.
    pub(crate) ended: u64,
    /// Whether the batch ends with it.
    pub(crate) is_last: bool,
    /// How many records it has.
    pub(crate) records: u32,
    references: u32,
    balances: u32,
    checksum: u32,
}

impl Header {
    /// Reads a header; none if it is not one, whole and right.
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let number = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes);
        let short = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes);
        let (summed, _) = bytes.split_at(60);
        let is_right = bytes.starts_with(&MAGIC) && bytes[4] == VERSION;
        if !is_right || short(60)? != crc32fast::hash(summed) {
            return None;
        }
        let header = Self {
            is_last: bytes[5] & LAST != 0,
            batch: number(8)?,
            began: number(16)?,
            ended: number(24)?,
            records: short(32)?,
            references: short(36)?,
            balances: short(40)?,
            checksum: short(44)?,
        };
        (header.records as usize <= MAX_RECORDS).then_some(header)
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put = |at: usize, value: &[u8]| {
            if let Some(place) = bytes.get_mut(at..at + value.len()) {
                place.copy_from_slice(value);
            }
        };
        put(0, &MAGIC);
        put(4, &[VERSION, if self.is_last { LAST } else { 0 }]);
        put(8, &self.batch.to_le_bytes());
        put(16, &self.began.to_le_bytes());
        put(24, &self.ended.to_le_bytes());
        put(32, &self.records.to_le_bytes());
        put(36, &self.references.to_le_bytes());
        put(40, &self.balances.to_le_bytes());
        put(44, &self.checksum.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The length of what follows the header, in bytes.
    pub(crate) const fn payload(&self) -> usize {
        self.references as usize + self.balances as usize + self.records as usize * RECORD_BYTES
    }
}

/// What the records of a block refer to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct References {
    interfaces: Vec<Arc<Interface>>,
    services: Vec<Arc<str>>,
}

impl References {
    /// The interface at a place from 1, none at 0; [`None`] if there is no such place.
    #[allow(clippy::option_option, reason = "what is not meant to be there, and what is missing")]
    pub(crate) fn interface(&self, place: u32) -> Option<Option<Arc<Interface>>> {
        at(&self.interfaces, place as usize)
    }

    /// The service at a place, as [`interface`](Self::interface).
    #[allow(clippy::option_option, reason = "what is not meant to be there, and what is missing")]
    pub(crate) fn service(&self, place: u16) -> Option<Option<Arc<str>>> {
        at(&self.services, place.into())
    }
}

#[allow(clippy::option_option, reason = "what is not meant to be there, and what is missing")]
fn at<T: ?Sized>(list: &[Arc<T>], place: usize) -> Option<Option<Arc<T>>> {
    match place.checked_sub(1) {
        None => Some(None),
        Some(index) => list.get(index).cloned().map(Some),
    }
}

/// The places of what records refer to, while a block is filled.
#[derive(Debug, Default)]
pub(crate) struct Names {
    references: References,
    /// By address in memory, which is not given out again as long as the list holds what is there.
    interfaces: HashMap<usize, u32, RandomState>,
    services: HashMap<Arc<str>, u16, RandomState>,
}

impl Names {
    /// The place of an interface, from 1.
    pub(crate) fn interface(&mut self, interface: &Arc<Interface>) -> u32 {
        let list = &mut self.references.interfaces;
        *self.interfaces.entry(Arc::as_ptr(interface).addr()).or_insert_with(|| {
            list.push(Arc::clone(interface));
            // A block has far fewer records than places.
            u32::try_from(list.len()).unwrap_or(0)
        })
    }

    /// The place of a service, from 1.
    pub(crate) fn service(&mut self, service: &Arc<str>) -> u16 {
        if let Some(place) = self.services.get(service) {
            return *place;
        }
        self.references.services.push(Arc::clone(service));
        let place = u16::try_from(self.references.services.len()).unwrap_or(0);
        self.services.insert(Arc::clone(service), place);
        place
    }
}

/// A block that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    names: Names,
    records: Vec<u8>,
}

impl Filling {
    /// Adds a record.
    pub(crate) fn push(&mut self, record: &FlowRecord) {
        record::encode(record, &mut self.names, &mut self.records);
    }

    /// How many records it has.
    pub(crate) fn len(&self) -> usize {
        self.records.len() / RECORD_BYTES
    }

    /// The block's bytes; it is empty again then. `balances` come with the last block of a batch, and only there.
    pub(crate) fn finish(
        &mut self,
        (batch, began, ended): (u64, u64, u64),
        balances: Option<&[Balances]>,
    ) -> Result<Vec<u8>, serde_json::Error> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let references_json = serde_json::to_vec(&self.names.references)?;
        let balances_json = balances.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let mut checksum = crc32fast::Hasher::new();
        for part in [&references_json, &balances_json, &self.records] {
            checksum.update(part);
        }
        let header = Header {
            batch,
            began,
            ended,
            is_last: balances.is_some(),
            records: u32::try_from(self.len()).unwrap_or(u32::MAX),
            references: length(&references_json),
            balances: length(&balances_json),
            checksum: checksum.finalize(),
        };
        let mut bytes = Vec::with_capacity(HEADER_BYTES + header.payload());
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(&references_json);
        bytes.extend_from_slice(&balances_json);
        bytes.extend_from_slice(&self.records);
        self.names = Names::default();
        self.records.clear();
        Ok(bytes)
    }
}

/// What is in a block.
#[derive(Debug)]
pub(crate) struct Contents {
    /// Its records.
    pub(crate) records: Vec<FlowRecord>,
    /// Of the last block of a batch.
    pub(crate) balances: Vec<Balances>,
}

/// Reads what follows a header; none if it is not what was written.
pub(crate) fn decode(header: &Header, payload: &[u8]) -> Option<Contents> {
    if payload.len() != header.payload() || crc32fast::hash(payload) != header.checksum {
        return None;
    }
    let (references, rest) = payload.split_at_checked(header.references as usize)?;
    let (balances, records) = rest.split_at_checked(header.balances as usize)?;
    let references: References = serde_json::from_slice(references).ok()?;
    let balances = if balances.is_empty() { Vec::new() } else { serde_json::from_slice(balances).ok()? };
    let (records, _) = records.as_chunks::<RECORD_BYTES>();
    let records = records.iter().map(|image| record::decode(image, &references)).collect::<Option<_>>()?;
    Some(Contents { records, balances })
}
