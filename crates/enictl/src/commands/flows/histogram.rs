//! Traffic over time, as bars.

use std::io::stdout;

use enid_flowlog::{Histogram, SortBy, Totals};
use rustix::termios::tcgetwinsize;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Format, write};
use crate::text::Column::{Left, Right};
use crate::text::{Table, csv_line, grouped, second};

/// What a terminal that does not say is wide.
const DEFAULT_WIDTH: usize = 80;
/// In a terminal too narrow for a bar beside its numbers, lines are broken rather than bars left away.
const LEAST_BAR: usize = 10;
/// A block, and its left parts by eighths.
const BLOCK: char = '█';
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

#[derive(Serialize)]
struct Answer {
    /// Seconds.
    width: u64,
    buckets: Vec<Bucket>,
    total: Totals,
}

#[derive(Serialize)]
struct Bucket {
    /// The Unix second that it begins at.
    start: u64,
    #[serde(flatten)]
    totals: Totals,
}

/// Prints a bar for each bucket, or all its totals for a program.
pub(super) fn print(format: Format, histogram: &Histogram, of: SortBy) -> Result<(), Failure> {
    let buckets = histogram.buckets().into_iter().map(|(start, totals)| Bucket { start, totals }).collect();
    let answer = Answer { width: histogram.width(), buckets, total: histogram.total() };
    match format {
        Format::Csv => write(&csv(&answer)),
        format => format.print(&answer, |answer| bars(answer, of, terminal_width())),
    }
}

/// How many columns the output has: what `COLUMNS` says, else the terminal.
fn terminal_width() -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let asked = || tcgetwinsize(stdout()).ok().map(|size| usize::from(size.ws_col));
    told.or_else(asked).filter(|width| *width > 0).unwrap_or(DEFAULT_WIDTH)
}

fn csv(answer: &Answer) -> String {
    let header = csv_line(["start", "flows", "packets", "bytes"]);
    let lines = answer.buckets.iter().map(|Bucket { start, totals }| {
        csv_line([*start, totals.flows, totals.packets, totals.bytes].map(|number| number.to_string()))
    });
    std::iter::once(header).chain(lines).collect()
}

fn bars(answer: &Answer, of: SortBy, columns: usize) -> String {
    let header = match of {
        SortBy::Bytes => "BYTES",
        SortBy::Packets => "PACKETS",
        SortBy::Flows => "FLOWS",
    };
    let rows: Vec<_> =
        answer.buckets.iter().map(|bucket| (second(bucket.start), bucket.totals.of(of))).collect();
    let most = rows.iter().map(|(_, number)| *number).max().unwrap_or(0);
    let time_width = rows.iter().map(|(time, _)| time.len()).max().unwrap_or(0);
    let number_width = grouped(most).len().max(header.len());
    let width = columns.saturating_sub(time_width + number_width + 4).max(LEAST_BAR);
    let mut table = Table::new([Left("TIME (UTC)"), Right(header), Left("")]);
    for (time, number) in rows {
        table.row([time, grouped(number), bar(number, most, width)]);
    }
    table.finish()
}

/// A bar as long as the number is of the most; what is not zero is seen.
fn bar(number: u64, most: u64, width: usize) -> String {
    let eighths = u128::from(number) * (width as u128 * 8) / u128::from(most.max(1));
    let eighths = usize::try_from(eighths).unwrap_or(0).max(usize::from(number > 0));
    let mut bar: String = std::iter::repeat_n(BLOCK, eighths / 8).collect();
    bar.push_str(EIGHTHS.get(eighths % 8).copied().unwrap_or_default());
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: &[u64]) -> Answer {
        let bucket = |(index, bytes): (u64, &u64)| Bucket {
            start: 1_700_000_040 + index * 60,
            totals: Totals { packets: 1, bytes: *bytes, flows: 1 },
        };
        Answer { width: 60, buckets: (0..).zip(bytes).map(bucket).collect(), total: Totals::default() }
    }

    #[test]
    fn the_longest_bar_fills_the_line_and_none_is_lost() {
        let text = bars(&answer(&[1_000_000, 500_000, 0, 1]), SortBy::Bytes, 42);
        assert_eq!(
            text,
            "TIME (UTC)               BYTES\n\
             2023-11-14 22:14:00  1,000,000  ██████████\n\
             2023-11-14 22:15:00    500,000  █████\n\
             2023-11-14 22:16:00          0\n\
             2023-11-14 22:17:00          1  ▏\n"
        );
        for columns in [44, 60, 200] {
            let longest = bars(&answer(&[1_000_000]), SortBy::Bytes, columns);
            assert_eq!(longest.lines().last().unwrap().chars().count(), columns);
        }
        assert_eq!(bars(&answer(&[]), SortBy::Flows, 80), "TIME (UTC)  FLOWS\n");
    }

    #[test]
    fn bars_keep_the_order_of_their_numbers() {
        let length = |number| bar(number, u64::MAX, 7).chars().count();
        assert!((0..64).map(|shift| length(u64::MAX >> shift)).is_sorted_by(|a, b| a >= b));
        assert_eq!((length(0), length(1), length(u64::MAX)), (0, 1, 7));
    }
}
