//! The result of ADD, in the form of each version of the specification.

use enid_api::v1::Task;
use serde_json::{Map, Value, json};

use crate::environment::Container;
use crate::runtime_config::Resolver;
use crate::version::CniVersion;

/// The default routes of both families, by the form of their gateway.
pub(crate) const DEFAULT_ROUTES: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// What a container was given. Its interface alone is in it: the other end is in the VPC router's namespace, not on the host,
/// where those who read a result would look for it.
pub(crate) fn result(
    version: CniVersion,
    task: &Task,
    container: &Container,
    resolver: Option<&Resolver>,
) -> Value {
    let eni = task.eni.clone().unwrap_or_default();
    let mut interface = json!({
        "name": container.interface,
        "mac": eni.mac,
        "sandbox": container.netns,
    });
    if version >= CniVersion::V1_1_0 {
        interface["mtu"] = eni.mtu.into();
    }
    let families = [(eni.ipv4, eni.ipv4_gateway), (eni.ipv6, eni.ipv6_gateway)];
    let (mut ips, mut routes) = (Vec::new(), Vec::new());
    for ((address, gateway), (destination, family)) in
        families.into_iter().zip(DEFAULT_ROUTES.into_iter().zip(["4", "6"]))
    {
        let Some(address) = address else { continue };
        let mut ip = json!({ "address": address, "interface": 0 });
        if version < CniVersion::V1_0_0 {
            ip["version"] = family.into();
        }
        if let Some(gateway) = gateway {
            ip["gateway"] = gateway.clone().into();
            routes.push(json!({ "dst": destination, "gw": gateway }));
        }
        ips.push(ip);
    }
    json!({
        "cniVersion": version.as_str(),
        "interfaces": [interface],
        "ips": ips,
        "routes": routes,
        "dns": dns(task, resolver),
    })
}

/// What is to be told of name resolution: all of one source, for a resolver with one's servers and another's domains would ask
/// the wrong ones.
fn dns(task: &Task, resolver: Option<&Resolver>) -> Value {
    let of_vpc = || {
        let dns = task.dns.clone().unwrap_or_default();
        Resolver { servers: dns.servers, search: dns.search, ..Resolver::default() }
    };
    let Resolver { servers, domain, search, options } = resolver.cloned().unwrap_or_else(of_vpc);
    let mut fields = Map::new();
    fields.extend(domain.map(|domain| ("domain".to_owned(), domain.into())));
    let lists = [("nameservers", servers), ("search", search), ("options", options)];
    fields.extend(
        lists
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(key, list)| (key.to_owned(), list.into())),
    );
    fields.into()
}

#[cfg(test)]
mod tests {
    use enid_api::v1::{Dns, Eni};
    use proptest::prelude::*;

    use super::*;
    use crate::version::SUPPORTED;

    fn container() -> Container {
        Container { netns: "/run/netns/x".into(), interface: "eth0".into(), ..Container::default() }
    }

    fn task(ipv4: bool, ipv6: bool) -> Task {
        Task {
            eni: Some(Eni {
                mac: "02:00:00:00:00:07".into(),
                mtu: 9001,
                ipv4: ipv4.then(|| "10.0.0.7/24".into()),
                ipv4_gateway: ipv4.then(|| "10.0.0.1".into()),
                ipv6: ipv6.then(|| "fd00::7/128".into()),
                ipv6_gateway: ipv6.then(|| "fe80::1".into()),
                ..Eni::default()
            }),
            dns: Some(Dns {
                servers: vec!["10.0.0.2".into()],
                search: vec!["red.internal".into()],
                private_name: None,
            }),
            ..Task::default()
        }
    }

    #[test]
    fn the_newest_form_is_the_specifications() {
        assert_eq!(
            result(CniVersion::V1_1_0, &task(true, true), &container(), None),
            json!({
                "cniVersion": "1.1.0",
                "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:07", "mtu": 9001, "sandbox": "/run/netns/x"}],
                "ips": [
                    {"address": "10.0.0.7/24", "gateway": "10.0.0.1", "interface": 0},
                    {"address": "fd00::7/128", "gateway": "fe80::1", "interface": 0},
                ],
                "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}, {"dst": "::/0", "gw": "fe80::1"}],
                "dns": {"nameservers": ["10.0.0.2"], "search": ["red.internal"]},
            })
        );
    }

    #[test]
    fn older_forms_have_families_and_no_mtu() {
        for version in SUPPORTED {
            let result = result(version, &task(true, true), &container(), None);
            assert_eq!(result["cniVersion"], version.as_str());
            let families: Vec<_> =
                result["ips"].as_array().unwrap().iter().map(|ip| ip.get("version")).collect();
            if version < CniVersion::V1_0_0 {
                assert_eq!(families, [Some(&json!("4")), Some(&json!("6"))]);
            } else {
                assert_eq!(families, [None, None]);
            }
            assert_eq!(result["interfaces"][0].get("mtu").is_some(), version == CniVersion::V1_1_0);
        }
    }

    #[test]
    fn another_resolver_replaces_the_vpcs() {
        let resolver =
            Resolver { servers: vec!["10.9.9.9".into()], domain: Some("a".into()), ..Resolver::default() };
        let result = result(CniVersion::LATEST, &task(true, false), &container(), Some(&resolver));
        assert_eq!(result["dns"], json!({"nameservers": ["10.9.9.9"], "domain": "a"}));
    }

    proptest! {
        #[test]
        fn every_family_that_there_is_has_its_address_and_route(ipv4: bool, ipv6: bool, version in 0..SUPPORTED.len()) {
            let result = result(SUPPORTED[version], &task(ipv4, ipv6), &container(), None);
            let expected = usize::from(ipv4) + usize::from(ipv6);
            for list in ["ips", "routes"] {
                prop_assert_eq!(result[list].as_array().unwrap().len(), expected);
            }
        }
    }
}
