//! VPCs with the same addresses have nothing to do with each other, nor have their groups.

use enid::ForwardingMode;
use enid_api::v1::{CreateTaskRequest, Task};
use enid_testbed::{Host, HostOptions, new_task};

use super::lab::assert_cases;
use super::probe::{Tcp, Udp, V4, V6};
use crate::ledger::assert_closed;

super::both_ways!(groups_of_vpcs_with_the_same_names_and_addresses_are_apart);

/// Twice the same VPC, but for its name.
fn twins() -> String {
    let vpc = |name| {
        format!(
            r#"
[[vpc]]
name = "{name}"
ipv4_cidr = "10.6.0.0/16"
ipv6_cidr = "fd00:f::/56"
subnet = [{{ name = "a", zone = "zone-a", ipv4_cidr = "10.6.0.0/24", ipv6_cidr = "fd00:f::/64" }}]

[[vpc.security_group]]
name = "friends"

[[vpc.security_group]]
name = "strangers"

[[vpc.security_group]]
name = "server"
ingress = [{{ protocol = "udp", ports = 80, security_group = "friends" }}]
"#
        )
    };
    vpc("castor") + &vpc("pollux")
}

#[track_caller]
fn create(host: &Host, vpc: &str, group: &str, last: u8) -> Task {
    let request = CreateTaskRequest {
        security_groups: vec![group.to_owned()],
        ipv4: Some(format!("10.6.0.{last}")),
        ipv6: Some(format!("fd00:f::{last}")),
        ..new_task(&format!("{vpc}-{last}"), &format!("{vpc}/a"))
    };
    host.create_as(&request).unwrap_or_else(|error| panic!("{error}"))
}

fn groups_of_vpcs_with_the_same_names_and_addresses_are_apart(forwarding: ForwardingMode) {
    let host = Host::start(&HostOptions { forwarding, ..Default::default() });
    host.apply(&twins());
    let server = |vpc| create(&host, vpc, "server", 10);
    let (castor, pollux) = (server("castor"), server("pollux"));
    // What is a friend's address in one VPC is a stranger's in the other.
    let (castor_20, castor_30) =
        (create(&host, "castor", "friends", 20), create(&host, "castor", "strangers", 30));
    let (pollux_20, pollux_30) =
        (create(&host, "pollux", "strangers", 20), create(&host, "pollux", "friends", 30));
    let mut cases = Vec::new();
    for family in [V4, V6] {
        assert_eq!(family.address(&castor_20), family.address(&pollux_20));
        cases.push((&castor_20, &castor, family, Udp(80), true));
        cases.push((&castor_30, &castor, family, Udp(80), false));
        cases.push((&pollux_20, &pollux, family, Udp(80), false));
        cases.push((&pollux_30, &pollux, family, Udp(80), true));
        cases.push((&castor_20, &castor, family, Tcp(80), false));
    }
    assert_cases(&cases);
    // One goes, and its namesake in the other VPC stays a friend.
    host.delete("castor-20");
    assert_cases(&[(&pollux_30, &pollux, V4, Udp(80), true), (&pollux_20, &pollux, V4, Udp(80), false)]);
    // A listener of one VPC hears nothing of the other, whose sender means his own neighbour at the same address.
    let near = crate::networks::inside(&pollux_30);
    let overheard = enid_testbed::traffic::udp(&crate::networks::inside(&castor), V4.address(&castor), 80);
    let meant = enid_testbed::traffic::udp(&crate::networks::inside(&pollux), V4.address(&pollux), 80);
    let sender = enid_testbed::traffic::udp(&near, V4.address(&pollux_30), 5000);
    for _ in 0..10 {
        sender.send_to(b"mine", meant.local_addr().unwrap()).unwrap();
        meant.recv(&mut [0; 8]).unwrap();
    }
    overheard.set_nonblocking(true).unwrap();
    assert!(overheard.recv(&mut [0; 8]).is_err());
    assert_closed(&host);
}
