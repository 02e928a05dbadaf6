//! Many calls at once.

use std::collections::HashSet;
use std::thread;

use serde_json::{Value, json};

use super::plugin::{Container, call, network};
use crate::kernel::assert_only_listed_tasks;
use crate::networks::host;

#[test]
fn fifty_containers_are_added_at_once_and_deleted_at_once() {
    let host = host();
    let configuration = network(&host, "1.1.0", "vpc", "red/a", json!({"timeoutSeconds": 60}));
    let containers: Vec<Container> =
        (0..50).map(|number| Container::new(&host, &format!("c{number}"))).collect();
    let all = |verb: &'static str| -> Vec<Value> {
        thread::scope(|scope| {
            let calls: Vec<_> = containers
                .iter()
                .map(|container| {
                    let (host, configuration) = (&host, &configuration);
                    scope.spawn(move || call(host, verb, configuration, container).result())
                })
                .collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        })
    };
    let addresses: HashSet<String> =
        all("ADD").iter().map(|result| result["ips"][0]["address"].to_string()).collect();
    assert_eq!(addresses.len(), containers.len());
    assert_eq!(host.tasks().len(), containers.len());
    all("DEL");
    assert_eq!(host.tasks(), []);
    assert_only_listed_tasks(&host);
}

/// A runtime calls DEL after an ADD that was refused.
#[test]
fn another_s_task_of_the_same_name_stays() {
    let host = host();
    let configuration = network(&host, "1.1.0", "vpc", "red/a", json!({}));
    let container = Container::new(&host, "c1");
    call(&host, "ADD", &configuration, &container).result();
    let name = host.tasks()[0].name.clone();
    call(&host, "DEL", &configuration, &container).result();
    let other = host.create(&name, "red/b");
    let (code, _) = call(&host, "ADD", &configuration, &container).error();
    assert_eq!(code, 100);
    call(&host, "DEL", &configuration, &container).result();
    assert_eq!(host.tasks(), [other]);
}

#[test]
fn one_container_that_is_added_and_deleted_at_once_is_there_or_not() {
    let host = host();
    let configuration = network(&host, "1.1.0", "vpc", "red/a", json!({}));
    for round in 0..10 {
        let container = Container::new(&host, &format!("c{round}"));
        thread::scope(|scope| {
            let (host, configuration, container) = (&host, &configuration, &container);
            for verb in ["ADD", "DEL", "ADD", "DEL"] {
                // Either may be first: a container is the runtime's to call for once at a time.
                scope.spawn(move || call(host, verb, configuration, container));
            }
        });
        assert!(host.tasks().len() <= 1);
        call(&host, "DEL", &configuration, &container).result();
        assert_eq!(host.tasks(), []);
    }
    assert_only_listed_tasks(&host);
}
