//! Plain tables on standard output.

use std::time::Duration;

use super::contender::Contender;
use super::measure::{Burst, Times, quantile};

/// Medians and 99th percentiles, with each median's ratio to enid's and the floor's.
pub(crate) fn latency(title: &str, contenders: &[&dyn Contender], times: &[Times]) {
    let rounds = times.first().map_or(0, |times| times.create.len());
    println!("\n{title}; {rounds} rounds, taking turns; milliseconds; × is the ratio of medians");
    let work = [
        ("create", (|times| &times.create) as fn(&Times) -> &Vec<Duration>),
        ("delete", |times| &times.delete),
    ];
    for (what, pick) in work {
        let median_of = |name: &str| {
            contenders
                .iter()
                .zip(times)
                .find(|(contender, _)| contender.name() == name)
                .map(|(_, times)| quantile(pick(times), 0.5))
        };
        println!("{what:<10} {:>9} {:>9} {:>9} {:>9}", "median", "p99", "× floor", "× enid");
        for (contender, times) in contenders.iter().zip(times) {
            let median = quantile(pick(times), 0.5);
            println!(
                "  {:<8} {:>9.3} {:>9.3} {:>9} {:>9}",
                contender.name(),
                milliseconds(median),
                milliseconds(quantile(pick(times), 0.99)),
                ratio(median, median_of("floor")),
                ratio(median, median_of("enid")),
            );
        }
    }
}

/// The head of the table whose rows are [`throughput`]'s.
pub(crate) fn throughput_header(count: u32) {
    println!(
        "\nCreates a second, {count} tasks; then {count} deletes at once, by as many callers, milliseconds"
    );
    println!(
        "{:<10} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "1 caller", "4 callers", "ratio", "answered", "gone"
    );
}

/// One contender's row.
pub(crate) fn throughput(name: &str, count: u32, by_one: Duration, by_many: Duration, burst: &Burst) {
    let rate = |took: Duration| f64::from(count) / took.as_secs_f64();
    println!(
        "  {name:<8} {:>9.0} {:>9.0} {:>9} {:>9.0} {:>9.0}",
        rate(by_one),
        rate(by_many),
        ratio(by_one, Some(by_many)),
        milliseconds(burst.answered),
        milliseconds(burst.gone),
    );
}

/// How much slower each is on a crowded host than it was alone.
pub(crate) fn growth(contenders: &[&dyn Contender], alone: &[Times], crowded: &[Times]) {
    println!("\nCrowded ÷ alone, medians");
    println!("{:<10} {:>9} {:>9}", "", "create", "delete");
    for ((contender, alone), crowded) in contenders.iter().zip(alone).zip(crowded) {
        let grown = |before: &[Duration], after: &[Duration]| {
            ratio(quantile(after, 0.5), Some(quantile(before, 0.5)))
        };
        println!(
            "  {:<8} {:>9} {:>9}",
            contender.name(),
            grown(&alone.create, &crowded.create),
            grown(&alone.delete, &crowded.delete),
        );
    }
}

/// The daemon's resident memory with one task and its growth for each of `more`.
pub(crate) fn memory(one: u64, many: u64, more: u32) {
    println!("\nResident memory of the daemon");
    println!("  with one task   {:>9} KiB", one / 1024);
    println!("  with {:<10} {:>9} KiB", more + 1, many / 1024);
    println!("  growth a task   {:>9} bytes", many.saturating_sub(one) / u64::from(more.max(1)));
}

/// A time in milliseconds.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// How many times `base` a value is, as text.
pub(crate) fn ratio(value: Duration, base: Option<Duration>) -> String {
    base.filter(|base| !base.is_zero())
        .map_or_else(|| "–".to_owned(), |base| format!("{:.2}", value.as_secs_f64() / base.as_secs_f64()))
}
