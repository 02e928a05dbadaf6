//! Networks are declared, changed and deleted.

use enid_api::v1::delete_network_object_request::Object;
use enid_api::v1::{CreateTaskRequest, DeleteNetworkObjectRequest};
use enid_netns::Namespace;
use enid_testbed::traffic::ping;
use enid_testbed::{Host, HostOptions, new_task};
use tonic::{Code, Status};

use crate::kernel::link_names;
use crate::networks::{NETWORKS, host, vpc, vpcs};

fn delete(host: &Host, object: Object) -> Result<(), Status> {
    let request = DeleteNetworkObjectRequest { object: Some(object) };
    host.call(async |client| client.networks().delete(request).await).map(|_| ())
}

#[test]
fn a_new_host_has_the_default_network() {
    let host = Host::start(&HostOptions::default());
    let vpcs = vpcs(&host);
    assert_eq!(vpcs.len(), 1);
    assert_eq!((&*vpcs[0].name, &*vpcs[0].uplink), ("default", "nat"));
    let subnets: Vec<&str> = vpcs[0].subnets.iter().map(|subnet| &*subnet.name).collect();
    assert_eq!(subnets, ["default-a", "default-b"]);
    assert_eq!(vpcs[0].subnets[0].available_ipv4_addresses, Some(4091));
    assert_eq!(vpcs[0].router_netns, None);
    host.create("web", "default-a");
    assert!(vpc(&host, "default").router_netns.is_some());
}

#[test]
fn applying_twice_changes_nothing() {
    let host = Host::start(&HostOptions::default());
    let planned = host.try_apply(NETWORKS, true).unwrap();
    assert!(!planned.is_empty());
    assert_eq!(vpcs(&host).len(), 1, "a dry run changes nothing");
    let changed = host.apply(NETWORKS);
    assert_eq!(changed.len(), planned.len());
    let before = vpcs(&host);
    assert_eq!(before.len(), 5);
    assert_eq!(host.apply(NETWORKS), [""; 0]);
    assert_eq!(host.try_apply(NETWORKS, true).unwrap(), [""; 0]);
    assert_eq!(vpcs(&host), before);
}

#[test]
fn what_was_declared_is_there_after_a_restart() {
    let mut host = host();
    let before = vpcs(&host);
    host.restart_daemon();
    assert_eq!(vpcs(&host), before);
}

#[test]
fn an_invalid_file_names_file_line_and_field_and_changes_nothing() {
    let host = host();
    let before = vpcs(&host);
    let bad = "[[vpc]]\nname = \"new\"\nipv4_cidr = \"10.9.0.0/16\"\nuplink = \"vxlan\"\n\n[[vpc.subnet]]\nname = \"a\"\nipv4_cidr = \"10.8.0.0/24\"\n";
    let error = host.try_apply(bad, false).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    let lines: Vec<&str> = error.message().lines().collect();
    assert!(lines[0].starts_with("network.toml:4:10: vpc[0].uplink: `vxlan` is not an uplink"), "{error}");
    assert!(lines.iter().any(|line| line.contains("vpc[0].subnet[0]") && line.contains("zone")), "{error}");
    assert!(lines.iter().any(|line| line.contains("network.toml:8:")), "{error}");
    let error = host.try_apply("[[vpc]\n", false).unwrap_err();
    assert!(error.message().starts_with("network.toml:1:"), "{error}");

    // One that contradicts what is there is refused as a whole.
    let other_block = "[[vpc]]\nname = \"aaa\"\nipv4_cidr = \"10.9.0.0/16\"\n\n[[vpc]]\nname = \"red\"\nipv4_cidr = \"10.7.0.0/16\"\nipv6_cidr = \"fd00:a::/56\"\n";
    let error = host.try_apply(other_block, false).unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    assert!(error.message().contains("red"), "{error}");
    assert_eq!(vpcs(&host), before);
}

#[test]
fn a_subnet_added_to_a_vpc_in_use_works_at_once() {
    let host = host();
    let old = host.create("old", "red/a");
    let added = NETWORKS.replacen(
        "subnet = [",
        "subnet = [\n  { name = \"new\", zone = \"zone-c\", ipv4_cidr = \"10.0.7.0/24\", ipv6_cidr = \"fd00:a:0:7::/64\" },",
        1,
    );
    assert_eq!(host.apply(&added).len(), 1);
    let new = host.create("new", "red/new");
    for address in [crate::networks::ipv4(&old), crate::networks::ipv6(&old), "10.0.7.1".parse().unwrap()] {
        assert!(ping(&crate::networks::inside(&new), address, 1, 56), "{address}");
    }
}

#[test]
fn what_is_in_use_is_not_deleted_and_then_is() {
    let host = host();
    let request = CreateTaskRequest { security_groups: vec!["g1".to_owned()], ..new_task("web", "shop/a") };
    let mut with_group = request.clone();
    with_group.subnet = "red/b".to_owned();
    host.create_as(&with_group).unwrap();
    let router = vpc(&host, "red").router_netns.unwrap();
    for object in [
        Object::Vpc("red".to_owned()),
        Object::Subnet("red/b".to_owned()),
        Object::SecurityGroup("red/g1".to_owned()),
    ] {
        let error = delete(&host, object).unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
        assert!(error.message().contains("is in use by task web"), "{error}");
    }
    assert!(host.delete("web"));
    delete(&host, Object::SecurityGroup("red/g1".to_owned())).unwrap();
    delete(&host, Object::Subnet("red/b".to_owned())).unwrap();
    let error = delete(&host, Object::SecurityGroup("red/default".to_owned())).unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    delete(&host, Object::Vpc("red".to_owned())).unwrap();
    assert!(vpcs(&host).iter().all(|vpc| vpc.name != "red"));
    assert!(!std::path::Path::new(&router).exists());
    let error = delete(&host, Object::Vpc("red".to_owned())).unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error}");
    // The name can be declared again.
    host.apply(NETWORKS);
    host.create("web", "red/b");
}

#[test]
fn a_deleted_vpc_with_an_uplink_leaves_nothing_on_the_host() {
    let host = host();
    let before = link_names(host.namespace());
    host.create("web", "shop/a");
    assert_ne!(link_names(host.namespace()), before);
    host.delete("web");
    delete(&host, Object::Vpc("shop".to_owned())).unwrap();
    assert_eq!(link_names(host.namespace()), before);
    assert_eq!(host.tasks(), []);
}

#[test]
fn a_vpc_that_is_deleted_while_a_task_is_created_goes_or_stays_whole() {
    let host = host();
    for round in 0..30 {
        let (created, deleted) = std::thread::scope(|scope| {
            let creating = scope.spawn(|| host.create_as(&new_task("web", "blue/a")));
            // At another moment of the create in each round.
            let moment = std::time::Instant::now() + std::time::Duration::from_micros(200 * (round % 10));
            while std::time::Instant::now() < moment {
                std::thread::yield_now();
            }
            let deleted = delete(&host, Object::Vpc("blue".to_owned()));
            (creating.join().unwrap(), deleted)
        });
        assert_ne!(created.is_ok(), deleted.is_ok(), "{created:?} {deleted:?}");
        if let Ok(task) = created {
            assert_eq!(host.tasks(), std::slice::from_ref(&task));
            let inside = crate::networks::inside(&task);
            assert!(ping(&inside, "10.0.0.1".parse().unwrap(), 1, 56));
            assert!(host.delete("web"));
        }
        crate::kernel::assert_only_listed_tasks(&host);
        host.apply(NETWORKS);
    }
}

#[test]
fn an_address_that_was_a_deleted_subnets_gateway_is_an_enis() {
    let host = Host::start(&HostOptions::default());
    let file = |name: &str, cidr: &str| {
        format!(
            "[[vpc]]\nname = \"re\"\nipv4_cidr = \"10.5.0.0/16\"\n\
             [[vpc.subnet]]\nname = \"{name}\"\nzone = \"z\"\nipv4_cidr = \"{cidr}\"\n"
        )
    };
    host.apply(&file("narrow", "10.5.1.0/24"));
    // So that the router is there, with the gateway's address.
    host.create("first", "re/narrow");
    host.delete("first");
    delete(&host, Object::Subnet("re/narrow".into())).unwrap();

    host.apply(&file("wide", "10.5.0.0/23"));
    let request = CreateTaskRequest { ipv4: Some("10.5.1.1".into()), ..new_task("second", "re/wide") };
    host.create_as(&request).unwrap();
    let third = host.create("third", "re/wide");
    let third = Namespace::open(third.netns.as_ref()).unwrap();
    assert!(ping(&third, "10.5.1.1".parse().unwrap(), 1, 56));
    host.try_flush().unwrap();
    let audit = host.audit().into_iter().find(|eni| eni.task == "second").unwrap();
    assert_eq!(audit.ingress.unwrap().records.unwrap().packets, 1, "the ENI was reached, not the router");
}
