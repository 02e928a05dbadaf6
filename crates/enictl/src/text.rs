//! Text for people: tables, numbers, durations and times.

mod csv;
mod number;
mod pairs;
mod table;
mod time;

pub(crate) use csv::csv_line;
pub(crate) use number::{grouped, signed};
pub(crate) use pairs::Pairs;
pub(crate) use table::{Column, Table, or_dash};
pub(crate) use time::{Moment, Span, interval, milliseconds, second};

/// `1 task`, `2 tasks`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
