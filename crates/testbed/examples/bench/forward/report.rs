//! The table, in Markdown.

use super::measure::Rounds;
use super::subject::{Kind, Subject};

/// Prints a row a figure: every subject's median, and of all but the first subject the ratio to it.
pub(crate) fn table(kind: Kind, subjects: &[Subject], rounds: &Rounds) {
    let family = if kind.ipv6 { "IPv6" } else { "IPv4" };
    println!(
        "\n{family}, MTU {}; {} rounds: medians, and × the median of the rounds' ratios to the first\n",
        kind.mtu, rounds.count
    );
    let mut head = format!("| {:<26} |", "");
    let mut line = format!("|{:-<28}|", "");
    for (position, subject) in subjects.iter().enumerate() {
        head += &format!(" {:>11} |", subject.name);
        line += "------------:|";
        if position > 0 {
            head += "    × |";
            line += "-----:|";
        }
    }
    println!("{head}\n{line}");
    for (name, values) in &rounds.figures {
        let mut row = format!("| {name:<26} |");
        for (position, own) in values.iter().enumerate() {
            row += &format!(" {:>11} |", figure(median(own.iter().copied())));
            if let (1.., Some(first)) = (position, values.first()) {
                let ratios = own.iter().zip(first).map(|(own, first)| own / first);
                row += &format!(" {:>4.2} |", median(ratios));
            }
        }
        println!("{row}");
    }
}

/// The median; of an even number, the mean of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = |position: usize| sorted.get(position).copied().unwrap_or(f64::NAN);
    f64::midpoint(middle(sorted.len().saturating_sub(1) / 2), middle(sorted.len() / 2))
}

/// With three digits that mean something, and a separator of thousands.
fn figure(value: f64) -> String {
    if value >= 1000.0 {
        let text = format!("{value:.0}");
        let (thousands, rest) = text.split_at(text.len() - 3);
        format!("{thousands},{rest}")
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.4}")
    }
}
