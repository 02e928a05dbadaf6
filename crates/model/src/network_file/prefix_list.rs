//! `[[vpc.prefix_list]]`.

use std::collections::HashMap;

use crate::{Cidr, MAX_PREFIX_LIST_ENTRIES, Name};

use super::problem::{Place, Placed, Report};
use super::spec::PrefixListSpec;
use super::table::Table;

const FIELDS: [&str; 2] = ["name", "entries"];

/// What could be read of a prefix list.
pub(super) struct PrefixListDraft {
    pub(super) name: Option<Placed<Name>>,
    entries: Vec<Cidr>,
}

impl PrefixListDraft {
    /// The whole, if no required field is missing or refused.
    pub(super) fn spec(self) -> Option<PrefixListSpec> {
        Some(PrefixListSpec { name: self.name?.value, entries: self.entries })
    }
}

pub(super) fn read(table: &Table<'_>, report: &mut Report<'_>) -> PrefixListDraft {
    table.refuse_unknown(&FIELDS, report);
    PrefixListDraft {
        name: table.require("name", "the list's name, unique in its VPC, as `name = \"corporate\"`", report),
        entries: read_entries(table, report),
    }
}

fn read_entries(table: &Table<'_>, report: &mut Report<'_>) -> Vec<Cidr> {
    table.require_field(
        "entries",
        "the list's blocks, as `entries = [\"10.0.0.0/8\", \"fd00::/8\"]`",
        report,
    );
    let texts = table.texts("entries", report);
    if let Some(first_over) = texts.get(MAX_PREFIX_LIST_ENTRIES) {
        let count = texts.len();
        let reason = format!("a prefix list has at most {MAX_PREFIX_LIST_ENTRIES} entries, not {count}");
        report.add(&first_over.place, reason);
    }
    let mut seen: HashMap<Cidr, Place> = HashMap::new();
    let mut entries = Vec::with_capacity(texts.len());
    for text in texts {
        match text.value.parse::<Cidr>() {
            Ok(cidr) => {
                if let Some(first) = seen.get(&cidr) {
                    let (field, line) = (&first.field, report.line(first));
                    report.add(&text.place, format!("`{cidr}` is already {field} (line {line})"));
                } else {
                    seen.insert(cidr, text.place);
                    entries.push(cidr);
                }
            }
            Err(error) => report.add(&text.place, error.to_string()),
        }
    }
    entries
}
