//! What updating one group or one prefix list changes, and what it refuses.

use super::{networks, shown, spec};
use crate::{ApplyError, Change, ListUpdate, Networks, PrefixListId, RuleSpec, SecurityGroupId};

fn rules(texts: &[&str]) -> Vec<RuleSpec> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn remove_and_add(remove: &[&str], add: &[&str]) -> ListUpdate<RuleSpec> {
    ListUpdate { clear: false, remove: rules(remove), add: rules(add) }
}

fn replace(add: &[&str]) -> ListUpdate<RuleSpec> {
    ListUpdate { clear: true, remove: Vec::new(), add: rules(add) }
}

/// Updates the ingress rules of the group `web` of VPC blue: `tcp:443:0.0.0.0/0` and `all:sg=web`.
fn ingress(update: &ListUpdate<RuleSpec>) -> Result<(Networks, Vec<Change>), ApplyError> {
    let networks = networks();
    let id = networks.security_group("web").unwrap().1.id;
    networks.update_security_group(id, update, &ListUpdate::default())
}

#[track_caller]
fn changed(update: &ListUpdate<RuleSpec>, lines: &[&str], left: &[&str]) {
    let (networks, changes) = ingress(update).unwrap();
    let lines: Vec<String> =
        lines.iter().map(|line| format!("~ security-group web of vpc blue: {line}")).collect();
    assert_eq!(shown(&changes), lines);
    let (vpc, group) = networks.security_group("web").unwrap();
    let texts: Vec<String> = group.ingress.iter().map(|rule| vpc.rule_text(rule)).collect();
    assert_eq!(texts, left);
    assert_eq!(stored(&networks), networks);
}

/// The same networks, read back from what is stored.
fn stored(networks: &Networks) -> Networks {
    serde_json::from_str(&serde_json::to_string(networks).unwrap()).unwrap()
}

#[track_caller]
fn refused(update: &ListUpdate<RuleSpec>, lines: &[&str]) {
    let lines: Vec<String> =
        lines.iter().map(|line| format!("security-group web of vpc blue: {line}")).collect();
    assert_eq!(ingress(update).unwrap_err().to_string().lines().collect::<Vec<_>>(), lines);
}

#[test]
fn rules_are_added_and_removed() {
    changed(
        &remove_and_add(&["tcp:443:0.0.0.0/0"], &["icmp:8/0:0.0.0.0/0", "tcp:80:sg=default"]),
        &["- ingress tcp:443:0.0.0.0/0", "+ ingress icmp:8/0:0.0.0.0/0", "+ ingress tcp:80:sg=default"],
        &["all:sg=web", "icmp:8/0:0.0.0.0/0", "tcp:80:sg=default"],
    );
}

#[test]
fn a_direction_is_replaced_or_emptied() {
    changed(
        &replace(&["all:sg=web", "udp:53:::/0"]),
        &["- ingress tcp:443:0.0.0.0/0", "+ ingress udp:53:::/0"],
        &["all:sg=web", "udp:53:::/0"],
    );
    changed(&replace(&[]), &["- ingress tcp:443:0.0.0.0/0", "- ingress all:sg=web"], &[]);
}

#[test]
fn what_is_there_already_is_no_change() {
    let both = ["tcp:443:0.0.0.0/0", "all:sg=web"];
    changed(&remove_and_add(&[], &both), &[], &both);
    changed(&remove_and_add(&["all:sg=web"], &["all:sg=web"]), &[], &both);
    changed(&replace(&["all:sg=web", "tcp:443:0.0.0.0/0", "6:443:0.0.0.0/0"]), &[], &both);
    changed(&ListUpdate::default(), &[], &both);
}

#[test]
fn both_directions_change_together_or_not_at_all() {
    let networks = networks();
    let id = networks.security_group("web").unwrap().1.id;
    let (after, changes) =
        networks.update_security_group(id, &replace(&[]), &replace(&["tcp:5432:sg=default"])).unwrap();
    assert_eq!(changes.len(), 5);
    assert_eq!(after.vpc("red"), networks.vpc("red"));
    assert!(networks.update_security_group(id, &replace(&[]), &replace(&["all:sg=nobody"])).is_err());
}

#[test]
fn all_that_is_wrong_is_refused_together() {
    refused(
        &remove_and_add(&["tcp:444:0.0.0.0/0", "all:sg=api"], &["all:pl=corporate"]),
        &[
            "ingress rule all:sg=api: there is no security group `api` in vpc blue",
            "ingress rule all:pl=corporate: there is no prefix list `corporate` in vpc blue",
            "there is no ingress rule tcp:444:0.0.0.0/0 to remove",
        ],
    );
    let other_vpcs = "[[vpc]]\nname = 'red'\nipv4_cidr = '10.0.0.0/16'\nipv6_cidr = 'fd00::/56'\nuplink = 'nat'\n\
                      [[vpc.security_group]]\nname = 'api'\n";
    let (networks, _) = networks().apply(&spec(other_vpcs)).unwrap();
    let id = networks.security_group("web").unwrap().1.id;
    let error = networks
        .update_security_group(id, &ListUpdate::default(), &remove_and_add(&[], &["tcp:1:sg=api"]))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "security-group web of vpc blue: egress rule tcp:1:sg=api: there is no security group `api` in vpc blue: vpc red \
         has one, but a rule's peer is of the rule's own VPC"
    );
}

#[test]
fn a_direction_has_60_rules_at_most() {
    let texts: Vec<String> = (1..=61).map(|port| format!("tcp:{port}:sg=web")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert!(ingress(&replace(&texts[..60])).is_ok());
    refused(&replace(&texts), &["it may have at most 60 ingress rules, and would have 61"]);
    refused(&remove_and_add(&[], &texts[..59]), &["it may have at most 60 ingress rules, and would have 61"]);
}

#[test]
fn entries_of_a_prefix_list_change() {
    let text = "[[vpc]]\nname = 'blue'\nipv4_cidr = '10.0.0.0/16'\n\
                [[vpc.prefix_list]]\nname = 'corporate'\nentries = ['10.8.0.0/16', 'fd00::/8']\n";
    let (networks, _) = networks().apply(&spec(text)).unwrap();
    let id = networks.prefix_list("corporate").unwrap().1.id;
    let cidrs = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let update = ListUpdate {
        clear: false,
        remove: cidrs(&["fd00::/8"]),
        add: cidrs(&["10.8.0.0/16", "10.9.0.0/16"]),
    };
    let (after, changes) = networks.update_prefix_list(id, &update).unwrap();
    assert_eq!(
        shown(&changes),
        [
            "~ prefix-list corporate of vpc blue: - fd00::/8",
            "~ prefix-list corporate of vpc blue: + 10.9.0.0/16"
        ]
    );
    let error = after.update_prefix_list(id, &update).unwrap_err();
    assert_eq!(error.to_string(), "prefix-list corporate of vpc blue: there is no entry fd00::/8 to remove");
    let many =
        (0..1001).map(|number: u32| format!("10.{}.{}.0/24", number / 256, number % 256).parse().unwrap());
    let update = ListUpdate { clear: true, remove: Vec::new(), add: many.collect() };
    assert_eq!(
        networks.update_prefix_list(id, &update).unwrap_err().to_string(),
        "prefix-list corporate of vpc blue: it may have at most 1000 entries, and would have 1001"
    );
}

#[test]
fn what_is_not_there_is_named() {
    let (group, list) = (SecurityGroupId::random(), PrefixListId::random());
    let error = networks().update_security_group(group, &ListUpdate::default(), &ListUpdate::default());
    assert_eq!(error.unwrap_err().to_string(), format!("there is no security group {group}"));
    let error = networks().update_prefix_list(list, &ListUpdate::default());
    assert_eq!(error.unwrap_err().to_string(), format!("there is no prefix list {list}"));
}
