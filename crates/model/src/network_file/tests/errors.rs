//! Files that are refused, with the exact words.

use crate::NetworkSpec;

/// Asserts that the file is refused with exactly these lines.
#[track_caller]
fn refused(text: &str, lines: &[&str]) {
    let error = NetworkSpec::parse(text, "network.toml").unwrap_err();
    assert_eq!(error.to_string().lines().collect::<Vec<_>>(), lines);
}

/// The same, of a file that begins with three lines of a valid VPC; `text` begins on line 4.
#[track_caller]
fn refused_in_vpc(text: &str, lines: &[&str]) {
    refused(&format!("[[vpc]]\nname = \"a\"\nipv4_cidr = \"10.0.0.0/16\"\n{text}"), lines);
}

/// The same, of a rule that begins on line 7.
#[track_caller]
fn refused_in_rule(text: &str, lines: &[&str]) {
    let group = "[[vpc.security_group]]\nname = \"web\"\n[[vpc.security_group.ingress]]\n";
    refused_in_vpc(&format!("{group}{text}"), lines);
}

#[test]
fn syntax() {
    refused(
        "[[vpc]]\nname = \"a\n",
        &["network.toml:2:10: this is not TOML: invalid basic string, expected `\"`"],
    );
    refused("[[vpc]]\nname = \"a\"\nname = \"b\"\n", &["network.toml:3:1: this is not TOML: duplicate key"]);
    refused("[[vpc]\n", &["network.toml:1:7: this is not TOML: unclosed array table, expected `]`"]);
    refused("vpc = [", &["network.toml:1:8: this is not TOML: unclosed array, expected `]`"]);
}

#[test]
fn unknown_fields() {
    refused_in_vpc(
        "cidr = \"10.0.0.0/16\"\nup_link = \"nat\"\n",
        &[
            "network.toml:4:1: vpc[0].cidr: unknown field; did you mean `ipv4_cidr`? allowed: name, ipv4_cidr, ipv6_cidr, uplink, domain, dns_servers, subnet, prefix_list, security_group, flow_log",
            "network.toml:5:1: vpc[0].up_link: unknown field; did you mean `uplink`? allowed: name, ipv4_cidr, ipv6_cidr, uplink, domain, dns_servers, subnet, prefix_list, security_group, flow_log",
        ],
    );
    refused(
        "[[vcp]]\nname = \"a\"\n",
        &["network.toml:1:3: vcp: unknown field; did you mean `vpc`? allowed: vpc"],
    );
    refused_in_vpc(
        "[[vpc.subnet]]\nname = \"s\"\nzone = \"z\"\nipv4-cidr = \"10.0.0.0/24\"\n",
        &[
            "network.toml:4:1: vpc[0].subnet[0]: a subnet needs an address block: ipv4_cidr, ipv6_cidr or both",
            "network.toml:7:1: vpc[0].subnet[0].ipv4-cidr: unknown field; did you mean `ipv4_cidr`? allowed: name, zone, ipv4_cidr, ipv6_cidr",
        ],
    );
    refused_in_vpc(
        "[[vpc.security_group]]\nname = \"web\"\ningres = []\n",
        &[
            "network.toml:6:1: vpc[0].security_group[0].ingres: unknown field; did you mean `ingress`? allowed: name, ingress, egress",
        ],
    );
    refused_in_rule(
        "cidr = \"::/0\"\nport = 443\n",
        &[
            "network.toml:8:1: vpc[0].security_group[0].ingress[0].port: unknown field; did you mean `ports`? allowed: protocol, ports, icmp_type, icmp_code, cidr, security_group, prefix_list",
        ],
    );
    refused("\"a\\u001b\\n\" = 1\n", &["network.toml:1:1: a\\u{1b}\\n: unknown field; allowed: vpc"]);
}

#[test]
fn missing_fields() {
    refused(
        "\n[[vpc]]\n",
        &[
            "network.toml:2:1: vpc[0].name: missing: the VPC's name, unique on the host, as `name = \"blue\"`",
            "network.toml:2:1: vpc[0]: a VPC needs an address block: ipv4_cidr, ipv6_cidr or both",
        ],
    );
    refused_in_vpc(
        "[[vpc.subnet]]\n",
        &[
            "network.toml:4:1: vpc[0].subnet[0].name: missing: the subnet's name, unique in its VPC, as `name = \"a\"`",
            "network.toml:4:1: vpc[0].subnet[0].zone: missing: the availability zone, as `zone = \"local-a\"`",
            "network.toml:4:1: vpc[0].subnet[0]: a subnet needs an address block: ipv4_cidr, ipv6_cidr or both",
        ],
    );
    refused_in_vpc(
        "[[vpc.security_group]]\n",
        &[
            "network.toml:4:1: vpc[0].security_group[0].name: missing: the group's name, unique in its VPC, as `name = \"web\"`",
        ],
    );
    refused_in_rule(
        "protocol = \"tcp\"\n",
        &[
            "network.toml:6:1: vpc[0].security_group[0].ingress[0]: a rule needs a peer: cidr, security_group or prefix_list",
        ],
    );
}

#[test]
fn wrong_types() {
    refused("vpc = 3\n", &["network.toml:1:7: vpc: expected tables headed `[[vpc]]`, found an integer"]);
    refused(
        "[vpc]\nname = \"a\"\n",
        &["network.toml:1:1: vpc: expected tables headed `[[vpc]]`, found a table"],
    );
    refused(
        "vpc = [1, {}]\n",
        &[
            "network.toml:1:8: vpc[0]: expected a table, found an integer",
            "network.toml:1:11: vpc[1].name: missing: the VPC's name, unique on the host, as `name = \"blue\"`",
            "network.toml:1:11: vpc[1]: a VPC needs an address block: ipv4_cidr, ipv6_cidr or both",
        ],
    );
    refused_in_vpc(
        "uplink = true\ndomain = 1.5\ndns_servers = \"10.0.0.2\"\n",
        &[
            "network.toml:4:10: vpc[0].uplink: expected a string, found a boolean",
            "network.toml:5:10: vpc[0].domain: expected a string, found a float",
            "network.toml:6:15: vpc[0].dns_servers: expected an array of strings, found a string",
        ],
    );
    refused_in_vpc(
        "dns_servers = [1979-05-27, []]\n",
        &[
            "network.toml:4:16: vpc[0].dns_servers[0]: expected a string, found a date",
            "network.toml:4:28: vpc[0].dns_servers[1]: expected a string, found an array",
        ],
    );
    refused_in_vpc(
        "[vpc.subnet]\nname = \"s\"\n",
        &["network.toml:4:1: vpc[0].subnet: expected tables headed `[[vpc.subnet]]`, found a table"],
    );
    refused_in_rule(
        "cidr = 10\nports = [443]\nprotocol = {}\n",
        &[
            "network.toml:7:8: vpc[0].security_group[0].ingress[0].cidr: expected a string, found an integer",
            "network.toml:8:9: vpc[0].security_group[0].ingress[0].ports: expected a string or an integer, found an array",
            "network.toml:9:12: vpc[0].security_group[0].ingress[0].protocol: expected a string or an integer, found a table",
        ],
    );
}

#[test]
fn bad_values() {
    refused(
        "[[vpc]]\nname = \"a b\"\nipv4_cidr = \"10.0.0.1/16\"\nuplink = \"vxlan\"\n",
        &[
            "network.toml:2:8: vpc[0].name: `a b` is not a name: only letters, digits, `-`, `_` and `.` are allowed",
            "network.toml:3:13: vpc[0].ipv4_cidr: `10.0.0.1/16` is not an IPv4 CIDR: bits are set after the prefix; 10.0.0.0/16 is the block",
            "network.toml:4:10: vpc[0].uplink: `vxlan` is not an uplink: expected `nat` or `none`",
        ],
    );
    refused(
        "[[vpc]]\nname = \"\"\nipv6_cidr = \"10.0.0.0/16\"\n",
        &[
            "network.toml:2:8: vpc[0].name: `` is not a name: expected 1 to 63 characters",
            "network.toml:3:13: vpc[0].ipv6_cidr: `10.0.0.0/16` is not an IPv6 CIDR: expected the form `fd00::/56`",
        ],
    );
    refused_in_vpc(
        "domain = \"-\"\ndns_servers = [\"10.0.0.2\", \"dns.example\", \"0.0.0.0\"]\n",
        &[
            "network.toml:4:10: vpc[0].domain: `-` is not a name: it must begin with a letter or a digit",
            "network.toml:5:28: vpc[0].dns_servers[1]: `dns.example` is not the address of a resolver: expected the form `10.0.0.2` or `fd00::2`",
            "network.toml:5:43: vpc[0].dns_servers[2]: `0.0.0.0` is not the address of a resolver: expected the form `10.0.0.2` or `fd00::2`",
        ],
    );
    refused_in_vpc(
        "ipv6_cidr = \"fd00::/48\"\n[[vpc.subnet]]\nname = \"s\"\nzone = \"\"\nipv4_cidr = \"10.0\"\n",
        &[
            "network.toml:7:8: vpc[0].subnet[0].zone: `` is not a name: expected 1 to 63 characters",
            "network.toml:8:13: vpc[0].subnet[0].ipv4_cidr: `10.0` is not an IPv4 CIDR: expected the form `10.0.0.0/16`",
        ],
    );
    refused_in_rule(
        "protocol = \"stcp\"\ncidr = \"0.0.0.0\"\n",
        &[
            "network.toml:7:12: vpc[0].security_group[0].ingress[0].protocol: `stcp` is not a protocol: expected all, icmp, igmp, tcp, udp, dccp, gre, esp, ah, icmpv6, ospf, pim, vrrp, sctp or a number from 0 to 255",
            "network.toml:8:8: vpc[0].security_group[0].ingress[0].cidr: `0.0.0.0` is not an IPv4 CIDR: expected the form `10.0.0.0/16`",
        ],
    );
    refused_in_rule(
        "protocol = 256\nsecurity_group = \"a/b\"\n",
        &[
            "network.toml:7:12: vpc[0].security_group[0].ingress[0].protocol: `256` is not a protocol: expected all, icmp, igmp, tcp, udp, dccp, gre, esp, ah, icmpv6, ospf, pim, vrrp, sctp or a number from 0 to 255",
            "network.toml:8:18: vpc[0].security_group[0].ingress[0].security_group: `a/b` is not a name: only letters, digits, `-`, `_` and `.` are allowed",
        ],
    );
    refused_in_rule(
        "protocol = \"tcp\"\nports = 65536\ncidr = \"fd00::1/64\"\n",
        &[
            "network.toml:8:9: vpc[0].security_group[0].ingress[0].ports: `65536` is not a port range: expected `443` or `8000-8080`, 0 to 65535",
            "network.toml:9:8: vpc[0].security_group[0].ingress[0].cidr: `fd00::1/64` is not an IPv6 CIDR: bits are set after the prefix; fd00::/64 is the block",
        ],
    );
    refused_in_rule(
        "protocol = \"tcp\"\nports = 99999999999999999999\ncidr = \"::/0\"\n",
        &[
            "network.toml:8:9: vpc[0].security_group[0].ingress[0].ports: `99999999999999999999` is not a port range: expected `443` or `8000-8080`, 0 to 65535",
        ],
    );
}

#[test]
fn block_sizes() {
    refused(
        "[[vpc]]\nname = \"a\"\nipv4_cidr = \"10.0.0.0/8\"\nipv6_cidr = \"fd00::/40\"\n",
        &[
            "network.toml:3:13: vpc[0].ipv4_cidr: the IPv4 block of a VPC is /16 to /28, not /8",
            "network.toml:4:13: vpc[0].ipv6_cidr: the IPv6 block of a VPC is /44 to /64, not /40",
        ],
    );
    refused(
        "[[vpc]]\nname = \"a\"\nipv4_cidr = \"10.0.0.0/29\"\nipv6_cidr = \"fd00::/65\"\n",
        &[
            "network.toml:3:13: vpc[0].ipv4_cidr: the IPv4 block of a VPC is /16 to /28, not /29",
            "network.toml:4:13: vpc[0].ipv6_cidr: the IPv6 block of a VPC is /44 to /64, not /65",
        ],
    );
    refused_in_vpc(
        "ipv6_cidr = \"fd00::/56\"\n[[vpc.subnet]]\nname = \"s\"\nzone = \"z\"\nipv4_cidr = \"10.0.0.0/29\"\nipv6_cidr = \"fd00::/60\"\n",
        &[
            "network.toml:8:13: vpc[0].subnet[0].ipv4_cidr: the IPv4 block of a subnet is /16 to /28, not /29",
            "network.toml:9:13: vpc[0].subnet[0].ipv6_cidr: the IPv6 block of a subnet is a /64, not /60",
        ],
    );
}

#[test]
fn blocks_that_no_vpc_can_have() {
    for (field, cidr, reason) in [
        ("ipv4_cidr", "0.1.0.0/16", "0.0.0.0/8 means \"this network\""),
        ("ipv4_cidr", "127.0.0.0/16", "127.0.0.0/8 is for loopback"),
        (
            "ipv4_cidr",
            "169.254.0.0/16",
            "169.254.0.0/16 is for link-local services, task metadata among them",
        ),
        ("ipv4_cidr", "224.0.0.0/16", "224.0.0.0/3 is for multicast and reserved"),
        ("ipv6_cidr", "fe80::/64", "use unique local addresses (fc00::/7) or global ones (2000::/3)"),
        ("ipv6_cidr", "::/64", "use unique local addresses (fc00::/7) or global ones (2000::/3)"),
    ] {
        let line = format!("network.toml:3:13: vpc[0].{field}: no VPC can have {cidr}: {reason}");
        refused(&format!("[[vpc]]\nname = \"a\"\n{field} = \"{cidr}\"\n"), &[&line]);
    }
}

#[test]
fn duplicates() {
    refused_in_vpc(
        "[[vpc]]\nname = \"a\"\nipv4_cidr = \"10.0.0.0/16\"\n",
        &[
            "network.toml:5:8: vpc[1].name: `a` is already vpc[0].name (line 2); a VPC's name is unique on the host",
        ],
    );
    let subnet = |octet: u8| {
        format!("[[vpc.subnet]]\nname = \"s\"\nzone = \"z\"\nipv4_cidr = \"10.0.{octet}.0/24\"\n")
    };
    refused_in_vpc(
        &(subnet(0) + &subnet(1)),
        &[
            "network.toml:9:8: vpc[0].subnet[1].name: `s` is already vpc[0].subnet[0].name (line 5); a subnet's name is unique in its VPC",
        ],
    );
    let group = "[[vpc.security_group]]\nname = \"default\"\n";
    refused_in_vpc(
        &group.repeat(3),
        &[
            "network.toml:7:8: vpc[0].security_group[1].name: `default` is already vpc[0].security_group[0].name (line 5); a security group's name is unique in its VPC",
            "network.toml:9:8: vpc[0].security_group[2].name: `default` is already vpc[0].security_group[0].name (line 5); a security group's name is unique in its VPC",
        ],
    );
}

#[test]
fn subnets_outside_or_overlapping() {
    let subnet =
        |name: &str, block: &str| format!("[[vpc.subnet]]\nname = \"{name}\"\nzone = \"z\"\n{block}\n");
    let (whole, half) = ("ipv4_cidr = \"10.0.0.0/24\"", "ipv4_cidr = \"10.0.0.0/25\"");
    refused_in_vpc(
        &(subnet("s", half) + &subnet("t", whole)),
        &[
            "network.toml:11:13: vpc[0].subnet[1].ipv4_cidr: 10.0.0.0/24 overlaps 10.0.0.0/25 of subnet s (line 7)",
        ],
    );
    refused_in_vpc(
        &(subnet("s", half) + &subnet("", whole)),
        &[
            "network.toml:9:8: vpc[0].subnet[1].name: `` is not a name: expected 1 to 63 characters",
            "network.toml:11:13: vpc[0].subnet[1].ipv4_cidr: 10.0.0.0/24 overlaps 10.0.0.0/25 of subnet s (line 7)",
        ],
    );
    refused_in_vpc(
        &(subnet("", half) + &subnet("t", whole)),
        &[
            "network.toml:5:8: vpc[0].subnet[0].name: `` is not a name: expected 1 to 63 characters",
            "network.toml:11:13: vpc[0].subnet[1].ipv4_cidr: 10.0.0.0/24 overlaps 10.0.0.0/25 of subnet vpc[0].subnet[0] (line 7)",
        ],
    );
    refused_in_vpc(
        &subnet("s", "ipv4_cidr = \"10.1.0.0/24\""),
        &[
            "network.toml:7:13: vpc[0].subnet[0].ipv4_cidr: 10.1.0.0/24 is outside the VPC's block 10.0.0.0/16 (line 3)",
        ],
    );
    refused_in_vpc(
        &subnet("s", "ipv6_cidr = \"fd00::/64\""),
        &[
            "network.toml:7:13: vpc[0].subnet[0].ipv6_cidr: the VPC has no IPv6 block: give it ipv6_cidr first",
        ],
    );
    let ipv6 = "ipv6_cidr = \"fd00::/64\"";
    refused_in_vpc(
        &format!("ipv6_cidr = \"fd00::/56\"\n{}{}", subnet("s", ipv6), subnet("t", ipv6)),
        &[
            "network.toml:12:13: vpc[0].subnet[1].ipv6_cidr: fd00::/64 overlaps fd00::/64 of subnet s (line 8)",
        ],
    );
}

#[test]
fn rules() {
    refused_in_rule(
        "protocol = \"stcp\"\nsecurity_group = \"db\"\n",
        &[
            "network.toml:7:12: vpc[0].security_group[0].ingress[0].protocol: `stcp` is not a protocol: expected all, icmp, igmp, tcp, udp, dccp, gre, esp, ah, icmpv6, ospf, pim, vrrp, sctp or a number from 0 to 255",
            "network.toml:8:18: vpc[0].security_group[0].ingress[0].security_group: this file's VPC has no group `db`; it has web, default",
        ],
    );
    refused_in_rule(
        "security_group = \"db\"\n",
        &[
            "network.toml:7:18: vpc[0].security_group[0].ingress[0].security_group: this file's VPC has no group `db`; it has web, default",
        ],
    );
    refused_in_rule(
        "cidr = \"::/0\"\nsecurity_group = \"web\"\n",
        &[
            "network.toml:6:1: vpc[0].security_group[0].ingress[0]: a rule has one peer: cidr, security_group or prefix_list, and only one of them",
        ],
    );
    refused_in_rule(
        "cidr = \"::/0\"\nports = 443\n",
        &[
            "network.toml:8:9: vpc[0].security_group[0].ingress[0].ports: ports are for tcp and udp, and the rule's protocol is all",
        ],
    );
    refused_in_rule(
        "protocol = \"icmpv6\"\ncidr = \"::/0\"\nports = \"1-2\"\n",
        &[
            "network.toml:9:9: vpc[0].security_group[0].ingress[0].ports: ports are for tcp and udp, and the rule's protocol is icmpv6",
        ],
    );
    refused_in_rule(
        "protocol = \"sctp\"\ncidr = \"::/0\"\nports = 1\n",
        &[
            "network.toml:9:9: vpc[0].security_group[0].ingress[0].ports: ports are for tcp and udp, and the rule's protocol is sctp",
        ],
    );
    refused_in_rule(
        "prefix_list = \"corporate\"\n",
        &[
            "network.toml:7:15: vpc[0].security_group[0].ingress[0].prefix_list: this file's VPC has no prefix list `corporate`; it has none",
        ],
    );
    refused_in_rule(
        "protocol = \"tcp\"\ncidr = \"::/0\"\nports = \"90-80\"\n",
        &[
            "network.toml:9:9: vpc[0].security_group[0].ingress[0].ports: `90-80` is not a port range: the range is upside down",
        ],
    );
}

#[test]
fn icmp_types_and_codes() {
    for (fields, line) in [
        (
            "icmp_type = 256\n",
            "8:13: …icmp_type: `256` is not an ICMP type: expected echo-request, echo-reply, destination-unreachable, time-exceeded, parameter-problem, a number from 0 to 255; leave it out for all",
        ),
        (
            "icmp_type = \"packet-too-big\"\n",
            "8:13: …icmp_type: `packet-too-big` is not an ICMP type: expected echo-request, echo-reply, destination-unreachable, time-exceeded, parameter-problem, a number from 0 to 255; leave it out for all",
        ),
        (
            "icmp_type = -1\n",
            "8:13: …icmp_type: `-1` is not an ICMP type: expected echo-request, echo-reply, destination-unreachable, time-exceeded, parameter-problem, a number from 0 to 255; leave it out for all",
        ),
        (
            "icmp_type = 3\nicmp_code = 256\n",
            "9:13: …icmp_code: `256` is not an ICMP code: expected a number from 0 to 255; leave it out for all",
        ),
        (
            "icmp_type = 3\nicmp_code = true\n",
            "9:13: …icmp_code: expected a string or an integer, found a boolean",
        ),
        ("icmp_code = 4\n", "8:13: …icmp_code: a code is of a type: add icmp_type"),
        ("ports = 4\n", "8:9: …ports: ports are for tcp and udp, and the rule's protocol is icmp"),
    ] {
        let line = line.replace('…', "vpc[0].security_group[0].ingress[0].");
        refused_in_rule(
            &format!("protocol = \"icmp\"\n{fields}cidr = \"0.0.0.0/0\"\n"),
            &[&format!("network.toml:{line}")],
        );
    }
    refused_in_rule(
        "protocol = \"tcp\"\nicmp_type = 8\nicmp_code = 0\ncidr = \"::/0\"\n",
        &[
            "network.toml:8:13: vpc[0].security_group[0].ingress[0].icmp_type: types and codes are for icmp and icmpv6, and the rule's protocol is tcp",
            "network.toml:9:13: vpc[0].security_group[0].ingress[0].icmp_code: types and codes are for icmp and icmpv6, and the rule's protocol is tcp",
        ],
    );
    for (protocol, cidr, reason) in [
        ("icmp", "::/0", "no icmp has an address of `::/0`: of IPv6 it is icmpv6"),
        ("icmpv6", "10.0.0.0/8", "no icmpv6 has an address of `10.0.0.0/8`: of IPv4 it is icmp"),
    ] {
        refused_in_rule(
            &format!("protocol = \"{protocol}\"\ncidr = \"{cidr}\"\n"),
            &[&format!("network.toml:8:8: vpc[0].security_group[0].ingress[0].cidr: {reason}")],
        );
    }
    refused_in_rule(
        "icmp_type = 8\ncidr = \"::/0\"\n",
        &[
            "network.toml:7:13: vpc[0].security_group[0].ingress[0].icmp_type: types and codes are for icmp and icmpv6, and the rule's protocol is all",
        ],
    );
}

#[test]
fn prefix_lists() {
    refused_in_vpc(
        "[[vpc.prefix_list]]\nentrys = []\n",
        &[
            "network.toml:4:1: vpc[0].prefix_list[0].name: missing: the list's name, unique in its VPC, as `name = \"corporate\"`",
            "network.toml:4:1: vpc[0].prefix_list[0].entries: missing: the list's blocks, as `entries = [\"10.0.0.0/8\", \"fd00::/8\"]`",
            "network.toml:5:1: vpc[0].prefix_list[0].entrys: unknown field; did you mean `entries`? allowed: name, entries",
        ],
    );
    refused_in_vpc(
        "[[vpc.prefix_list]]\nname = \"a\"\nentries = [\"10.0.0.0/8\", \"10.0.0.1/8\", 10, \"fd00::/8\", \"10.0.0.0/8\"]\n\
         [[vpc.prefix_list]]\nname = \"a\"\nentries = \"::/0\"\n",
        &[
            "network.toml:6:26: vpc[0].prefix_list[0].entries[1]: `10.0.0.1/8` is not an IPv4 CIDR: bits are set after the prefix; 10.0.0.0/8 is the block",
            "network.toml:6:40: vpc[0].prefix_list[0].entries[2]: expected a string, found an integer",
            "network.toml:6:56: vpc[0].prefix_list[0].entries[4]: `10.0.0.0/8` is already vpc[0].prefix_list[0].entries[0] (line 6)",
            "network.toml:8:8: vpc[0].prefix_list[1].name: `a` is already vpc[0].prefix_list[0].name (line 5); a prefix list's name is unique in its VPC",
            "network.toml:9:11: vpc[0].prefix_list[1].entries: expected an array of strings, found a string",
        ],
    );
}

#[test]
fn too_many_entries() {
    let list = |count: u16| {
        let entries: Vec<String> =
            (0..count).map(|number| format!("\n\"10.{}.{}.0/24\"", number / 256, number % 256)).collect();
        format!("[[vpc.prefix_list]]\nname = \"a\"\nentries = [{}]\n", entries.join(","))
    };
    let vpc = "[[vpc]]\nname = \"a\"\nipv4_cidr = \"10.0.0.0/16\"\n";
    assert!(NetworkSpec::parse(&format!("{vpc}{}", list(1000)), "network.toml").is_ok());
    refused_in_vpc(
        &list(1002),
        &[
            "network.toml:1007:1: vpc[0].prefix_list[0].entries[1000]: a prefix list has at most 1000 entries, not 1002",
        ],
    );
}

#[test]
fn too_many_rules() {
    let rule = "[[vpc.security_group.egress]]\ncidr = \"::/0\"\n";
    let group = "[[vpc.security_group]]\nname = \"web\"\n";
    let full = format!("[[vpc]]\nname = \"a\"\nipv4_cidr = \"10.0.0.0/16\"\n{group}{}", rule.repeat(60));
    assert!(NetworkSpec::parse(&full, "network.toml").is_ok());
    refused(
        &(full + &rule.repeat(2)),
        &[
            "network.toml:126:1: vpc[0].security_group[0].egress[60]: a group has at most 60 rules a direction, not 62",
        ],
    );
}

#[test]
fn problems_are_all_reported_in_the_files_order() {
    let text = "[[vpc]]\nuplink = \"vxlan\"\ncolour = \"blue\"\n\n[[vpc.subnet]]\nname = \"s\"\nipv4_cidr = \"10.0.0.0/24\"\n\
                [[vpc.security_group]]\nname = \"web\"\ningress = [{ cidr = \"::/0\", ports = 1 }, { ports = \"x\" }]\n";
    refused(
        text,
        &[
            "network.toml:1:1: vpc[0].name: missing: the VPC's name, unique on the host, as `name = \"blue\"`",
            "network.toml:1:1: vpc[0]: a VPC needs an address block: ipv4_cidr, ipv6_cidr or both",
            "network.toml:2:10: vpc[0].uplink: `vxlan` is not an uplink: expected `nat` or `none`",
            "network.toml:3:1: vpc[0].colour: unknown field; allowed: name, ipv4_cidr, ipv6_cidr, uplink, domain, dns_servers, subnet, prefix_list, security_group, flow_log",
            "network.toml:5:1: vpc[0].subnet[0].zone: missing: the availability zone, as `zone = \"local-a\"`",
            "network.toml:7:13: vpc[0].subnet[0].ipv4_cidr: the VPC has no IPv4 block: give it ipv4_cidr first",
            "network.toml:10:37: vpc[0].security_group[0].ingress[0].ports: ports are for tcp and udp, and the rule's protocol is all",
            "network.toml:10:42: vpc[0].security_group[0].ingress[1]: a rule needs a peer: cidr, security_group or prefix_list",
            "network.toml:10:52: vpc[0].security_group[0].ingress[1].ports: `x` is not a port range: expected `443` or `8000-8080`, 0 to 65535",
        ],
    );
}

#[test]
fn columns_count_characters_not_bytes() {
    let error = NetworkSpec::parse("vpc = [{ name = \"ä\", ipv4_cidr = 1 }]", "network.toml").unwrap_err();
    let columns: Vec<usize> = error.problems().iter().map(|problem| problem.column).collect();
    assert_eq!(columns, [17, 34]);
}
