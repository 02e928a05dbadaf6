//! The accounts of a range, for a person.

use std::collections::BTreeSet;

use enid_spool::Sum;

use super::account::{Account, Accounts, Part};
use crate::text::Column::{self, Left, Right};
use crate::text::{Table, count, grouped, second, signed};

/// A table for each ENI, and what is left over of all.
pub(super) fn report(accounts: &Accounts) -> String {
    let tables: String = accounts.enis.iter().map(|eni| table(eni) + "\n").collect();
    let audited = count(accounts.enis.len(), "ENI");
    let range = format!("from {} to {}", second(accounts.since), second(accounts.until));
    let outcome = match accounts.enis.iter().filter(|eni| !eni.closes()).count() {
        0 => "nothing left over".to_owned(),
        open => format!("{open} with something left over"),
    };
    format!("{tables}{audited} audited {range}, {outcome}\n")
}

fn table(eni: &Account) -> String {
    let table = match eni.parts()[..] {
        [both] => rows(&[both], [Left(""), Right("PACKETS"), Right("BYTES")]),
        ref parts => rows(
            parts,
            [
                Left(""),
                Right("EGRESS PACKETS"),
                Right("EGRESS BYTES"),
                Right("INGRESS PACKETS"),
                Right("INGRESS BYTES"),
            ],
        ),
    };
    let task = eni.task.as_ref().map_or("-", |task| task.as_str());
    format!("{task}  {}\n{table}", eni.eni_id)
}

/// A table of so many columns: a name, and two for each part.
fn rows<const N: usize>(parts: &[&Part], columns: [Column; N]) -> String {
    let mut table = Table::new(columns);
    let mut row = |name: &str, of: &dyn Fn(&Part) -> [String; 2]| {
        let mut cells = std::iter::once(name.to_owned()).chain(parts.iter().flat_map(|part| of(part)));
        table.row(std::array::from_fn(|_| cells.next().unwrap_or_default()));
    };
    let counted = |sum: Sum| [sum.packets, sum.bytes].map(grouped);
    row("flow records", &|part| counted(part.records));
    let buckets: BTreeSet<&String> = parts.iter().flat_map(|part| part.buckets.keys()).collect();
    for bucket in buckets {
        row(bucket, &|part| counted(part.buckets.get(bucket).copied().unwrap_or_default()));
    }
    row("wire ledger", &|part| counted(part.wire_ledger));
    row("left over", &|part| part.left_over().map(signed));
    table.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn sum(packets: u64, bytes: u64) -> Sum {
        Sum { packets, bytes }
    }

    fn account() -> Account {
        Account {
            task: Some("web".parse().unwrap()),
            eni_id: "eni-00000000000000001".parse().unwrap(),
            egress: Part {
                records: sum(10, 1_000),
                buckets: [("arp".to_owned(), sum(1, 28))].into(),
                wire_ledger: sum(11, 1_028),
            },
            ingress: Part::default(),
            both: None,
        }
    }

    #[test]
    fn each_bucket_has_a_row() {
        let accounts = Accounts { since: 0, until: 60, enis: vec![account()] };
        assert_eq!(
            report(&accounts),
            "web  eni-00000000000000001\n\
             \u{20}             EGRESS PACKETS  EGRESS BYTES  INGRESS PACKETS  INGRESS BYTES\n\
             flow records              10         1,000                0              0\n\
             arp                        1            28                0              0\n\
             wire ledger               11         1,028                0              0\n\
             left over                  0             0                0              0\n\
             \n\
             1 ENI audited from 1970-01-01 00:00:00 to 1970-01-01 00:01:00, nothing left over\n"
        );
    }

    #[test]
    fn what_is_left_over_is_said() {
        let mut account = account();
        account.egress.records = sum(11, 1_000);
        let accounts = Accounts { since: 0, until: 60, enis: vec![account.clone()] };
        assert!(report(&accounts).ends_with("1 with something left over\n"));
        let mut both = account.egress.clone();
        both.merge(account.ingress.clone());
        account.both = Some(both);
        let accounts = Accounts { since: 0, until: 60, enis: vec![account] };
        let text = report(&accounts);
        assert!(text.contains("  PACKETS  BYTES") && text.contains("\nleft over          -1"), "{text}");
    }
}
