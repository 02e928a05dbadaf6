//! What holds of every file.

use proptest::prelude::*;

use crate::NetworkSpec;
use crate::network_file::samples::{render, spec};

/// Pieces of network files: joined at random they come near enough to one to reach every check.
fn fragment() -> impl Strategy<Value = String> {
    let words = [
        "[[vpc]]\n",
        "[vpc]\n",
        "[[vpc.subnet]]\n",
        "[[vpc.security_group]]\n",
        "[[vpc.security_group.ingress]]\n",
        "[[vpc.security_group.egress]]\n",
        "vpc",
        "name",
        "zone",
        "ipv4_cidr",
        "ipv6_cidr",
        "uplink",
        "domain",
        "dns_servers",
        "subnet",
        "[[vpc.prefix_list]]\n",
        "entries",
        "prefix_list",
        "icmp_type",
        "icmp_code",
        "'icmp'",
        "'echo-request'",
        "protocol",
        "ports",
        "cidr",
        "security_group",
        "egress",
        " = ",
        "\n",
        "[]",
        "[",
        "]",
        "{",
        "}",
        ", ",
        ".",
        "'a'",
        "'default'",
        "'10.0.0.0/16'",
        "'10.0.0.0/24'",
        "'fd00::/56'",
        "'fd00::/64'",
        "'::/0'",
        "'tcp'",
        "'90-80'",
        "443",
        "-1",
        "0xff",
        "99999999999999999999",
        "1.5",
        "true",
        "1979-05-27",
        "\"",
        "'\u{1b}[2J'",
        "\"ä\\n\"",
        "# ä\r\n",
    ];
    prop_oneof![
        9 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ]
}

/// Either it is read, or every problem has a place in the text and is one printable line.
fn check(text: &str) {
    let Err(error) = NetworkSpec::parse(text, "network.toml") else {
        return;
    };
    assert!(!error.problems().is_empty());
    for problem in error.problems() {
        let line = text.split('\n').nth(problem.line - 1).unwrap();
        assert!(problem.column <= line.chars().count() + 1, "{problem:?}");
        assert!(!problem.to_string().contains(char::is_control), "{problem:?}");
    }
    let shown = error.to_string();
    assert_eq!(shown.lines().count(), error.problems().len());
}

proptest! {
    #[test]
    fn a_rendered_spec_reads_back(spec in spec()) {
        prop_assert_eq!(NetworkSpec::parse(&render(&spec), "network.toml"), Ok(spec));
    }

    #[test]
    fn random_fragments_are_read_or_refused_with_places(fragments in proptest::collection::vec(fragment(), 0..60)) {
        check(&fragments.concat());
    }

    #[test]
    fn files_with_a_piece_replaced_are_read_or_refused_with_places(
        spec in spec(), at in any::<prop::sample::Index>(), length in 0..20usize, piece in fragment(),
    ) {
        let text: Vec<char> = render(&spec).chars().collect();
        let start = at.index(text.len() + 1);
        let end = (start + length).min(text.len());
        let replaced: String = text[..start].iter().copied().chain(piece.chars()).chain(text[end..].iter().copied()).collect();
        check(&replaced);
    }
}
