//! Text for people: tables, numbers, durations and times.

mod number;
mod pairs;
mod table;
mod time;

pub(crate) use number::{grouped, signed};
pub(crate) use pairs::Pairs;
pub(crate) use table::{Column, Table, or_dash};
pub(crate) use time::{Moment, interval};

/// `1 task`, `2 tasks`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
