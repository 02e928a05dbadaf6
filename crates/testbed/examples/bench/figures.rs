//! Figures of several rounds, and how they are printed.

/// The median; of an even number, the mean of the two in the middle.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = |position: usize| sorted.get(position).copied().unwrap_or(f64::NAN);
    f64::midpoint(middle(sorted.len().saturating_sub(1) / 2), middle(sorted.len() / 2))
}

/// With three digits that mean something, and separators of thousands.
pub(crate) fn figure(value: f64) -> String {
    if value >= 1000.0 {
        let mut text = format!("{value:.0}");
        let digits = text.len();
        for place in (1..digits).rev().filter(|place| (digits - place).is_multiple_of(3)) {
            text.insert(place, ',');
        }
        text
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.4}")
    }
}

/// A ratio, as tables have it.
pub(crate) fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

/// Prints a row of a table in Markdown: the first cell to the left, the others to the right.
pub(crate) fn print_row(cells: &[String]) {
    print!("|");
    for (position, cell) in cells.iter().enumerate() {
        if position == 0 {
            print!(" {cell:<26} |");
        } else {
            print!(" {cell:>12} |");
        }
    }
    println!();
}

/// Prints the first row and the line below it.
pub(crate) fn print_head(cells: &[String]) {
    print_row(cells);
    println!("|---|{}", "---:|".repeat(cells.len().saturating_sub(1)));
}
