//! Purge.

use enid::{Config, Directories, purge};
use std::path::PathBuf;
use std::process::Command;

use enid_api::v1::{CreateTaskRequest, PrepareRunRequest};
use enid_testbed::namespace;
use enid_testbed::{DEADLINE, Host, new_task, program, wait_until};

use crate::kernel::link_names;
use crate::ledger::records;
use crate::networks::host;

/// The lines of the host's firewall.
fn firewall(host: &Host) -> String {
    namespace::command(host.namespace(), &["nft", "list", "ruleset"])
}

#[test]
fn purge_leaves_nothing_but_what_is_declared_and_recorded() {
    let mut host = host();
    namespace::command(host.namespace(), &["nft", "add", "table", "inet", "theirs"]);
    let (links, rules) = (link_names(host.namespace()), firewall(&host));
    let path = host.folder().join("theirs");
    let theirs = namespace::create(&path);
    let adopted =
        CreateTaskRequest { netns: Some(path.display().to_string()), ..new_task("adopted", "red/a") };
    host.create_as(&adopted).unwrap();
    for name in ["a", "b"] {
        host.create(name, "shop/a");
        let run = PrepareRunRequest { task: name.to_owned(), traffic_class: "logs".to_owned() };
        host.call(async |client| client.tasks().prepare_run(run).await).unwrap();
    }
    host.create("c", "bank/a");
    host.delete("b");
    assert_ne!(firewall(&host), rules);
    // It closes the interval.
    host.stop_daemon();
    let written = records(&host);
    assert!(!written.is_empty());

    let errors: Vec<String> = host.purge().iter().map(ToString::to_string).collect();
    assert_eq!(errors, [""; 0]);
    assert_eq!(host.leftovers(), [""; 0].map(PathBuf::from));
    assert_eq!(link_names(host.namespace()), links);
    assert_eq!(firewall(&host), rules);
    assert_eq!(records(&host), written);
    // What somebody else made is theirs, without enid's link.
    assert_eq!(namespace::open(&path).id(), theirs.id());
    assert!(wait_until(DEADLINE, || link_names(&theirs) == ["lo"]));
    // Twice is as good as once.
    assert_eq!(host.purge().len(), 0);
    host.start_daemon();
    assert_eq!(host.tasks(), []);
    host.create("a", "shop/a");
}

#[test]
fn purge_is_refused_while_the_daemon_runs() {
    let host = host();
    let task = host.create("web", "red/a");
    let mut command = Command::new(program("enid"));
    command.arg("purge").arg("--config").arg(host.folder().join("enid.toml"));
    command.arg("--run-dir").arg(host.run_directory()).arg("--state-dir").arg(host.state_directory());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(host.tasks(), std::slice::from_ref(&task));
    assert!(enid_testbed::traffic::ping(&namespace::open(&task.netns), "10.0.0.1".parse().unwrap(), 1, 56));
}

#[test]
fn a_folder_that_was_no_run_directory_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path();
    std::fs::create_dir_all(run.join("etc/ssh")).unwrap();
    for file in ["etc/passwd", "exported", "enid.sock"] {
        std::fs::write(run.join(file), "somebody's").unwrap();
    }
    let mut config = Config::default();
    config.paths.bpf = run.join("pins");
    config.paths.cgroup = Some(run.join("cgroup"));
    std::fs::create_dir_all(run.join("cgroup/foreign/deep")).unwrap();
    let errors = purge(&config, &Directories { run: run.to_owned(), state: run.join("state") });
    assert!(errors.is_empty(), "{errors:?}");
    for path in ["etc/passwd", "etc/ssh", "exported", "enid.sock", "cgroup/foreign/deep"] {
        assert!(run.join(path).exists(), "{path}");
    }
}
