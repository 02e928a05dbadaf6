//! The spool: flow records on disk, from when they are made until they are delivered, and as long after that as there is
//! room.
//!
//! It is a folder of segments, files that are only ever appended to and removed whole. A segment is a row of blocks
//! (`block.rs`), each with checksums and with all that its records refer to, so that what is damaged takes nothing else with it. The
//! blocks of one interval are a batch, which is there whole or not at all: its last block says that it is.
//!
//! The way in: [`Spool::begin`], [`BatchWriter::push`], [`BatchWriter::commit`]. The way out: [`Reader`].

mod balance;
mod block;
mod error;
mod flows;
mod reader;
mod record;
mod segment;
mod spool;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod writer;

pub use balance::{Balance, Balances, NOT_LOGGED, Sum};
pub use error::SpoolError;
pub use flows::each_flow;
pub use reader::{Batch, Damage, Reader};
pub use spool::{Repaired, Spool, SpoolOptions};
pub use writer::BatchWriter;
