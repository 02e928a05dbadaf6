//! Many creates and deletes at once.

use std::thread;

use enid_api::v1::PrepareRunRequest;
use enid_testbed::traffic::ping;
use enid_testbed::{DEADLINE, wait_until};

use crate::kernel::assert_only_listed_tasks;
use crate::ledger::assert_closed;
use crate::networks::{host, inside, ipv4, subnet};

#[test]
fn storms_of_creates_and_deletes_leave_nothing() {
    const CALLERS: usize = 6;
    const TASKS: usize = 12;
    let mut host = host();
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let host = &host;
            scope.spawn(move || {
                let subnet = ["red/a", "red/b", "blue/a"][caller % 3];
                for number in 0..TASKS {
                    let name = format!("t{caller}-{number}");
                    let task = host.create(&name, subnet);
                    assert!(ping(&inside(&task), ipv4(&task), 1, 56));
                    assert!(ping(&inside(&task), "10.0.0.1".parse().unwrap(), 1, 56));
                    let run = PrepareRunRequest { task: name.clone(), traffic_class: "logs".to_owned() };
                    host.call(async |client| client.tasks().prepare_run(run).await).unwrap();
                    if number % 4 != 0 {
                        assert!(host.delete(&name));
                    }
                }
            });
        }
    });
    let tasks = host.tasks();
    assert_eq!(tasks.len(), CALLERS * TASKS.div_ceil(4));
    assert_only_listed_tasks(&host);
    assert_closed(&host);
    thread::scope(|scope| {
        for task in &tasks {
            let host = &host;
            scope.spawn(move || assert!(host.delete(&task.name)));
        }
    });
    assert_eq!(host.tasks(), []);
    assert_only_listed_tasks(&host);
    for name in ["red/a", "red/b", "blue/a"] {
        assert_eq!(subnet(&host, name).available_ipv4_addresses, Some(251), "{name}");
    }
    let cgroups = || {
        let entries = std::fs::read_dir(host.cgroup_directory()).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir()).count()
    };
    assert!(wait_until(DEADLINE, || cgroups() == 0));
    let etc = host.run_directory().join("etc");
    assert!(wait_until(DEADLINE, || std::fs::read_dir(&etc).unwrap().count() == 0));

    host.stop_daemon();
    assert_nothing_stored(&host);
}

/// Asserts that neither the store nor the maps know of any task.
#[track_caller]
fn assert_nothing_stored(host: &enid_testbed::Host) {
    let store = enid_store::RunStore::open(&host.run_directory().join("run.redb")).unwrap();
    assert_eq!(store.tasks().unwrap(), []);
    let config = enid_datapath::DatapathConfig {
        flow_capacity: 4096,
        refusal_capacity: 4096,
        eni_capacity: 256,
        ..enid_datapath::DatapathConfig::new(host.folder().join("bpf/enid"))
    };
    let mut flows = 0;
    enid_datapath::Datapath::load(&config).unwrap().read_flows(&mut |_| flows += 1).unwrap();
    assert_eq!(flows, 0, "flow entries");
}
