//! `enictl prefix-list`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use enid_api::v1::delete_network_object_request::Object;
use enid_api::v1::{PrefixList, UpdatePrefixListRequest, Vpc};
use enid_model::Cidr;
use serde::Serialize;

use super::security_groups::update;
use super::{delete, find, list, print_changes, qualified};
use crate::failure::Failure;
use crate::session::Session;
use crate::text::Column::{Left, Right};
use crate::text::{Pairs, Table, grouped};

commands!(
    PrefixListCommand,
    "prefix-list",
    "prefix list",
    "prefix lists",
    "Its id, `vpc/name`, or its name if no other VPC has one of that name",
    "shop/corporate",
    Update
);

/// Change the entries of a prefix list
///
/// Replaces the entries, or takes some away and adds others. Every rule that refers to the list changes with it.
#[derive(Debug, Args)]
#[command(
    override_usage = "enictl prefix-list update [OPTIONS] <PREFIX-LIST> <CHANGE>...",
    after_help = "Example:
  enictl prefix-list update shop/corporate --add 192.0.2.0/24 2001:db8::/32 --remove 198.51.100.0/24
  enictl prefix-list update corporate --vpc shop --entries 192.0.2.0/24 --dry-run"
)]
pub(crate) struct Update {
    /// The list: its id, `vpc/name`, or its name if no other VPC has one of that name
    #[arg(value_name = "PREFIX-LIST")]
    name: String,
    /// The VPC that has the list
    #[arg(long)]
    vpc: Option<String>,
    #[command(flatten)]
    changes: Changes,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// What to do with the entries; at least one thing.
#[derive(Debug, Args)]
#[command(next_help_heading = "Changes")]
#[group(required = true, multiple = true)]
struct Changes {
    /// Replace the entries by these; by none without a CIDR
    #[arg(long, value_name = "CIDR", num_args = 0.., conflicts_with_all = ["add", "remove"])]
    entries: Option<Vec<Cidr>>,
    /// Add these entries
    #[arg(long, value_name = "CIDR", num_args = 1..)]
    add: Vec<Cidr>,
    /// Take these entries away
    #[arg(long, value_name = "CIDR", num_args = 1..)]
    remove: Vec<Cidr>,
}

impl Update {
    fn request(self) -> UpdatePrefixListRequest {
        let Changes { entries, add, remove } = self.changes;
        UpdatePrefixListRequest {
            prefix_list: qualified(self.vpc.as_deref(), &self.name),
            entries: Some(update(entries, &remove, &add)),
            dry_run: self.dry_run,
        }
    }
}

impl PrefixListCommand {
    /// Lists, shows, deletes or updates.
    pub(crate) fn execute(self, session: &Session) -> Result<ExitCode, Failure> {
        match self {
            Self::List => {
                #[derive(Serialize)]
                #[serde(rename_all = "camelCase")]
                struct Listed<'a> {
                    prefix_lists: Vec<&'a PrefixList>,
                }
                let vpcs = &list(session)?;
                let listed = vpcs.iter().flat_map(|vpc| &vpc.prefix_lists).collect();
                session.format.print(&Listed { prefix_lists: listed }, |_| prefix_lists(vpcs))?;
            }
            Self::Show { name } => {
                let vpcs = list(session)?;
                let (vpc, found) = find::prefix_list(&vpcs, &name)?;
                session.format.print(found, |found| prefix_list(vpc, found))?;
            }
            Self::Delete { name } => {
                let object = Object::PrefixList(name.clone());
                delete(session, object, &format!("prefix list {name}"))?;
            }
            Self::Update(update) => {
                let dry_run = update.dry_run;
                let request = update.request();
                let response = session.talk(async |client| {
                    Ok(client.networks().update_prefix_list(request).await?.into_inner())
                })?;
                print_changes(session, &response, dry_run)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A line for each prefix list of these VPCs.
pub(super) fn prefix_lists(vpcs: &[Vpc]) -> String {
    let mut table = Table::new([Left("PREFIX LIST"), Left("ID"), Right("ENTRIES")]);
    for vpc in vpcs {
        for list in &vpc.prefix_lists {
            let entries = u64::try_from(list.entries.len()).unwrap_or(u64::MAX);
            table.row([format!("{}/{}", vpc.name, list.name), list.id.clone(), grouped(entries)]);
        }
    }
    table.finish()
}

/// One prefix list with its entries.
fn prefix_list(vpc: &Vpc, list: &PrefixList) -> String {
    let mut pairs = Pairs::default();
    pairs.add("prefix-list", format_args!("{}/{}", vpc.name, list.name));
    pairs.add("id", &list.id);
    pairs.add("vpc", &vpc.id);
    for entry in &list.entries {
        pairs.add("entry", entry);
    }
    pairs.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_its_entries() {
        let list = PrefixList {
            id: "pl-1".into(),
            name: "corporate".into(),
            entries: vec!["10.0.0.0/8".into(), "fd00::/8".into()],
            ..PrefixList::default()
        };
        let vpc = Vpc { id: "vpc-1".into(), name: "blue".into(), ..Vpc::default() };
        assert_eq!(
            prefix_list(&vpc, &list),
            "prefix-list  blue/corporate\n\
             id           pl-1\n\
             vpc          vpc-1\n\
             entry        10.0.0.0/8\n\
             entry        fd00::/8\n"
        );
        assert_eq!(
            prefix_lists(&[Vpc { prefix_lists: vec![list], ..vpc }]),
            "PREFIX LIST     ID    ENTRIES\n\
             blue/corporate  pl-1        2\n"
        );
    }
}
