//! The table, in Markdown.

use super::measure::Rounds;
use crate::figures::{figure, median, print_head, print_row, ratio};
use crate::subject::{Kind, Subject};

/// Prints a row a figure: every subject's median, and of all but the first subject the ratio to it.
pub(crate) fn table(kind: Kind, subjects: &[Subject], rounds: &Rounds) {
    let family = if kind.ipv6 { "IPv6" } else { "IPv4" };
    println!(
        "\n{family}, MTU {}; {} rounds: medians, and × the median of the rounds' ratios to the first\n",
        kind.mtu, rounds.count
    );
    let mut head = vec![String::new()];
    for (position, subject) in subjects.iter().enumerate() {
        head.push(subject.name.to_owned());
        if position > 0 {
            head.push("×".to_owned());
        }
    }
    print_head(&head);
    for (name, values) in &rounds.figures {
        let mut row = vec![(*name).to_owned()];
        for (position, own) in values.iter().enumerate() {
            row.push(figure(median(own.iter().copied())));
            if let (1.., Some(first)) = (position, values.first()) {
                row.push(ratio(median(own.iter().zip(first).map(|(own, first)| own / first))));
            }
        }
        print_row(&row);
    }
}
