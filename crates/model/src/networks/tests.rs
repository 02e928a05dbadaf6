#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with a location")]

mod applying;
mod lookups;
mod properties;
mod removing;
mod updating;

use super::{Change, Networks};
use crate::NetworkSpec;

/// Two VPCs of the same blocks. Both have a subnet `a`; only the first has `b` and the group `web`.
const FILE: &str = r#"
[[vpc]]
name = "blue"
ipv4_cidr = "10.0.0.0/16"
[[vpc.subnet]]
name = "a"
zone = "z"
ipv4_cidr = "10.0.0.0/24"
[[vpc.subnet]]
name = "b"
zone = "z"
ipv4_cidr = "10.0.1.0/24"
[[vpc.security_group]]
name = "web"
ingress = [{ protocol = "tcp", ports = 443, cidr = "0.0.0.0/0" }, { security_group = "web" }]

[[vpc]]
name = "red"
ipv4_cidr = "10.0.0.0/16"
ipv6_cidr = "fd00::/56"
uplink = "nat"
[[vpc.subnet]]
name = "a"
zone = "z"
ipv4_cidr = "10.0.0.0/24"
ipv6_cidr = "fd00::/64"
"#;

fn spec(text: &str) -> NetworkSpec {
    NetworkSpec::parse(text, "network.toml").unwrap()
}

fn networks() -> Networks {
    Networks::default().apply(&spec(FILE)).unwrap().0
}

/// The changes as users see them, random digits replaced.
fn shown(changes: &[Change]) -> Vec<String> {
    let hide = |word: &str| match word.split_once('-') {
        Some((prefix, _)) if word.starts_with('(') => {
            format!("{prefix}-…{}", word.trim_start_matches(|c| c != ')'))
        }
        _ => word.to_owned(),
    };
    let line = |change: &Change| change.to_string().split(' ').map(hide).collect::<Vec<_>>().join(" ");
    changes.iter().map(line).collect()
}
