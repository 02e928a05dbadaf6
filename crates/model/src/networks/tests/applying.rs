//! What applying a file changes, and what it refuses.

use super::{FILE, networks, shown, spec};
use crate::{Networks, Object, Peer, Protocol};

/// Asserts what applying the file to the networks of [`FILE`] changes; the result.
#[track_caller]
fn changed(text: &str, lines: &[&str]) -> Networks {
    let (networks, changes) = networks().apply(&spec(text)).unwrap();
    assert_eq!(shown(&changes), lines);
    networks
}

/// Asserts that applying the file to the networks of [`FILE`] is refused with exactly these lines.
#[track_caller]
fn refused(text: &str, lines: &[&str]) {
    let error = networks().apply(&spec(text)).unwrap_err();
    assert_eq!(error.refusals().len(), lines.len());
    assert_eq!(error.to_string().lines().collect::<Vec<_>>(), lines);
}

#[test]
fn what_is_new_is_added() {
    let (networks, changes) = Networks::default().apply(&spec(FILE)).unwrap();
    assert_eq!(
        shown(&changes),
        [
            "+ vpc blue (vpc-…) 10.0.0.0/16",
            "+ subnet a (subnet-…) of vpc blue: 10.0.0.0/24 in zone z",
            "+ subnet b (subnet-…) of vpc blue: 10.0.1.0/24 in zone z",
            "+ security-group default (sg-…) of vpc blue: 1 ingress rule, 2 egress rules",
            "+ security-group web (sg-…) of vpc blue: 2 ingress rules, 2 egress rules",
            "+ vpc red (vpc-…) 10.0.0.0/16 fd00::/56",
            "+ subnet a (subnet-…) of vpc red: 10.0.0.0/24 fd00::/64 in zone z",
            "+ security-group default (sg-…) of vpc red: 1 ingress rule, 2 egress rules",
        ]
    );
    let blue = networks.vpc("blue").unwrap();
    assert_eq!(changes[0].object, Object::Vpc(blue.id));
    assert!(changes[..5].iter().all(|change| change.vpc == blue.id));
}

#[test]
fn the_default_group_lets_its_members_in_and_everything_out() {
    let networks = networks();
    let group = networks.vpc("blue").unwrap().security_group("default").unwrap();
    assert_eq!(group.ingress.len(), 1);
    assert_eq!(group.ingress[0].peer, Peer::SecurityGroup(group.id));
    let peers: Vec<&Peer> = group.egress.iter().map(|rule| &rule.peer).collect();
    assert_eq!(peers, Peer::anywhere().iter().collect::<Vec<_>>());
    let rules = group.ingress.iter().chain(&group.egress);
    assert!(rules.into_iter().all(|rule| rule.protocol == Protocol::All && rule.ports.is_none()));
}

#[test]
fn nothing_changes_the_second_time() {
    assert_eq!(changed(FILE, &[]).vpcs().len(), 2);
}

#[test]
fn what_the_file_does_not_mention_stays() {
    let before = networks();
    let text = "[[vpc]]\nname = 'red'\nipv4_cidr = '10.0.0.0/16'\nipv6_cidr = 'fd00::/56'\nuplink = 'nat'\n";
    assert_eq!(before.apply(&spec(text)).unwrap(), (before.clone(), vec![]));
    assert_eq!(before.apply(&spec("")).unwrap(), (before.clone(), vec![]));
}

#[test]
fn a_vpcs_own_fields_are_updated_in_place() {
    let text = "[[vpc]]\nname = 'blue'\nipv4_cidr = '10.0.0.0/16'\nipv6_cidr = 'fd00::/48'\nuplink = 'nat'\n\
                domain = 'corp'\ndns_servers = ['10.0.0.2', 'fd00::2']\n";
    let after = changed(
        text,
        &["~ vpc blue: ipv6_cidr none → fd00::/48, uplink none → nat, domain internal → corp, \
           dns_servers none → 10.0.0.2 fd00::2"],
    );
    let names: Vec<&str> = after.vpcs().iter().map(|vpc| vpc.name.as_str()).collect();
    assert_eq!(names, ["blue", "red"]);
}

#[test]
fn identifiers_are_kept() {
    let before = networks();
    let (after, _) = before.apply(&spec(&FILE.replace("443", "444"))).unwrap();
    let [old, new] = [&before, &after].map(|networks| networks.security_group("web").unwrap().1);
    assert_eq!(old.id, new.id);
    assert_ne!(old.ingress, new.ingress);
}

#[test]
fn a_declared_groups_rules_are_replaced() {
    let vpc = "[[vpc]]\nname = 'blue'\nipv4_cidr = '10.0.0.0/16'\n";
    let group = |body: &str| format!("{vpc}[[vpc.security_group]]\nname = 'web'\n{body}");
    changed(
        &group("ingress = [{cidr = '::/0'}, {cidr = '0.0.0.0/0'}, {security_group = 'default'}]\n"),
        &[
            "~ security-group web of vpc blue: - ingress tcp:443:0.0.0.0/0",
            "~ security-group web of vpc blue: - ingress all:sg=web",
            "~ security-group web of vpc blue: + ingress all:::/0",
            "~ security-group web of vpc blue: + ingress all:0.0.0.0/0",
            "~ security-group web of vpc blue: + ingress all:sg=default",
        ],
    );
    changed(
        &group("ingress = [{security_group = 'web'}, {cidr = '0.0.0.0/0'}]\negress = [{cidr = '::/0'}]\n"),
        &[
            "~ security-group web of vpc blue: - ingress tcp:443:0.0.0.0/0",
            "~ security-group web of vpc blue: + ingress all:0.0.0.0/0",
            "~ security-group web of vpc blue: - egress all:0.0.0.0/0",
        ],
    );
    changed(
        &group("egress = []\n"),
        &[
            "~ security-group web of vpc blue: - ingress tcp:443:0.0.0.0/0",
            "~ security-group web of vpc blue: - ingress all:sg=web",
            "~ security-group web of vpc blue: - egress all:0.0.0.0/0",
            "~ security-group web of vpc blue: - egress all:::/0",
        ],
    );
    changed(
        &format!("{vpc}[[vpc.security_group]]\nname = 'default'\n"),
        &["~ security-group default of vpc blue: - ingress all:sg=default"],
    );
}

#[test]
fn rules_refer_to_groups_in_any_order() {
    let text = "[[vpc]]\nname = 'blue'\nipv4_cidr = '10.0.0.0/16'\n[[vpc.security_group]]\nname = 'app'\n\
                ingress = [{security_group = 'front'}]\n[[vpc.security_group]]\nname = 'front'\n";
    let networks = changed(
        text,
        &[
            "+ security-group app (sg-…) of vpc blue: 1 ingress rule, 2 egress rules",
            "+ security-group front (sg-…) of vpc blue: 0 ingress rules, 2 egress rules",
        ],
    );
    let blue = networks.vpc("blue").unwrap();
    let [app, front] = ["app", "front"].map(|name| blue.security_group(name).unwrap());
    assert_eq!(app.ingress[0].peer, Peer::SecurityGroup(front.id));
}

#[test]
fn rules_in_another_order_are_the_same() {
    let text = FILE.replace(
        "ingress = [{ protocol = \"tcp\", ports = 443, cidr = \"0.0.0.0/0\" }, { security_group = \"web\" }]",
        "ingress = [{ security_group = \"web\" }, { protocol = \"tcp\", ports = 443, cidr = \"0.0.0.0/0\" }]",
    );
    assert_ne!(text, FILE);
    let before = networks();
    assert_eq!(before.apply(&spec(&text)).unwrap(), (before, vec![]));
}

/// VPC blue with a prefix list of these entries, and a group whose rule refers to it.
fn with_list(entries: &str) -> String {
    format!(
        "[[vpc]]\nname = 'blue'\nipv4_cidr = '10.0.0.0/16'\n\
         [[vpc.prefix_list]]\nname = 'corporate'\nentries = [{entries}]\n\
         [[vpc.security_group]]\nname = 'db'\ningress = [{{protocol = 'tcp', ports = 5432, prefix_list = 'corporate'}}]\n"
    )
}

#[test]
fn prefix_lists_are_added_and_their_entries_replaced() {
    let networks = changed(
        &with_list("'10.8.0.0/16', 'fd00::/8'"),
        &[
            "+ prefix-list corporate (pl-…) of vpc blue: 2 entries",
            "+ security-group db (sg-…) of vpc blue: 1 ingress rule, 2 egress rules",
        ],
    );
    let blue = networks.vpc("blue").unwrap();
    let list = blue.prefix_list("corporate").unwrap();
    assert_eq!(blue.security_group("db").unwrap().ingress[0].peer, Peer::PrefixList(list.id));

    let (after, changes) = networks.apply(&spec(&with_list("'fd00::/8', '10.9.0.0/16'"))).unwrap();
    assert_eq!(
        shown(&changes),
        [
            "~ prefix-list corporate of vpc blue: - 10.8.0.0/16",
            "~ prefix-list corporate of vpc blue: + 10.9.0.0/16"
        ]
    );
    assert!(changes.iter().all(|change| change.object == Object::PrefixList(list.id)));
    assert_eq!(after.prefix_list("corporate").unwrap().1.id, list.id);
    let reordered = spec(&with_list("'10.9.0.0/16', 'fd00::/8'"));
    assert_eq!(after.apply(&reordered).unwrap(), (after.clone(), vec![]));

    let many: Vec<String> = (0..30).map(|number| format!("'10.{number}.0.0/16'")).collect();
    let (_, changes) = after.apply(&spec(&with_list(&many.join(",")))).unwrap();
    assert_eq!(shown(&changes), ["~ prefix-list corporate of vpc blue: 1 removed, 29 added, 30 now"]);
}

#[test]
fn a_peer_by_identifier_is_of_the_rules_own_vpc() {
    let before = networks();
    let [own, other] = ["blue/default", "red/default"].map(|name| before.security_group(name).unwrap().1.id);
    let file = |peer: &str| {
        let text =
            "[[vpc]]\nname = 'blue'\nipv4_cidr = '10.0.0.0/16'\n[[vpc.security_group]]\nname = 'web'\n";
        spec(&format!("{text}ingress = [{{protocol = 'udp', {peer}}}]\n"))
    };
    let (after, _) = before.apply(&file(&format!("security_group = '{own}'"))).unwrap();
    assert_eq!(after.security_group("web").unwrap().1.ingress[0].peer, Peer::SecurityGroup(own));
    let error = before.apply(&file(&format!("security_group = '{other}'"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "security-group web of vpc blue: ingress rule udp:all:sg={other}: there is no security group `{other}` in \
             vpc blue: vpc red has one, but a rule's peer is of the rule's own VPC"
        )
    );
    let error = before.apply(&file("prefix_list = 'pl-00000000000000000'")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "security-group web of vpc blue: ingress rule udp:all:pl=pl-00000000000000000: there is no prefix list \
         `pl-00000000000000000` in vpc blue"
    );
}

#[test]
fn a_new_family_and_its_subnet_come_together() {
    changed(
        "[[vpc]]\nname = 'blue'\nipv4_cidr = '10.0.0.0/16'\nipv6_cidr = 'fd00::/56'\n\
         [[vpc.subnet]]\nname = 'c'\nzone = 'z'\nipv6_cidr = 'fd00::/64'\n",
        &["~ vpc blue: ipv6_cidr none → fd00::/56", "+ subnet c (subnet-…) of vpc blue: fd00::/64 in zone z"],
    );
}

#[test]
fn blocks_and_zones_of_what_exists_are_fixed() {
    refused(
        "[[vpc]]\nname = 'blue'\nipv4_cidr = '10.0.0.0/20'\n",
        &[
            "vpc blue: ipv4_cidr is 10.0.0.0/16 and can't become 10.0.0.0/20: delete and recreate it, or use another name",
        ],
    );
    refused(
        "[[vpc]]\nname = 'red'\nipv4_cidr = '10.0.0.0/16'\nuplink = 'nat'\n",
        &[
            "vpc red: ipv6_cidr is fd00::/56 and can't become none: delete and recreate it, or use another name",
        ],
    );
    refused(
        "[[vpc]]\nname = 'blue'\nipv4_cidr = '10.0.0.0/16'\nipv6_cidr = 'fd00::/56'\n\
         [[vpc.subnet]]\nname = 'a'\nzone = 'y'\nipv4_cidr = '10.0.2.0/24'\nipv6_cidr = 'fd00::/64'\n",
        &[
            "subnet a of vpc blue: ipv4_cidr is 10.0.0.0/24 and can't become 10.0.2.0/24: delete and recreate it, or use another name",
            "subnet a of vpc blue: ipv6_cidr is none and can't become fd00::/64: delete and recreate it, or use another name",
            "subnet a of vpc blue: zone is z and can't become y: delete and recreate it, or use another name",
        ],
    );
}

#[test]
fn a_new_subnet_must_not_overlap_one_that_the_file_does_not_mention() {
    refused(
        "[[vpc]]\nname = 'blue'\nipv4_cidr = '10.0.0.0/16'\n\
         [[vpc.subnet]]\nname = 'c'\nzone = 'z'\nipv4_cidr = '10.0.0.0/23'\n",
        &[
            "subnet c of vpc blue: 10.0.0.0/23 overlaps 10.0.0.0/24 of the existing subnet a",
            "subnet c of vpc blue: 10.0.0.0/23 overlaps 10.0.1.0/24 of the existing subnet b",
        ],
    );
}
