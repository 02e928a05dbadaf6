//! A host with a VPC whose rules a test sets.

use std::thread;

use enid::ForwardingMode;
use enid_api::v1::{
    CreateTaskRequest, ListUpdate, Task, UpdatePrefixListRequest, UpdateSecurityGroupRequest,
};
use enid_testbed::{Host, HostOptions, new_task};

use super::probe::{Family, Probe, arrives};

/// Everybody in `open` may do anything; what the others may is for the tests to say.
pub(super) const NETWORK: &str = r#"
[[vpc]]
name = "lab"
ipv4_cidr = "10.5.0.0/16"
ipv6_cidr = "fd00:e::/56"
uplink = "none"
subnet = [
  { name = "a", zone = "zone-a", ipv4_cidr = "10.5.0.0/24", ipv6_cidr = "fd00:e::/64" },
  { name = "b", zone = "zone-b", ipv4_cidr = "10.5.1.0/24", ipv6_cidr = "fd00:e:0:1::/64" },
]
prefix_list = [{ name = "trusted", entries = ["192.0.2.0/24"] }]

[[vpc.security_group]]
name = "open"
ingress = [{ cidr = "0.0.0.0/0" }, { cidr = "::/0" }]

[[vpc.security_group]]
name = "target"

[[vpc.security_group]]
name = "second"

[[vpc.security_group]]
name = "friends"
ingress = [{ cidr = "0.0.0.0/0" }, { cidr = "::/0" }]
"#;

/// A host with the lab, whose packets are forwarded so.
#[track_caller]
pub(super) fn host(forwarding: ForwardingMode) -> Host {
    host_as(&HostOptions { forwarding, ..Default::default() })
}

#[track_caller]
pub(super) fn host_as(options: &HostOptions) -> Host {
    let host = Host::start(options);
    host.apply(NETWORK);
    host
}

/// A task with these groups, in a subnet of the lab.
pub(super) fn member(name: &str, subnet: &str, groups: &[&str]) -> CreateTaskRequest {
    CreateTaskRequest {
        security_groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..new_task(name, &format!("lab/{subnet}"))
    }
}

#[track_caller]
pub(super) fn create(host: &Host, name: &str, subnet: &str, groups: &[&str]) -> Task {
    host.create_as(&member(name, subnet, groups)).unwrap_or_else(|error| panic!("{error}"))
}

/// Makes a group's ingress rules, or its egress rules, these.
#[track_caller]
pub(super) fn set_rules(host: &Host, group: &str, direction: Rules, rules: &[&str]) {
    let update = ListUpdate {
        clear: true,
        remove: Vec::new(),
        add: rules.iter().map(|rule| (*rule).to_owned()).collect(),
    };
    let mut request =
        UpdateSecurityGroupRequest { security_group: format!("lab/{group}"), ..Default::default() };
    match direction {
        Rules::Ingress => request.ingress = Some(update),
        Rules::Egress => request.egress = Some(update),
    }
    host.call(async |client| client.networks().update_security_group(request).await)
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Which rules of a group.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rules {
    Ingress,
    Egress,
}

/// Makes the entries of the prefix list these.
#[track_caller]
pub(super) fn set_entries(host: &Host, entries: &[&str]) {
    let update = ListUpdate {
        clear: true,
        remove: Vec::new(),
        add: entries.iter().map(|&text| text.to_owned()).collect(),
    };
    let request = UpdatePrefixListRequest {
        prefix_list: "lab/trusted".to_owned(),
        entries: Some(update),
        ..Default::default()
    };
    host.call(async |client| client.networks().update_prefix_list(request).await)
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Who sends what to whom, and whether it is to arrive.
pub(super) type Case<'a> = (&'a Task, &'a Task, Family, Probe, bool);

/// Asserts of each case that what is sent arrives or doesn't, many at once.
#[track_caller]
pub(super) fn assert_cases(cases: &[Case<'_>]) {
    let wrong: Vec<String> = observe(cases)
        .into_iter()
        .zip(cases)
        .filter(|(arrived, case)| *arrived != case.4)
        .map(|(arrived, (from, to, family, probe, _))| {
            let what = if arrived { "arrives" } else { "does not arrive" };
            format!("{probe:?} over {family:?} from {} to {} {what}", from.name, to.name)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether what each case sends arrives.
pub(super) fn observe(cases: &[Case<'_>]) -> Vec<bool> {
    let mut observed = vec![None; cases.len()];
    while observed.contains(&None) {
        // As many as can be told apart where they arrive.
        let mut round: Vec<usize> = Vec::new();
        for (place, (_, to, family, probe, _)) in cases.iter().enumerate() {
            let meets = |other: &usize| {
                let (_, other_to, other_family, other_probe, _) = &cases[*other];
                (other_to.name.as_str(), other_family, other_probe) == (to.name.as_str(), family, probe)
            };
            if observed[place].is_none() && !round.iter().any(meets) && round.len() < 16 {
                round.push(place);
            }
        }
        let arrived: Vec<bool> = thread::scope(|scope| {
            let probing: Vec<_> = round
                .iter()
                .map(|place| {
                    let (from, to, family, probe, _) = cases[*place];
                    scope.spawn(move || arrives(from, to, family, probe))
                })
                .collect();
            probing.into_iter().map(|probe| probe.join().expect("a probe")).collect()
        });
        for (place, arrived) in round.into_iter().zip(arrived) {
            observed[place] = Some(arrived);
        }
    }
    observed.into_iter().flatten().collect()
}
