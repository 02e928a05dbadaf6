//! Each form of a rule lets through what it says and nothing else.

use enid::ForwardingMode;
use enid_api::v1::Task;
use enid_testbed::Host;

use super::lab::{self, Case, Rules, assert_cases, create, set_entries, set_rules};
use super::probe::{Icmp, Other, Probe, Tcp, Udp, V4, V6};
use crate::ledger::assert_closed;

super::both_ways!(
    a_port_range_of_a_block,
    icmp_types_and_codes,
    any_protocol_by_its_number,
    single_addresses_and_everywhere,
    a_prefix_list_that_changes,
    members_of_a_group_as_they_come_and_go,
    several_groups_are_merged,
    egress_rules_are_the_senders,
    a_new_group_lets_nothing_in_and_everything_out,
    the_default_group_lets_its_members_in,
);

/// Two tasks that may send anything, of different subnets, and one whose group's rules are to be set.
struct Trio {
    host: Host,
    near: Task,
    far: Task,
    target: Task,
}

impl Trio {
    #[track_caller]
    fn new(forwarding: ForwardingMode) -> Self {
        let host = lab::host(forwarding);
        let near = create(&host, "near", "a", &["open"]);
        let far = create(&host, "far", "b", &["open"]);
        let target = create(&host, "target", "a", &["target"]);
        Self { host, near, far, target }
    }

    fn ingress(&self, rules: &[&str]) {
        set_rules(&self.host, "target", Rules::Ingress, rules);
    }

    /// Probes of the target in both families from one task: what is to arrive over IPv4, and over IPv6.
    fn cases<'a>(&'a self, from: &'a Task, probes: &[(Probe, bool, bool)]) -> Vec<Case<'a>> {
        let both = probes.iter().flat_map(|(probe, ipv4, ipv6)| {
            [(from, &self.target, V4, *probe, *ipv4), (from, &self.target, V6, *probe, *ipv6)]
        });
        both.collect()
    }
}

fn a_port_range_of_a_block(forwarding: ForwardingMode) {
    let trio = Trio::new(forwarding);
    trio.ingress(&["tcp:8000-8002:10.5.0.0/24", "udp:9000:fd00:e::/64"]);
    let mut cases = trio.cases(
        &trio.near,
        &[
            (Tcp(7999), false, false),
            (Tcp(8000), true, false),
            (Tcp(8002), true, false),
            (Tcp(8003), false, false),
            (Tcp(9000), false, false),
            (Udp(8000), false, false),
            (Udp(9000), false, true),
            (Udp(9001), false, false),
            (Icmp(13, 0), false, false),
        ],
    );
    // Of another subnet, so not of the blocks.
    cases.extend(trio.cases(&trio.far, &[(Tcp(8000), false, false), (Udp(9000), false, false)]));
    assert_cases(&cases);
    assert_closed(&trio.host);
}

fn icmp_types_and_codes(forwarding: ForwardingMode) {
    let trio = Trio::new(forwarding);
    trio.ingress(&["icmp:8/0:0.0.0.0/0", "icmp:40:0.0.0.0/0", "icmpv6:128/0:::/0", "icmpv6:200/3:::/0"]);
    let message = |from, family, kind, code, arrives| (from, &trio.target, family, Icmp(kind, code), arrives);
    let from = &trio.near;
    assert_cases(&[
        message(from, V4, 8, 0, true),
        message(from, V4, 8, 1, false),
        message(from, V4, 13, 0, false),
        message(from, V4, 40, 0, true),
        message(from, V4, 40, 9, true),
        message(from, V4, 41, 0, false),
        message(from, V6, 128, 0, true),
        message(from, V6, 128, 1, false),
        message(from, V6, 200, 2, false),
        message(from, V6, 200, 3, true),
        message(from, V6, 201, 3, false),
        // Not told by the other family's protocol.
        message(from, V6, 40, 0, false),
        (from, &trio.target, V4, Udp(0x0800), false),
    ]);
    trio.ingress(&["icmp:all:0.0.0.0/0"]);
    assert_cases(&[message(from, V4, 13, 0, true), message(from, V6, 128, 0, false)]);
    assert_closed(&trio.host);
}

fn any_protocol_by_its_number(forwarding: ForwardingMode) {
    let trio = Trio::new(forwarding);
    trio.ingress(&["47:10.5.0.0/16", "253:fd00:e::/56"]);
    let probes = [
        (Other(47), true, false),
        (Other(253), false, true),
        (Other(254), false, false),
        (Tcp(47), false, false),
        (Udp(253), false, false),
    ];
    assert_cases(&trio.cases(&trio.near, &probes));
    trio.ingress(&["all:10.5.0.0/16"]);
    let probes =
        [(Other(47), true, false), (Tcp(80), true, false), (Udp(80), true, false), (Icmp(8, 0), true, false)];
    assert_cases(&trio.cases(&trio.far, &probes));
    assert_closed(&trio.host);
}

fn single_addresses_and_everywhere(forwarding: ForwardingMode) {
    let trio = Trio::new(forwarding);
    let [ipv4, ipv6] = [V4, V6].map(|family| family.address(&trio.near));
    trio.ingress(&[
        &format!("tcp:80:{ipv4}/32"),
        &format!("tcp:80:{ipv6}/128"),
        "tcp:443:0.0.0.0/0",
        "udp:443:::/0",
    ]);
    let probes = |own| [(Tcp(80), own, own), (Tcp(443), true, false), (Udp(443), false, true)];
    assert_cases(&trio.cases(&trio.near, &probes(true)));
    assert_cases(&trio.cases(&trio.far, &probes(false)));
    assert_closed(&trio.host);
}

fn a_prefix_list_that_changes(forwarding: ForwardingMode) {
    let trio = Trio::new(forwarding);
    trio.ingress(&["udp:80:pl=trusted"]);
    let cases = |near, far| {
        let mut cases = trio.cases(&trio.near, &[(Udp(80), near, near), (Udp(81), false, false)]);
        cases.extend(trio.cases(&trio.far, &[(Udp(80), far, far)]));
        cases
    };
    assert_cases(&cases(false, false));
    set_entries(&trio.host, &["10.5.0.0/24", "fd00:e::/64", "192.0.2.0/24"]);
    assert_cases(&cases(true, false));
    set_entries(&trio.host, &["192.0.2.0/24", "10.5.1.0/24", "fd00:e:0:1::/64"]);
    assert_cases(&cases(false, true));
    set_entries(&trio.host, &["10.5.0.0/23", "fd00:e::/63"]);
    assert_cases(&cases(true, true));
    set_entries(&trio.host, &[]);
    assert_cases(&cases(false, false));
    assert_closed(&trio.host);
}

fn members_of_a_group_as_they_come_and_go(forwarding: ForwardingMode) {
    let trio = Trio::new(forwarding);
    trio.ingress(&["udp:80:sg=friends"]);
    assert_cases(&trio.cases(&trio.near, &[(Udp(80), false, false)]));
    let friend = create(&trio.host, "friend", "b", &["friends"]);
    assert_cases(&trio.cases(&friend, &[(Udp(80), true, true), (Tcp(80), false, false)]));
    // Its addresses are another's, who is no friend.
    let eni = friend.eni.clone().unwrap();
    trio.host.delete("friend");
    let mut stranger = lab::member("stranger", "b", &["open"]);
    let without_prefix = |text: Option<String>| text.map(|text| text.split('/').next().unwrap().to_owned());
    (stranger.ipv4, stranger.ipv6) = (without_prefix(eni.ipv4), without_prefix(eni.ipv6));
    let stranger = trio.host.create_as(&stranger).unwrap();
    assert_eq!(V4.address(&stranger), V4.address(&friend));
    assert_cases(&trio.cases(&stranger, &[(Udp(80), false, false)]));
    let second = create(&trio.host, "second-friend", "a", &["open", "friends"]);
    assert_cases(&trio.cases(&second, &[(Udp(80), true, true)]));
    assert_closed(&trio.host);
}

fn several_groups_are_merged(forwarding: ForwardingMode) {
    let trio = Trio::new(forwarding);
    let merged = create(&trio.host, "merged", "b", &["second", "target"]);
    trio.ingress(&["udp:80:10.5.0.0/16"]);
    set_rules(&trio.host, "second", Rules::Ingress, &["udp:81:10.5.0.0/16", "udp:80:fd00:e::/56"]);
    let near = &trio.near;
    let mut cases = trio.cases(near, &[(Udp(80), true, false), (Udp(81), false, false)]);
    for (family, probe, arrives) in [
        (V4, Udp(80), true),
        (V4, Udp(81), true),
        (V4, Udp(82), false),
        (V6, Udp(80), true),
        (V6, Udp(81), false),
    ] {
        cases.push((near, &merged, family, probe, arrives));
    }
    assert_cases(&cases);
    assert_closed(&trio.host);
}

fn egress_rules_are_the_senders(forwarding: ForwardingMode) {
    let trio = Trio::new(forwarding);
    let (near, far, sender) = (&trio.near, &trio.far, &trio.target);
    set_rules(
        &trio.host,
        "target",
        Rules::Egress,
        &["udp:80:10.5.1.0/24", "tcp:80:sg=open", "icmpv6:128:::/0"],
    );
    assert_cases(&[
        (sender, far, V4, Udp(80), true),
        (sender, far, V4, Udp(81), false),
        (sender, far, V6, Udp(80), false),
        (sender, near, V4, Udp(80), false),
        (sender, near, V4, Tcp(80), true),
        (sender, far, V6, Tcp(80), true),
        (sender, far, V4, Tcp(81), false),
        (sender, near, V6, Icmp(128, 0), true),
        (sender, near, V4, Icmp(8, 0), false),
        (sender, near, V4, Other(47), false),
    ]);
    set_rules(&trio.host, "target", Rules::Egress, &[]);
    assert_cases(&[(sender, far, V4, Udp(80), false), (sender, near, V4, Tcp(80), false)]);
    assert_closed(&trio.host);
}

fn a_new_group_lets_nothing_in_and_everything_out(forwarding: ForwardingMode) {
    let trio = Trio::new(forwarding);
    let probes = [Tcp(80), Udp(80), Icmp(8, 0), Other(47)];
    let refused: Vec<_> = probes.iter().map(|probe| (*probe, false, false)).collect();
    assert_cases(&trio.cases(&trio.near, &refused));
    let out = probes.iter().flat_map(|probe| {
        [(&trio.target, &trio.far, V4, *probe, true), (&trio.target, &trio.near, V6, *probe, true)]
    });
    // Type 8 is an echo request of ICMP alone.
    let out: Vec<_> = out.filter(|case| (case.2, case.3) != (V6, Icmp(8, 0))).collect();
    assert_cases(&out);
    assert_closed(&trio.host);
}

fn the_default_group_lets_its_members_in(forwarding: ForwardingMode) {
    let trio = Trio::new(forwarding);
    // Who asks for no group is in it.
    let (one, two) = (create(&trio.host, "one", "a", &[]), create(&trio.host, "two", "b", &["default"]));
    let mut cases = Vec::new();
    for (probe, family) in [(Tcp(80), V4), (Tcp(80), V6), (Udp(80), V4), (Icmp(8, 0), V4), (Icmp(128, 0), V6)]
    {
        cases.push((&one, &two, family, probe, true));
        cases.push((&two, &one, family, probe, true));
        cases.push((&trio.near, &one, family, probe, false));
        cases.push((&one, &trio.near, family, probe, true));
    }
    assert_cases(&cases);
    assert_closed(&trio.host);
}
