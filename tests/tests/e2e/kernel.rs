//! What the kernel says is in a namespace.

use enid_netns::Namespace;
use enid_testbed::namespace::command;
use enid_testbed::{DEADLINE, Host, wait_until};
use serde_json::Value;

use crate::networks::vpcs;

/// The answer of `ip -j` or `tc -j`, a list.
#[track_caller]
pub(crate) fn ask(namespace: &Namespace, arguments: &[&str]) -> Vec<Value> {
    let text = command(namespace, arguments);
    if text.trim().is_empty() {
        return Vec::new();
    }
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

/// The links of a namespace, each with its addresses.
#[track_caller]
pub(crate) fn links(namespace: &Namespace) -> Vec<Value> {
    ask(namespace, &["ip", "-j", "addr", "show"])
}

/// The names of the links of a namespace.
#[track_caller]
pub(crate) fn link_names(namespace: &Namespace) -> Vec<String> {
    links(namespace).iter().map(|link| link["ifname"].as_str().unwrap().to_owned()).collect()
}

/// The text of a value; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The host ends in all VPC routers of a host.
#[track_caller]
pub(crate) fn host_ends(host: &Host) -> Vec<String> {
    let routers = vpcs(host).into_iter().filter_map(|vpc| vpc.router_netns);
    let names = routers.flat_map(|path| link_names(&enid_testbed::namespace::open(path)));
    names.filter(|name| name.starts_with("eni")).collect()
}

/// Waits until nothing in the kernel, the directories or the maps is left of deleted tasks, but for those that are
/// listed.
#[track_caller]
pub(crate) fn assert_only_listed_tasks(host: &Host) {
    let tasks = host.tasks();
    let mut wanted: Vec<String> =
        tasks.iter().map(|task| format!("eni{}", crate::networks::number(task))).collect();
    wanted.sort();
    let mut found = Vec::new();
    let settled = wait_until(DEADLINE, || {
        found = host_ends(host);
        found.sort();
        found == wanted
    });
    assert!(settled, "host ends {found:?}, for tasks {wanted:?}");

    let routers: Vec<String> = vpcs(host).into_iter().filter_map(|vpc| vpc.router_netns).collect();
    let mut wanted: Vec<String> = tasks.iter().map(|task| task.netns.clone()).chain(routers).collect();
    wanted.retain(|path| path.starts_with(&*host.netns_directory().to_string_lossy()));
    wanted.sort();
    let names = std::fs::read_dir(host.netns_directory()).unwrap();
    let mut found: Vec<String> = names.map(|name| name.unwrap().path().display().to_string()).collect();
    found.sort();
    assert_eq!(found, wanted, "named namespaces");
}
