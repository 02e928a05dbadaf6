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

/// Prints what the subject of that name is to every other one, as the median of the rounds' ratios.
pub(crate) fn ratios(name: &str, subjects: &[Subject], rounds: &Rounds) {
    let Some(position) = subjects.iter().position(|subject| subject.name == name) else { return };
    let others = |other: &usize| *other != position;
    println!();
    let mut head = vec![format!("{name} ÷")];
    head.extend(
        (0..subjects.len()).filter(others).filter_map(|other| Some(subjects.get(other)?.name.to_owned())),
    );
    print_head(&head);
    for (figure, values) in &rounds.figures {
        let Some(own) = values.get(position) else { continue };
        let mut row = vec![(*figure).to_owned()];
        for other in (0..subjects.len()).filter(others).filter_map(|other| values.get(other)) {
            row.push(ratio(median(own.iter().zip(other).map(|(own, other)| own / other))));
        }
        print_row(&row);
    }
}
