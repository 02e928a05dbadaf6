//! Which known word a user may have meant.

/// The known word nearest to `word`, if one is near: at most a third of the letters differ (two always may, as when
/// neighbours are swapped), or `word` is a part of it.
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let allowed = (word.chars().count() / 3).max(2);
    let part = |candidate: &str| word.len() > 2 && candidate.contains(word);
    known
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= allowed || part(candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The Levenshtein distance: how many letters must be put in, taken out or replaced.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (taken, letter) in from.chars().enumerate() {
        let mut left = taken + 1;
        let mut next = vec![left];
        for (wanted, above) in to.chars().zip(row.windows(2)) {
            let [diagonal, above] =
                [above.first(), above.last()].map(|cell| cell.copied().unwrap_or_default());
            left = (left + 1).min(above + 1).min(diagonal + usize::from(letter != wanted));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_letters_put_in_taken_out_and_replaced() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("zone", "zone", 0),
            ("zon", "zone", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn suggests_only_what_is_near() {
        let known = ["name", "ipv4_cidr", "ipv6_cidr", "zone"];
        assert_eq!(nearest("nme", &known), Some("name"));
        assert_eq!(nearest("ipv4-cidr", &known), Some("ipv4_cidr"));
        assert_eq!(nearest("ipv6cidr", &known), Some("ipv6_cidr"));
        assert_eq!(nearest("znoe", &known), Some("zone"));
        assert_eq!(nearest("cidr", &known), Some("ipv4_cidr"));
        assert_eq!(nearest("gateway", &known), None);
        assert_eq!(nearest("", &known), None);
    }
}
