//! Namespaces that somebody else made: `--netns`.

use std::fs;
use std::path::PathBuf;

use enid_api::v1::CreateTaskRequest;
use enid_netns::Namespace;
use enid_testbed::traffic::ping;
use enid_testbed::{DEADLINE, Host, namespace, new_task, wait_until};
use tonic::Code;

use crate::kernel::{assert_only_listed_tasks, link_names};
use crate::networks::{host, inside, ipv4, vpc};

fn somebodys(host: &Host, name: &str) -> (PathBuf, Namespace) {
    let path = host.folder().join(name);
    let namespace = namespace::create(&path);
    (path, namespace)
}

fn adopting(name: &str, path: impl Into<PathBuf>) -> CreateTaskRequest {
    CreateTaskRequest { netns: Some(path.into().display().to_string()), ..new_task(name, "red/a") }
}

#[test]
fn an_adopted_namespace_works_and_survives_its_task() {
    let host = host();
    let peer = host.create("peer", "red/b");
    let (path, theirs) = somebodys(&host, "theirs");
    let request = adopting("web", &path);
    let task = host.create_as(&request).unwrap();
    assert_eq!(task.netns, path.display().to_string());
    assert_eq!(host.create_as(&request).unwrap(), task);
    assert_eq!(link_names(&theirs), ["lo", "eth0"]);
    assert!(ping(&inside(&task), ipv4(&peer), 1, 56));

    assert!(host.delete("web"));
    assert_eq!(namespace::open(&path).id(), theirs.id());
    assert!(wait_until(DEADLINE, || link_names(&theirs) == ["lo"]));
    assert_only_listed_tasks(&host);
    // Another task may have it now.
    let task = host.create_as(&adopting("other", &path)).unwrap();
    assert!(ping(&theirs, ipv4(&peer), 1, 56));
    assert_eq!(task.name, "other");
}

#[test]
fn a_namespace_has_one_task() {
    let host = host();
    let (path, _) = somebodys(&host, "theirs");
    host.create_as(&adopting("web", &path)).unwrap();
    let error = host.create_as(&adopting("other", &path)).unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists, "{error}");
    assert!(error.message().contains("belongs to task web already"), "{error}");
    // Nor by another path to it.
    let link = host.folder().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let error = host.create_as(&adopting("other", &link)).unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists, "{error}");
    // Nor a namespace that enid made for another task.
    let own = host.create("own", "red/a");
    let error = host.create_as(&adopting("other", &own.netns)).unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists, "{error}");
    assert_only_listed_tasks(&host);
}

#[test]
fn one_namespace_wanted_by_many_at_once_has_one_task() {
    let host = host();
    let (path, theirs) = somebodys(&host, "theirs");
    let created = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|number| {
                let request = adopting(&format!("task-{number}"), &path);
                let host = &host;
                scope.spawn(move || host.create_as(&request))
            })
            .collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).count()
    });
    assert_eq!(created, 1);
    assert_eq!(host.tasks().len(), 1);
    assert_eq!(link_names(&theirs), ["lo", "eth0"]);
    assert_only_listed_tasks(&host);
}

#[test]
fn what_is_no_tasks_namespace_is_refused() {
    let host = host();
    host.create("peer", "red/a");
    let file = host.folder().join("file");
    fs::write(&file, "").unwrap();
    let router = vpc(&host, "red").router_netns.unwrap();
    let refused = [
        (host.folder().join("host"), Code::InvalidArgument, "the host's own"),
        (router.into(), Code::InvalidArgument, "a VPC router's"),
        (file, Code::InvalidArgument, "is not a network namespace"),
        ("/proc/self/ns/mnt".into(), Code::InvalidArgument, "is not a network namespace"),
        (host.folder().join("missing"), Code::NotFound, "missing"),
    ];
    for (path, code, sentence) in refused {
        let error = host.create_as(&adopting("web", path)).unwrap_err();
        assert!(error.message().contains(sentence), "{error}");
        assert_eq!(error.code(), code, "{error}");
    }
    assert_eq!(host.tasks().len(), 1);
    assert_only_listed_tasks(&host);
}

#[test]
fn a_namespace_that_has_an_eth0_already_is_refused_and_left_as_it_was() {
    let host = host();
    let (path, theirs) = somebodys(&host, "theirs");
    namespace::command(&theirs, &["ip", "link", "add", "eth0", "type", "bridge"]);
    let error = host.create_as(&adopting("web", &path)).unwrap_err();
    assert!(error.message().contains("eth0"), "{error}");
    assert_eq!(link_names(&theirs), ["lo", "eth0"]);
    assert_eq!(host.tasks(), []);
    assert_only_listed_tasks(&host);
}
