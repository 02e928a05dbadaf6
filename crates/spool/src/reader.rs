//! Reading a spool, batch by batch, whether or not somebody is writing to it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use enid_flowlog::FlowRecord;

use crate::balance::Balances;
use crate::block::{self, Header};
use crate::error::SpoolError;
use crate::segment::{self, Found, Segment};

/// What of a spool can't be read. It is passed over, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub file: Arc<Path>,
    /// Where in it, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// How many records were there, where that can be told.
    pub records: Option<u32>,
}

/// Reads the batches of a spool in their order, each once.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    /// Those that are not begun.
    segments: VecDeque<(u64, PathBuf)>,
    current: Option<(Segment, u64)>,
    /// The last batch that was read, or that is not wanted.
    after: u64,
}

/// A batch that is there to the end.
#[derive(Debug)]
pub struct Batch {
    /// Its number.
    pub number: u64,
    /// Its beginning, in Unix seconds.
    pub began: u64,
    /// Its end, in Unix seconds.
    pub ended: u64,
    segment: Segment,
    blocks: VecDeque<(u64, Header)>,
    damage: Vec<Damage>,
    balances: Vec<Balances>,
}

impl Reader {
    /// Reads the batches after one; all of them after 0.
    pub fn open(folder: &Path, after: u64) -> Result<Self, SpoolError> {
        let mut reader = Self { folder: folder.to_owned(), segments: VecDeque::new(), current: None, after };
        reader.list()?;
        Ok(reader)
    }

    /// Finds segments that were begun since.
    fn list(&mut self) -> Result<(), SpoolError> {
        let mut segments: VecDeque<_> = segment::list(&self.folder)?.into();
        // A segment's last batch is before the next one's first.
        while segments.get(1).is_some_and(|(first, _)| *first <= self.after + 1) {
            segments.pop_front();
        }
        self.segments = segments;
        Ok(())
    }

    /// The next batch; none if there is none yet, which later there may be.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, SpoolError> {
        loop {
            let Some((segment, offset)) = self.current.take() else {
                if self.open_next()? {
                    continue;
                }
                return Ok(None);
            };
            // Asked before it is looked at: nothing is added to it if there is another one.
            self.list_if_needed()?;
            let is_newest = self.segments.is_empty();
            let (batch, end) = scan(&segment, offset, is_newest)?;
            match batch {
                Some(batch) => {
                    self.current = Some((segment, end));
                    // What a writer could neither finish nor take back is there again, in a segment of its own.
                    let is_left_over = !batch.has_end()
                        && self.segments.front().is_some_and(|(first, _)| *first <= batch.number);
                    if batch.number > self.after && !is_left_over {
                        self.after = batch.number;
                        return Ok(Some(batch));
                    }
                }
                None if is_newest => {
                    self.current = Some((segment, offset));
                    return Ok(None);
                }
                None => {}
            }
        }
    }

    fn list_if_needed(&mut self) -> Result<(), SpoolError> {
        if self.segments.is_empty() {
            let after = self.after;
            self.list()?;
            let current = self.current.as_ref().map(|(segment, _)| Arc::clone(&segment.path));
            self.segments.retain(|(first, path)| *first > after && current.as_deref() != Some(path));
        }
        Ok(())
    }

    /// Begins the next segment; says whether there was one.
    fn open_next(&mut self) -> Result<bool, SpoolError> {
        if self.segments.is_empty() {
            self.list()?;
        }
        while let Some((_, path)) = self.segments.pop_front() {
            // One that was removed meanwhile is passed over.
            if let Some(segment) = Segment::open(&path)? {
                self.current = Some((segment, 0));
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The batch that begins at an offset of a segment, and where it ends. None if there is none, or if it has no end yet in a
/// segment that may still be written to.
pub(crate) fn scan(
    segment: &Segment,
    offset: u64,
    is_newest: bool,
) -> Result<(Option<Batch>, u64), SpoolError> {
    let mut at = offset;
    let mut damage = Vec::new();
    let mut batch: Option<Batch> = None;
    loop {
        match segment.look(at)? {
            Found::Block(header, end) => {
                if batch.as_ref().is_some_and(|batch| batch.number != header.batch) {
                    // The last block of the batch before was damaged.
                    break;
                }
                let begun = batch.get_or_insert_with(|| Batch {
                    number: header.batch,
                    began: header.began,
                    ended: header.ended,
                    segment: segment.clone(),
                    blocks: VecDeque::new(),
                    damage: Vec::new(),
                    balances: Vec::new(),
                });
                begun.blocks.push_back((at, header));
                at = end;
                if header.is_last {
                    break;
                }
            }
            Found::Gap(next) if next < segment.length()? || !is_newest => {
                damage.push(Damage {
                    file: Arc::clone(&segment.path),
                    offset: at,
                    bytes: next - at,
                    records: None,
                });
                at = next;
            }
            Found::Gap(_) | Found::End if is_newest => return Ok((None, offset)),
            Found::Gap(_) | Found::End => break,
        }
    }
    if let Some(batch) = &mut batch {
        batch.damage = damage;
    }
    Ok((batch, at))
}

impl Batch {
    fn has_end(&self) -> bool {
        self.blocks.back().is_some_and(|(_, header)| header.is_last)
    }

    /// Before when its records end, in Unix seconds: its end, or a second after its beginning if it had ended in the second in
    /// which it began.
    pub fn until(&self) -> u64 {
        self.ended.max(self.began + 1)
    }

    /// How many records it has, those that can't be read among them.
    pub fn len(&self) -> usize {
        self.blocks.iter().map(|(_, header)| header.records as usize).sum()
    }

    /// Whether it has no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next records, a few thousand at most; none after the last ones.
    pub fn next_records(&mut self) -> Result<Option<Vec<FlowRecord>>, SpoolError> {
        while let Some((offset, header)) = self.blocks.pop_front() {
            let payload = self.segment.payload(offset, &header)?;
            let contents = payload.as_deref().and_then(|payload| block::decode(&header, payload));
            let Some(contents) = contents else {
                self.damage.push(Damage {
                    file: Arc::clone(&self.segment.path),
                    offset,
                    bytes: (block::HEADER_BYTES + header.payload()) as u64,
                    records: Some(header.records),
                });
                continue;
            };
            self.balances.extend(contents.balances);
            return Ok(Some(contents.records));
        }
        Ok(None)
    }

    /// What the ledgers counted in the interval, once all records were read.
    pub fn balances(&self) -> &[Balances] {
        &self.balances
    }

    /// What could not be read so far.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }
}
