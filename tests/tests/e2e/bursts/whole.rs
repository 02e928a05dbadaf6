//! What there is on a host, wherever it may be: of tasks that are listed, all; of anything else, nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use enid_api::v1::Task;
use enid_datapath::{Datapath, DatapathConfig};
use enid_netns::Namespace;
use enid_store::{RunStore, TaskState};
use enid_testbed::namespace::{command, open};
use enid_testbed::{DEADLINE, Host, wait_until};

use crate::kernel::{ask, link_names, text};
use crate::networks::{inside, ipv4, ipv6, number, vpcs};

/// The most ENIs of a host on which there are bursts.
pub(crate) const ENI_CAPACITY: u32 = 1024;

/// Everything about a host without a daemon that could be left behind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inventory {
    /// By namespace, those of the host and of routers: links, addresses, routes, neighbours, rules.
    namespaces: BTreeMap<PathBuf, BTreeSet<String>>,
    /// Names of namespaces, files of the run directory, cgroups, pins.
    files: BTreeSet<PathBuf>,
    /// Entries of the maps, and records.
    entries: BTreeSet<String>,
}

impl Inventory {
    /// Takes stock of a host whose daemon does not run.
    pub(crate) fn take(host: &Host, routers: &[PathBuf]) -> Self {
        let mut namespaces = BTreeMap::new();
        for path in routers.iter().cloned().chain([host.namespace_path()]) {
            let namespace = open(&path);
            namespaces.insert(path, network(&namespace));
        }
        let (maps, records) = (maps(host), records(host));
        Self {
            namespaces,
            files: host.leftovers().into_iter().filter(|path| is_state(path)).collect(),
            entries: maps.into_iter().chain(records).collect(),
        }
    }
}

/// The socket comes and goes with the daemon; the accounts of what was exported are a file that changes, but stays.
fn is_state(path: &Path) -> bool {
    path.extension().is_none_or(|extension| extension != "sock")
}

/// What a namespace has, but for what changes by itself.
fn network(namespace: &Namespace) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for link in ask(namespace, &["ip", "-j", "addr", "show"]) {
        found.insert(format!("link {} {}", text(&link, "ifname"), link["addr_info"]));
    }
    for (family, table) in [("-4", "all"), ("-6", "all")] {
        for route in ask(namespace, &["ip", "-j", family, "route", "show", "table", table]) {
            found.insert(format!("route {family} {} {}", text(&route, "dst"), text(&route, "dev")));
        }
        for neighbour in ask(namespace, &["ip", "-j", family, "neigh", "show", "nud", "permanent"]) {
            found.insert(format!("neighbour {} {}", text(&neighbour, "dst"), text(&neighbour, "dev")));
        }
        for rule in ask(namespace, &["ip", "-j", family, "rule", "show"]) {
            found.insert(format!("rule {family} {rule}"));
        }
    }
    found.insert(command(namespace, &["nft", "list", "ruleset"]));
    found
}

fn maps(host: &Host) -> Vec<String> {
    let config = DatapathConfig {
        flow_capacity: 4096,
        refusal_capacity: 4096,
        eni_capacity: ENI_CAPACITY,
        ..DatapathConfig::new(host.folder().join("bpf/enid"))
    };
    let datapath = Datapath::load(&config).unwrap();
    let mut entries: Vec<String> =
        datapath.enis().unwrap().into_iter().map(|number| format!("ENI {number}")).collect();
    entries.extend(datapath.members().unwrap().into_iter().map(|member| format!("{member:?}")));
    entries
        .extend(datapath.classes().unwrap().into_iter().map(|(cgroup, eni)| format!("class {cgroup} {eni}")));
    entries
}

fn records(host: &Host) -> Vec<String> {
    let store = RunStore::open(&host.run_directory().join("run.redb")).unwrap();
    let tasks = store.tasks().unwrap().into_iter();
    let mut records: Vec<String> = tasks
        .map(|record| format!("{:?} {} {}", record.state, record.task.name, record.task.eni.number))
        .collect();
    records.extend(store.routers().unwrap().into_iter().map(|router| format!("router {}", router.vpc)));
    records
}

/// Stops the daemon when it has nothing left to take away: what a daemon leaves to the next is on record.
#[track_caller]
pub(crate) fn stop(host: &mut Host) {
    let mut time = Duration::from_millis(200);
    loop {
        host.stop_daemon();
        let records = records(host);
        if records.iter().all(|record| record.starts_with("Ready") || record.starts_with("router")) {
            return;
        }
        assert!(time < DEADLINE, "{records:?}");
        host.start_daemon();
        // Nothing says when it is done: it is given more time whenever it was not enough.
        sleep(time);
        time *= 2;
    }
}

/// Asserts that the tasks that the daemon lists are exactly those of which there is something, whole. The daemon is stopped for
/// that, and started again.
#[track_caller]
pub(crate) fn assert_whole(host: &mut Host) {
    let tasks = host.tasks();
    let routers: Vec<PathBuf> =
        vpcs(host).into_iter().filter_map(|vpc| vpc.router_netns).map(PathBuf::from).collect();
    stop(host);

    // What was ready for tasks to come goes with the daemon.
    let wanted: BTreeSet<String> = tasks.iter().map(|task| format!("eni{}", number(task))).collect();
    let mut found = BTreeSet::new();
    let settled = wait_until(DEADLINE, || {
        let names = routers.iter().flat_map(|router| link_names(&open(router)));
        found = names.filter(|name| name.starts_with("eni")).collect();
        found == wanted
    });
    assert!(settled, "host ends {found:?}, for tasks {wanted:?}");

    let mut ways = BTreeSet::new();
    for router in &routers {
        let lines = network(&open(router)).into_iter();
        ways.extend(lines.filter(|line| line.contains(" eni") && !line.starts_with("link ")));
    }
    // Each host end has an IPv6 multicast route of the kernel's.
    ways.retain(|line| !line.starts_with("route -6 ff00::/8"));
    let ways_of = |task: &Task| {
        let device = format!("eni{}", number(task));
        let of = |address: IpAddr, family| {
            [format!("route {family} {address} {device}"), format!("neighbour {address} {device}")]
        };
        [of(ipv4(task), "-4"), of(ipv6(task), "-6")].concat()
    };
    assert_eq!(ways, tasks.iter().flat_map(ways_of).collect(), "routes and neighbours");

    for task in &tasks {
        assert_eq!(link_names(&inside(task)), ["lo", "eth0"], "{}", task.name);
        let addresses: BTreeSet<String> = ask(&inside(task), &["ip", "-j", "addr", "show", "dev", "eth0"])
            .iter()
            .flat_map(|link| link["addr_info"].as_array().unwrap())
            .filter(|address| address["scope"] == "global")
            .map(|address| text(address, "local").to_owned())
            .collect();
        assert_eq!(addresses, [ipv4(task).to_string(), ipv6(task).to_string()].into(), "{}", task.name);
    }

    let names: BTreeSet<PathBuf> =
        fs::read_dir(host.netns_directory()).unwrap().map(|name| name.unwrap().path()).collect();
    let wanted: BTreeSet<PathBuf> =
        tasks.iter().map(|task| PathBuf::from(&task.netns)).chain(routers.iter().cloned()).collect();
    assert_eq!(names, wanted, "named namespaces");

    let maps: BTreeSet<String> = maps(host).into_iter().collect();
    let enis: BTreeSet<String> = maps.iter().filter(|entry| entry.starts_with("ENI")).cloned().collect();
    assert_eq!(enis, tasks.iter().map(|task| format!("ENI {}", number(task))).collect(), "ENIs in the maps");
    let members = maps.iter().filter(|entry| entry.starts_with("Member")).count();
    assert_eq!(members, 2 * tasks.len(), "members: an address of each family in one group, each");
    assert_eq!(maps.len(), enis.len() + members, "{maps:?}");

    let mut records = records(host);
    records.retain(|record| !record.starts_with("router"));
    records.sort();
    let mut wanted: Vec<String> =
        tasks.iter().map(|task| format!("{:?} {} {}", TaskState::Ready, task.name, number(task))).collect();
    wanted.sort();
    assert_eq!(records, wanted, "records");
    let etc = host.run_directory().join("etc");
    assert_eq!(fs::read_dir(etc).map_or(0, Iterator::count), 0, "files of commands");

    host.start_daemon();
    assert_eq!(host.tasks(), tasks);
}
