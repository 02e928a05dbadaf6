//! What collectors read of what is sent to them: nfcapd and tshark, the crate netflow_parser, and rotel.
//!
//! `scripts/setup test` installs them. All run on loopback, on ports that are free, and end with their test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]
#![allow(clippy::cast_possible_truncation, reason = "what a cast would cut off, the comparison would miss")]

mod http;
mod ipfix;
mod nfdump;
mod otlp;
mod parser;
mod probe;
mod process;
mod records;
mod rotel;
mod socket;
mod tshark;
