//! `docs/querying-at-scale.md`: the definitions fit the files, and what engines find in files of many hosts is what
//! `enictl flows` finds, row by row.
//!
//! DuckDB and the parser are installed by `scripts/setup test`, ClickHouse and Spark by `scripts/judge-scale`, which runs
//! their tests too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test helpers fail with a location"
)]

mod definitions;
mod engines;
mod hosts;
mod page;
