//! What a create answers, against the kernel's own state.

use enid_api::v1::{CreateTaskRequest, Task};
use enid_netns::{Namespace, sysctl};
use enid_testbed::namespace;
use enid_testbed::traffic::{send_datagrams, udp};
use enid_testbed::{Host, new_task};
use serde_json::{Value, json};

use crate::kernel::{ask, link_names, links, text};
use crate::ledger::assert_closed;
use crate::networks::{host, inside, ipv4, ipv6, router, subnet, vpc};

/// The MAC of every router (the model's `MacAddress::ROUTER`), as the neighbours of a task must have it.
fn router_mac() -> String {
    enid_model::MacAddress::ROUTER.to_string()
}

#[test]
fn a_dual_stack_eni_is_what_the_answer_says() {
    let host = host();
    let task = host.create("web", "red/a");
    assert_eq!(task.netns, host.netns_directory().join("web").display().to_string());
    assert_eq!(task.platform_version, "1.4.0");
    let eni = task.eni.as_ref().unwrap();
    assert_eq!(eni.id.len(), 21);
    assert!(eni.id.starts_with("eni-"));
    assert!(eni.number >= 1_000_000);
    assert_eq!(eni.mtu, 9001);
    assert_eq!(eni.ipv4.as_deref(), Some("10.0.0.4/24"));
    assert_eq!(eni.ipv4_gateway.as_deref(), Some("10.0.0.1"));
    assert_eq!(eni.ipv6_gateway.as_deref(), Some("fe80::1"));
    assert_eq!(eni.zone, "zone-a");
    assert_eq!(eni.vpc_id, vpc(&host, "red").id);
    assert_eq!(eni.subnet_id, subnet(&host, "red/a").id);
    let groups = vpc(&host, "red").security_groups;
    let default = groups.iter().find(|group| group.name == "default").unwrap();
    assert_eq!(eni.security_group_ids, std::slice::from_ref(&default.id));
    let dns = task.dns.as_ref().unwrap();
    assert_eq!(dns.servers, ["10.0.0.2"]);
    assert_eq!(dns.search, ["red.internal"]);
    assert_eq!(dns.private_name.as_deref(), Some("ip-10-0-0-4.red.internal"));
    assert_eq!(task.environment["AWS_EXECUTION_ENV"], "AWS_ECS_FARGATE");

    assert_is_in_kernel(&host, "red", &task);
    let listed = host.tasks();
    assert_eq!(listed, [task]);
}

#[test]
fn one_family_alone_works() {
    let host = host();
    let four = host.create("four", "red/four");
    assert_eq!(four.eni.as_ref().unwrap().ipv6, None);
    assert_eq!(four.eni.as_ref().unwrap().ipv6_gateway, None);
    assert_is_in_kernel(&host, "red", &four);
    let six = host.create("six", "red/six");
    assert_eq!(six.eni.as_ref().unwrap().ipv4, None);
    assert_eq!(six.eni.as_ref().unwrap().ipv4_gateway, None);
    assert_eq!(six.dns.as_ref().unwrap().private_name, None);
    assert_is_in_kernel(&host, "red", &six);
}

#[test]
fn wishes_are_granted() {
    let host = host();
    let request = CreateTaskRequest {
        ipv4: Some("10.0.0.77".to_owned()),
        ipv6: Some("fd00:a::77".to_owned()),
        mtu: Some(1400),
        platform_version: Some("1.4.0".to_owned()),
        security_groups: vec!["g1".to_owned(), "g2".to_owned()],
        ..new_task("web", "red/a")
    };
    let task = host.create_as(&request).unwrap();
    let eni = task.eni.as_ref().unwrap();
    assert_eq!(eni.ipv4.as_deref(), Some("10.0.0.77/24"));
    assert!(eni.ipv6.as_deref().unwrap().starts_with("fd00:a::77/"));
    assert_eq!(eni.mtu, 1400);
    assert_eq!(eni.security_group_ids.len(), 2);
    assert_is_in_kernel(&host, "red", &task);

    // A subnet is known by its id, too.
    let request = CreateTaskRequest { subnet: subnet(&host, "red/b").id, ..new_task("b", "") };
    let task = host.create_as(&request).unwrap();
    assert_eq!(task.eni.as_ref().unwrap().zone, "zone-b");
}

#[test]
fn the_smallest_and_the_largest_mtu_work() {
    let host = host();
    for mtu in [1280, 9001] {
        let request = CreateTaskRequest { mtu: Some(mtu), ..new_task(&format!("mtu-{mtu}"), "red/a") };
        assert_is_in_kernel(&host, "red", &host.create_as(&request).unwrap());
    }
}

/// Asserts that the kernel has what the answer says, in the task's namespace and in its router.
#[track_caller]
fn assert_is_in_kernel(host: &Host, vpc_name: &str, task: &Task) {
    let eni = task.eni.as_ref().unwrap();
    let (inside, router) = (inside(task), router(host, vpc_name));
    assert_eq!(link_names(&inside), ["lo", "eth0"]);
    let [lo, eth0] = &*links(&inside) else { panic!("two links") };
    assert_up(lo);
    assert_up(eth0);
    assert_eq!(eth0["ifindex"], eni.number);
    assert_eq!(eth0["address"], eni.mac);
    assert_eq!(eth0["mtu"], eni.mtu);
    assert_addresses(eth0, eni.ipv4.as_deref(), eni.ipv6.as_deref());
    assert_ways_out(&inside, task);
    namespace::inside(&inside, || {
        assert_eq!(sysctl::get("ipv6/conf/eth0/accept_ra").unwrap(), "0");
    });

    let name = format!("eni{}", eni.number);
    let host_end = links(&router).into_iter().find(|link| text(link, "ifname") == name).expect("a host end");
    assert_up(&host_end);
    assert_eq!(host_end["ifindex"], eni.number);
    assert_eq!(host_end["mtu"], eni.mtu);
    assert_eq!(host_end["address"], router_mac());
    assert_programs(&router, &name);
    // The ENI's id is a name of its host end.
    let by_id = ask(&router, &["ip", "-j", "link", "show", "dev", &eni.id]);
    assert_eq!(text(&by_id[0], "ifname"), name);
}

#[track_caller]
fn assert_up(link: &Value) {
    let flags = link["flags"].as_array().unwrap();
    assert!(flags.contains(&json!("UP")) && flags.contains(&json!("LOWER_UP")), "{link}");
}

#[track_caller]
fn assert_addresses(link: &Value, ipv4: Option<&str>, ipv6: Option<&str>) {
    let mut found: Vec<String> = Vec::new();
    for address in link["addr_info"].as_array().unwrap() {
        assert_eq!(address.get("tentative"), None, "{address}");
        assert_eq!(address.get("dadfailed"), None, "{address}");
        if text(address, "scope") == "global" {
            found.push(format!("{}/{}", text(address, "local"), address["prefixlen"]));
        }
    }
    let wanted: Vec<&str> = ipv4.into_iter().chain(ipv6).collect();
    assert_eq!(found, wanted);
}

#[track_caller]
fn assert_ways_out(inside: &Namespace, task: &Task) {
    let eni = task.eni.as_ref().unwrap();
    let gateways = [("-4", &eni.ipv4_gateway), ("-6", &eni.ipv6_gateway)];
    let neighbours = ask(inside, &["ip", "-j", "neigh", "show", "nud", "permanent", "dev", "eth0"]);
    assert_eq!(neighbours.len(), gateways.iter().filter(|(_, gateway)| gateway.is_some()).count());
    for (family, gateway) in gateways {
        let routes = ask(inside, &["ip", "-j", family, "route", "show", "default"]);
        let Some(gateway) = gateway else {
            assert_eq!(routes, [Value::Null; 0], "{family}");
            continue;
        };
        assert_eq!(routes.len(), 1, "{routes:?}");
        assert_eq!(text(&routes[0], "gateway"), gateway);
        assert_eq!(text(&routes[0], "dev"), "eth0");
        let neighbour = neighbours.iter().find(|found| text(found, "dst") == gateway).expect("the gateway");
        assert_eq!(text(neighbour, "lladdr"), router_mac());
    }
    for (family, metadata) in [("-4", "169.254.169.254"), ("-6", "fd00:ec2::254")] {
        let routes = ask(inside, &["ip", "-j", family, "route", "show", "type", "unreachable"]);
        assert!(routes.iter().any(|route| text(route, "dst") == metadata), "{routes:?}");
    }
}

/// Asserts that both programs are on the host end.
#[track_caller]
fn assert_programs(router: &Namespace, device: &str) {
    for (hook, program) in [("ingress", "from_eni"), ("egress", "to_eni")] {
        let filters = ask(router, &["tc", "-j", "filter", "show", "dev", device, hook]);
        let programs: Vec<&Value> = filters.iter().filter(|filter| !filter["options"].is_null()).collect();
        assert_eq!(programs.len(), 1, "{filters:?}");
        assert!(programs[0]["options"].to_string().contains(program), "{filters:?}");
        assert_eq!(programs[0]["options"]["direct-action"], true, "{filters:?}");
    }
}

#[test]
fn instance_metadata_is_unreachable() {
    let host = host();
    let task = host.create("web", "red/a");
    let inside = inside(&task);
    for address in ["169.254.169.254:80", "[fd00:ec2::254]:80"] {
        let error = enid_testbed::traffic::try_tcp_connect(&inside, address.parse().unwrap()).unwrap_err();
        let kind = error.kind();
        let at_once = [std::io::ErrorKind::HostUnreachable, std::io::ErrorKind::NetworkUnreachable];
        assert!(at_once.contains(&kind), "{address}: {error}");
    }
    // Nor by one's own routes: the programs drop what goes there.
    namespace::command(
        &inside,
        &["ip", "route", "replace", "169.254.169.254", "via", "10.0.0.1", "onlink", "dev", "eth0"],
    );
    assert!(enid_testbed::traffic::no_ping(&inside, "169.254.169.254".parse().unwrap()));
    let counters = crate::ledger::counters(&host, "web");
    assert!(crate::ledger::named(&counters.egress.unwrap(), "instance-metadata").0 > 0);
}

#[test]
fn the_first_packet_to_a_new_task_arrives() {
    let host = host();
    let peer = host.create("peer", "red/a");
    let near = [ipv4(&peer), ipv6(&peer)].map(|own| udp(&inside(&peer), own, 5000));
    for round in 0..60 {
        let name = format!("task-{round}");
        let task = host.create(&name, "red/b");
        let far = [ipv4(&task), ipv6(&task)].map(|own| udp(&inside(&task), own, 5001));
        // Each datagram is waited for: one that is lost on the way fails this.
        for (near, far) in near.iter().zip(&far) {
            send_datagrams(near, far, 1, 100);
        }
        assert_closed(&host);
        host.delete(&name);
    }
}
