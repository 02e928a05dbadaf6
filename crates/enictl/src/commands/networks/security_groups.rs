//! `enictl security-group`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use enid_api::v1::delete_network_object_request::Object;
use enid_api::v1::{ListUpdate, Rule, SecurityGroup, UpdateSecurityGroupRequest, Vpc};
use enid_model::RuleSpec;
use serde::Serialize;

use super::{delete, find, list, print_changes, qualified};
use crate::failure::Failure;
use crate::session::Session;
use crate::text::Column::Left;
use crate::text::{Pairs, Table};

commands!(
    SecurityGroupCommand,
    "security-group",
    "security group",
    "security groups",
    "Its id, `vpc/name`, or its name if no other VPC has one of that name",
    "shop/web",
    Update
);

/// Change the rules of a security group
///
/// Replaces the rules of a direction, or takes some away and adds others. New flows meet the new rules at once; a
/// tracked flow outlives its rule.
#[derive(Debug, Args)]
#[command(
    override_usage = "enictl security-group update [OPTIONS] <GROUP> <CHANGE>...",
    after_help = "A RULE is
  tcp:PORTS:PEER, udp:PORTS:PEER                  ports as 443, 8000-8080 or all
  icmp:TYPE[/CODE]:PEER, icmpv6:TYPE[/CODE]:PEER  as 8/0, echo-request or all
  all:PEER, PROTOCOL:PEER                         every protocol, or one by name or number
and a PEER is a CIDR, sg=GROUP or pl=PREFIX-LIST of the same VPC.

Example:
  enictl security-group update shop/web --add-ingress tcp:443:10.0.0.0/16 icmp:8/0:0.0.0.0/0 --remove-ingress all:sg=web
  enictl security-group update web --vpc shop --ingress tcp:443:pl=corporate --egress --dry-run"
)]
pub(crate) struct Update {
    /// The group: its id, `vpc/name`, or its name if no other VPC has one of that name
    #[arg(value_name = "GROUP")]
    name: String,
    /// The VPC that has the group
    #[arg(long)]
    vpc: Option<String>,
    #[command(flatten)]
    rules: Rules,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// What to do with the rules; at least one thing.
#[derive(Debug, Args)]
#[command(next_help_heading = "Changes")]
#[group(required = true, multiple = true)]
struct Rules {
    /// Let this reach members and nothing else; nothing without a RULE
    #[arg(long, value_name = "RULE", num_args = 0.., conflicts_with_all = ["add_ingress", "remove_ingress"])]
    ingress: Option<Vec<RuleSpec>>,
    /// Let members reach this and nothing else; nothing without a RULE
    #[arg(long, value_name = "RULE", num_args = 0.., conflicts_with_all = ["add_egress", "remove_egress"])]
    egress: Option<Vec<RuleSpec>>,
    /// Let this reach members too
    #[arg(long, value_name = "RULE", num_args = 1..)]
    add_ingress: Vec<RuleSpec>,
    /// Take these ingress rules away
    #[arg(long, value_name = "RULE", num_args = 1..)]
    remove_ingress: Vec<RuleSpec>,
    /// Let members reach this too
    #[arg(long, value_name = "RULE", num_args = 1..)]
    add_egress: Vec<RuleSpec>,
    /// Take these egress rules away
    #[arg(long, value_name = "RULE", num_args = 1..)]
    remove_egress: Vec<RuleSpec>,
}

impl Update {
    fn request(self) -> UpdateSecurityGroupRequest {
        let Rules { ingress, egress, add_ingress, remove_ingress, add_egress, remove_egress } = self.rules;
        UpdateSecurityGroupRequest {
            security_group: qualified(self.vpc.as_deref(), &self.name),
            ingress: Some(update(ingress, &remove_ingress, &add_ingress)),
            egress: Some(update(egress, &remove_egress, &add_egress)),
            dry_run: self.dry_run,
        }
    }
}

/// The one list that replaces another, or the two that change it.
pub(super) fn update<T: ToString>(replacement: Option<Vec<T>>, remove: &[T], add: &[T]) -> ListUpdate {
    let texts = |items: &[T]| items.iter().map(T::to_string).collect();
    match replacement {
        Some(items) => ListUpdate { clear: true, remove: Vec::new(), add: texts(&items) },
        None => ListUpdate { clear: false, remove: texts(remove), add: texts(add) },
    }
}

impl SecurityGroupCommand {
    /// Lists, shows, deletes or updates.
    pub(crate) fn execute(self, session: &Session) -> Result<ExitCode, Failure> {
        match self {
            Self::List => {
                #[derive(Serialize)]
                #[serde(rename_all = "camelCase")]
                struct Listed<'a> {
                    security_groups: Vec<&'a SecurityGroup>,
                }
                let vpcs = &list(session)?;
                let listed = vpcs.iter().flat_map(|vpc| &vpc.security_groups).collect();
                session.format.print(&Listed { security_groups: listed }, |_| security_groups(vpcs))?;
            }
            Self::Show { name } => {
                let vpcs = list(session)?;
                let (vpc, group) = find::security_group(&vpcs, &name)?;
                session.format.print(group, |group| security_group(vpc, group))?;
            }
            Self::Delete { name } => {
                let object = Object::SecurityGroup(name.clone());
                delete(session, object, &format!("security group {name}"))?;
            }
            Self::Update(update) => {
                let dry_run = update.dry_run;
                let request = update.request();
                let response = session.talk(async |client| {
                    Ok(client.networks().update_security_group(request).await?.into_inner())
                })?;
                print_changes(session, &response, dry_run)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A line for each security group of these VPCs.
pub(super) fn security_groups(vpcs: &[Vpc]) -> String {
    let mut table = Table::new([Left("SECURITY GROUP"), Left("ID"), Left("INGRESS"), Left("EGRESS")]);
    for vpc in vpcs {
        for group in &vpc.security_groups {
            table.row([
                format!("{}/{}", vpc.name, group.name),
                group.id.clone(),
                in_short(&group.ingress),
                in_short(&group.egress),
            ]);
        }
    }
    table.finish()
}

/// How many rules of a direction a line has room for.
const MOST_IN_SHORT: usize = 2;

fn in_short(rules: &[Rule]) -> String {
    if rules.is_empty() {
        return "nothing".to_owned();
    }
    let mut texts: Vec<String> = rules.iter().take(MOST_IN_SHORT).map(|rule| rule.text.clone()).collect();
    if let more @ 1.. = rules.len().saturating_sub(MOST_IN_SHORT) {
        texts.push(format!("{more} more"));
    }
    texts.join(", ")
}

/// One security group with its rules.
fn security_group(vpc: &Vpc, group: &SecurityGroup) -> String {
    let mut pairs = Pairs::default();
    pairs.add("security-group", format_args!("{}/{}", vpc.name, group.name));
    pairs.add("id", &group.id);
    pairs.add("vpc", &vpc.id);
    let mut table = Table::new([Left("DIRECTION"), Left("RULE"), Left("PEER")]);
    for (direction, rules) in [("ingress", &group.ingress), ("egress", &group.egress)] {
        for rule in rules {
            table.row([direction.to_owned(), rule.text.clone(), rule.peer.clone()]);
        }
    }
    format!("{pairs}\n{}", table.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str, peer: &str) -> Rule {
        Rule { text: text.into(), peer: peer.into(), ..Rule::default() }
    }

    #[test]
    fn a_group_shows_its_rules() {
        let mut group = SecurityGroup {
            id: "sg-1".into(),
            name: "web".into(),
            ingress: vec![rule("tcp:443:0.0.0.0/0", "0.0.0.0/0"), rule("all:sg=web", "sg-1")],
            ..SecurityGroup::default()
        };
        let vpc = Vpc { id: "vpc-1".into(), name: "blue".into(), ..Vpc::default() };
        assert_eq!(
            security_group(&vpc, &group),
            "security-group  blue/web\n\
             id              sg-1\n\
             vpc             vpc-1\n\
             \n\
             DIRECTION  RULE               PEER\n\
             ingress    tcp:443:0.0.0.0/0  0.0.0.0/0\n\
             ingress    all:sg=web         sg-1\n"
        );
        group.ingress.push(rule("udp:53:::/0", "::/0"));
        assert_eq!(
            security_groups(&[Vpc { security_groups: vec![group], ..vpc }]),
            "SECURITY GROUP  ID    INGRESS                                EGRESS\n\
             blue/web        sg-1  tcp:443:0.0.0.0/0, all:sg=web, 1 more  nothing\n"
        );
    }
}
