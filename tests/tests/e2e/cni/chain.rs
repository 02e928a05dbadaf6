//! Lists of plugins: real ones take enid's result, and hand it on.

use std::path::Path;

use enid_testbed::Host;
use enid_testbed::namespace::command;
use serde_json::{Value, json};

use super::plugin::{Container, call, call_program, network, with};
use crate::networks::host;

/// Calls a plugin of Debian's containernetworking-plugins.
#[track_caller]
fn call_other(host: &Host, name: &str, verb: &str, configuration: &Value, container: &Container) -> Value {
    let program = Path::new("/usr/lib/cni").join(name);
    let mut variables = container.variables();
    variables.push(("PATH".to_owned(), std::env::var("PATH").unwrap()));
    call_program(host, &program, verb, configuration.to_string().as_bytes(), &variables).0.result()
}

#[test]
fn tuning_takes_the_result_in_every_version_and_what_it_changes_is_no_fault() {
    let host = host();
    for version in ["0.3.1", "0.4.0", "1.0.0"] {
        let container = Container::new(&host, &format!("c{version}"));
        let enid = network(&host, version, "vpc", "red/a", json!({}));
        let tuning = json!({
            "cniVersion": version, "name": "vpc", "type": "tuning", "mtu": 1400,
            "sysctl": {"net.ipv4.conf.eth0.arp_filter": "1"}, "dataDir": host.folder(),
        });
        let first = call(&host, "ADD", &enid, &container).result();
        let last =
            call_other(&host, "tuning", "ADD", &with(&tuning, "prevResult", first.clone()), &container);
        // It has read all that there is, and writes it again.
        for key in ["ips", "routes", "dns"] {
            assert_eq!(last[key], first[key], "{version} {key}");
        }
        assert_eq!(last["interfaces"][0]["mac"], first["interfaces"][0]["mac"]);
        assert_eq!(command(&container.namespace, &["cat", "/proc/sys/net/ipv4/conf/eth0/arp_filter"]), "1\n");
        // The list's result is what every plugin is given from now on.
        if version != "0.3.1" {
            call(&host, "CHECK", &with(&enid, "prevResult", last.clone()), &container).result();
            call_other(&host, "tuning", "CHECK", &with(&tuning, "prevResult", last.clone()), &container);
        }
        call_other(&host, "tuning", "DEL", &with(&tuning, "prevResult", last.clone()), &container);
        call(&host, "DEL", &with(&enid, "prevResult", last), &container).result();
    }
}
