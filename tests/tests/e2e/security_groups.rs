//! Security groups and prefix lists are declared, updated and deleted.

use enid_api::v1::delete_network_object_request::Object;
use enid_api::v1::{
    CreateTaskRequest, DeleteNetworkObjectRequest, IdleTimeouts, ListUpdate, PrefixList, SecurityGroup,
    UpdatePrefixListRequest, UpdateSecurityGroupRequest,
};
use enid_testbed::{Host, new_task};
use tonic::{Code, Status};

use crate::networks::{host, vpc, vpcs};

/// Groups that refer to each other and to a prefix list, in a VPC of their own.
const POLICY: &str = r#"
[[vpc]]
name = "shop"
ipv4_cidr = "10.1.0.0/16"
ipv6_cidr = "fd00:b::/56"
uplink = "nat"

[[vpc.prefix_list]]
name = "corporate"
entries = ["192.0.2.0/24", "2001:db8::/32"]

[[vpc.security_group]]
name = "web"
ingress = [
  { protocol = "tcp", ports = 443, prefix_list = "corporate" },
  { protocol = "icmp", icmp_type = 8, icmp_code = 0, cidr = "0.0.0.0/0" },
]

[[vpc.security_group]]
name = "db"
ingress = [{ protocol = "tcp", ports = "5432-5433", security_group = "web" }]
egress = []
"#;

fn host_with_policy() -> Host {
    let host = host();
    host.apply(POLICY);
    host
}

fn group(host: &Host, name: &str) -> SecurityGroup {
    vpc(host, "shop").security_groups.into_iter().find(|group| group.name == name).unwrap()
}

fn prefix_list(host: &Host) -> PrefixList {
    vpc(host, "shop").prefix_lists.into_iter().find(|list| list.name == "corporate").unwrap()
}

/// The short forms of a group's rules.
fn rules(host: &Host, name: &str) -> [Vec<String>; 2] {
    let group = group(host, name);
    [group.ingress, group.egress].map(|rules| rules.into_iter().map(|rule| rule.text).collect())
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn remove_and_add(remove: &[&str], add: &[&str]) -> ListUpdate {
    ListUpdate { clear: false, remove: owned(remove), add: owned(add) }
}

fn replace(add: &[&str]) -> ListUpdate {
    ListUpdate { clear: true, remove: Vec::new(), add: owned(add) }
}

fn update_group(host: &Host, request: UpdateSecurityGroupRequest) -> Result<Vec<String>, Status> {
    let answer = host.call(async |client| client.networks().update_security_group(request).await);
    answer.map(|answer| answer.changes)
}

/// Updates the ingress rules of the group `web`.
fn update_ingress(host: &Host, ingress: ListUpdate) -> Result<Vec<String>, Status> {
    let security_group = "shop/web".to_owned();
    let request = UpdateSecurityGroupRequest { security_group, ingress: Some(ingress), ..Default::default() };
    update_group(host, request)
}

fn update_list(host: &Host, entries: ListUpdate, dry_run: bool) -> Result<Vec<String>, Status> {
    let prefix_list = "shop/corporate".to_owned();
    let request = UpdatePrefixListRequest { prefix_list, entries: Some(entries), dry_run };
    let answer = host.call(async |client| client.networks().update_prefix_list(request).await);
    answer.map(|answer| answer.changes)
}

fn delete(host: &Host, object: Object) -> Result<(), Status> {
    let request = DeleteNetworkObjectRequest { object: Some(object) };
    host.call(async |client| client.networks().delete(request).await).map(|_| ())
}

#[test]
fn what_a_file_declares_is_listed_in_full() {
    let host = host_with_policy();
    let everything = owned(&["all:0.0.0.0/0", "all:::/0"]);
    let [web, db] = [rules(&host, "web"), rules(&host, "db")];
    assert_eq!(web, [owned(&["tcp:443:pl=corporate", "icmp:8/0:0.0.0.0/0"]), everything.clone()]);
    assert_eq!(db, [owned(&["tcp:5432-5433:sg=web"]), vec![]]);
    assert_eq!(rules(&host, "default"), [owned(&["all:sg=default"]), everything]);
    let ping = &group(&host, "web").ingress[1];
    assert_eq!((ping.icmp_type, ping.icmp_code, &*ping.protocol), (Some(8), Some(0), "icmp"));
    assert_eq!(group(&host, "web").ingress[0].peer, prefix_list(&host).id);
    assert_eq!(group(&host, "db").ingress[0].peer, group(&host, "web").id);
    assert_eq!(prefix_list(&host).entries, ["192.0.2.0/24", "2001:db8::/32"]);
    assert_eq!(host.apply(POLICY), [""; 0]);
}

#[test]
fn a_group_is_updated_and_stays_so() {
    let mut host = host_with_policy();
    let before = vpcs(&host);
    let request = |dry_run| UpdateSecurityGroupRequest {
        security_group: "web".to_owned(),
        ingress: Some(remove_and_add(
            &["tcp:443:pl=corporate"],
            &["tcp:8000-8080:sg=db", "icmp:8/0:0.0.0.0/0"],
        )),
        egress: Some(replace(&["icmpv6:2:::/0"])),
        dry_run,
    };
    let changes = [
        "~ security-group web of vpc shop: - ingress tcp:443:pl=corporate",
        "~ security-group web of vpc shop: + ingress tcp:8000-8080:sg=db",
        "~ security-group web of vpc shop: - egress all:0.0.0.0/0",
        "~ security-group web of vpc shop: - egress all:::/0",
        "~ security-group web of vpc shop: + egress icmpv6:2:::/0",
    ];
    assert_eq!(update_group(&host, request(true)).unwrap(), changes);
    assert_eq!(vpcs(&host), before, "a dry run changes nothing");
    assert_eq!(update_group(&host, request(false)).unwrap(), changes);
    let after = [owned(&["icmp:8/0:0.0.0.0/0", "tcp:8000-8080:sg=db"]), owned(&["icmpv6:2:::/0"])];
    assert_eq!(rules(&host, "web"), after);
    host.restart_daemon();
    assert_eq!(rules(&host, "web"), after);
    // The file says otherwise, and each line of the answer says how.
    assert_eq!(
        host.apply(POLICY),
        [
            "~ security-group web of vpc shop: - ingress tcp:8000-8080:sg=db",
            "~ security-group web of vpc shop: + ingress tcp:443:pl=corporate",
            "~ security-group web of vpc shop: - egress icmpv6:2:::/0",
            "~ security-group web of vpc shop: + egress all:0.0.0.0/0",
            "~ security-group web of vpc shop: + egress all:::/0",
        ]
    );
}

#[test]
fn a_prefix_list_is_updated() {
    let host = host_with_policy();
    let entries = || remove_and_add(&["2001:db8::/32"], &["192.0.2.0/24", "198.51.100.0/24"]);
    let changes = [
        "~ prefix-list corporate of vpc shop: - 2001:db8::/32",
        "~ prefix-list corporate of vpc shop: + 198.51.100.0/24",
    ];
    assert_eq!(update_list(&host, entries(), true).unwrap(), changes);
    assert_eq!(prefix_list(&host).entries, ["192.0.2.0/24", "2001:db8::/32"]);
    assert_eq!(update_list(&host, entries(), false).unwrap(), changes);
    assert_eq!(prefix_list(&host).entries, ["192.0.2.0/24", "198.51.100.0/24"]);
    let error = update_list(&host, entries(), false).unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    assert_eq!(
        error.message(),
        "prefix-list corporate of vpc shop: there is no entry 2001:db8::/32 to remove"
    );
}

#[test]
fn one_bad_rule_of_an_update_changes_nothing() {
    let host = host_with_policy();
    let before = vpcs(&host);
    let many: Vec<String> = (1..=59).map(|port| format!("tcp:{port}:::/0")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let red = vpc(&host, "red").security_groups[0].id.clone();
    let of_red = format!("all:sg={red}");
    for (update, code, sentence) in [
        (
            remove_and_add(&[], &["all:::/0", "esp:443:::/0"]),
            Code::InvalidArgument,
            "`esp:443:::/0` is not a rule: only rules for tcp and udp have ports".to_owned(),
        ),
        (
            remove_and_add(&[], &["tcp:90-80:::/0"]),
            Code::InvalidArgument,
            "`tcp:90-80:::/0` is not a rule: `90-80` is not a port range: the range is upside down".to_owned(),
        ),
        (
            replace(&["icmp:256:::/0"]),
            Code::InvalidArgument,
            "`icmp:256:::/0` is not a rule: `256` is not an ICMP type: expected".to_owned(),
        ),
        (
            remove_and_add(&[], &["all:::/0", "all:sg=nobody"]),
            Code::FailedPrecondition,
            "security-group web of vpc shop: ingress rule all:sg=nobody: there is no security group `nobody` in vpc shop"
                .to_owned(),
        ),
        (
            remove_and_add(&[], &[&of_red]),
            Code::FailedPrecondition,
            format!("there is no security group `{red}` in vpc shop: vpc red has one, but a rule's peer is of the"),
        ),
        (
            remove_and_add(&["all:::/0"], &["tcp:1:::/0"]),
            Code::FailedPrecondition,
            "security-group web of vpc shop: there is no ingress rule all:::/0 to remove".to_owned(),
        ),
        (
            remove_and_add(&[], &many),
            Code::FailedPrecondition,
            "security-group web of vpc shop: it may have at most 60 ingress rules, and would have 61".to_owned(),
        ),
    ] {
        let error = update_ingress(&host, update).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(&sentence), "{error}: {sentence}");
    }
    let request = UpdateSecurityGroupRequest { security_group: "nope".to_owned(), ..Default::default() };
    let error = update_group(&host, request).unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error}");
    assert_eq!(vpcs(&host), before);
}

#[test]
fn one_bad_rule_of_a_file_changes_nothing() {
    let host = host_with_policy();
    let before = vpcs(&host);
    let web = r#"{ protocol = "tcp", ports = 443, prefix_list = "corporate" }"#;
    assert!(POLICY.contains(web));
    for (rule, place, reason) in [
        (
            r#"{ protocol = "esp", ports = 443, cidr = "::/0" }"#,
            "ports",
            "ports are for tcp and udp, and the rule's protocol is esp",
        ),
        (
            r#"{ protocol = "tcp", ports = "90-80", cidr = "::/0" }"#,
            "ports",
            "`90-80` is not a port range: the range is upside down",
        ),
        (
            r#"{ protocol = "icmp", icmp_type = 256, cidr = "0.0.0.0/0" }"#,
            "icmp_type",
            "`256` is not an ICMP type",
        ),
        (
            r#"{ protocol = "icmp", icmp_type = 3, icmp_code = 300, cidr = "0.0.0.0/0" }"#,
            "icmp_code",
            "`300` is not an ICMP code",
        ),
        (
            r#"{ protocol = "tcp", icmp_type = 8, cidr = "::/0" }"#,
            "icmp_type",
            "types and codes are for icmp and icmpv6",
        ),
        (
            r#"{ security_group = "g1" }"#,
            "security_group",
            "this file's VPC has no group `g1`; it has web, db, default",
        ),
        (
            r#"{ prefix_list = "partners" }"#,
            "prefix_list",
            "this file's VPC has no prefix list `partners`; it has corporate",
        ),
    ] {
        // Beside the bad rule the file has a change that would be made without it.
        let file = POLICY.replace(web, rule).replace("5432-5433", "5432");
        let error = host.try_apply(&file, false).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        let line = error.message();
        assert!(line.starts_with("network.toml:15:"), "{error}");
        assert!(line.contains(&format!("vpc[0].security_group[0].ingress[0].{place}: {reason}")), "{error}");
        assert_eq!(line.lines().count(), 1, "{error}");
    }
    // What only the daemon can tell: an identifier that is another VPC's.
    let red = vpc(&host, "red").security_groups[0].id.clone();
    let file = POLICY.replace(web, &format!("{{ security_group = \"{red}\" }}")).replace("5432-5433", "5432");
    let error = host.try_apply(&file, false).unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    assert!(
        error.message().contains(&format!("there is no security group `{red}` in vpc shop: vpc red has one")),
        "{error}"
    );
    assert_eq!(vpcs(&host), before);
}

#[test]
fn what_rules_or_enis_use_is_not_deleted_and_then_is() {
    let host = host_with_policy();
    let refused = |object: Object, sentence: &str| {
        let error = delete(&host, object).unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
        assert!(error.message().contains(sentence), "{error}");
    };
    let (web, corporate) =
        (|| Object::SecurityGroup("shop/web".into()), || Object::PrefixList("corporate".into()));
    refused(web(), "can't be removed: rules of db refer to it; change those first");
    refused(corporate(), "can't be removed: rules of web refer to it; change those first");
    refused(
        Object::SecurityGroup("shop/default".into()),
        "every VPC has one; removing VPC shop removes it too",
    );

    let request = CreateTaskRequest { security_groups: owned(&["web"]), ..new_task("task", "shop/a") };
    host.create_as(&request).unwrap();
    delete(&host, Object::SecurityGroup("db".into())).unwrap();
    refused(web(), "security group web is in use by task task; delete the task first");
    host.delete("task");
    delete(&host, web()).unwrap();
    delete(&host, corporate()).unwrap();
    let error = delete(&host, corporate()).unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error}");
    assert_eq!(vpc(&host, "shop").security_groups.len(), 1);
}

#[test]
fn an_eni_has_five_groups_and_keeps_its_idle_timeouts() {
    let mut host = host();
    let request = CreateTaskRequest {
        security_groups: owned(&["g1", "g2", "g3", "g4", "g5"]),
        idle_timeouts: Some(IdleTimeouts { tcp_established: Some(350), udp: None, udp_stream: Some(60) }),
        ..new_task("web", "red/a")
    };
    let task = host.create_as(&request).unwrap();
    let eni = task.eni.clone().unwrap();
    assert_eq!(eni.security_group_ids.len(), 5);
    let timeouts = IdleTimeouts { tcp_established: Some(350), udp: Some(30), udp_stream: Some(60) };
    assert_eq!(eni.idle_timeouts, Some(timeouts));
    assert_eq!(host.create_as(&request).unwrap(), task);
    // The same, by their VPC; and no other VPC's.
    let named = owned(&["red/g1", "g2", "red/g3", "red/g4", "g5"]);
    assert_eq!(
        host.create_as(&CreateTaskRequest { security_groups: named, ..request.clone() }).unwrap(),
        task
    );
    let strange = CreateTaskRequest { security_groups: owned(&["blue/g1"]), ..new_task("strange", "red/a") };
    let error = host.create_as(&strange).unwrap_err();
    assert_eq!(error.message(), "security group `blue/g1`: it has to be of vpc red");
    host.restart_daemon();
    assert_eq!(host.tasks(), [task]);
    let default = host.create("default", "red/a").eni.unwrap().idle_timeouts;
    let defaults = IdleTimeouts { tcp_established: Some(432_000), udp: Some(30), udp_stream: Some(180) };
    assert_eq!(default, Some(defaults));
}
