//! Flow logs are created, refused, updated and deleted, and end with what they are of.

use std::path::Path;

use enid_api::v1::create_flow_log_request::Target;
use enid_api::v1::delete_network_object_request::Object;
use enid_api::v1::{
    CreateFlowLogRequest, DeleteFlowLogRequest, DeleteNetworkObjectRequest, FlowLog, FlowLogFiles,
    GetFlowLogRequest, ListFlowLogsRequest,
};
use enid_testbed::{DEADLINE, Host, wait_until};
use tonic::{Code, Status};

use crate::networks::host;

fn request(host: &Host, name: &str, target: Target) -> CreateFlowLogRequest {
    CreateFlowLogRequest {
        name: name.to_owned(),
        target: Some(target),
        destination: host.state_directory().join("delivered").display().to_string(),
        ..CreateFlowLogRequest::default()
    }
}

/// Creates a flow log, and leaves out of the answer how its delivery goes, which changes.
fn create(host: &Host, request: &CreateFlowLogRequest) -> Result<FlowLog, Status> {
    let created = host.call(async |client| client.flow_logs().create(request.clone()).await)?;
    Ok(FlowLog { delivery: None, ..created })
}

fn delete(host: &Host, flow_log: &str) -> bool {
    let request = DeleteFlowLogRequest { flow_log: flow_log.to_owned() };
    host.call(async |client| client.flow_logs().delete(request).await).unwrap().existed
}

fn list(host: &Host) -> Vec<FlowLog> {
    let listed = host.call(async |client| client.flow_logs().list(ListFlowLogsRequest {}).await).unwrap();
    listed.flow_logs.into_iter().map(|flow_log| FlowLog { delivery: None, ..flow_log }).collect()
}

fn names(host: &Host) -> Vec<String> {
    list(host).into_iter().map(|flow_log| flow_log.name).collect()
}

#[test]
fn flow_logs_are_there_until_they_are_deleted() {
    let mut host = host();
    host.create("web", "red/a");
    let all = create(&host, &request(&host, "all", Target::Vpc("red".into()))).unwrap();
    assert_eq!((&*all.target_name, all.interval_seconds, &*all.traffic), ("vpc red", 600, "ALL"));
    assert!(all.format.starts_with("${version} ${account-id} "), "{}", all.format);
    assert!(host.state_directory().join("delivered").is_dir(), "the destination was tried");
    assert_eq!(std::fs::read_dir(host.state_directory().join("delivered")).unwrap().count(), 0);
    let parquet = CreateFlowLogRequest {
        interval_seconds: Some(60),
        traffic: Some("REJECT".into()),
        format: Some("${srcaddr} ${interface-tag}".into()),
        interface_tags: vec!["Name".into()],
        files: Some(FlowLogFiles {
            format: "parquet".into(),
            hive_partitions: true,
            hourly_partitions: true,
        }),
        ..request(&host, "a-subnet", Target::Subnet("red/a".into()))
    };
    let of_subnet = create(&host, &parquet).unwrap();
    let of_task = create(&host, &request(&host, "of-task", Target::Task("web".into()))).unwrap();
    assert_eq!((&*of_subnet.target_name, &*of_task.target_name), ("subnet red/a", "task web"));
    assert_eq!(of_task.target, host.tasks()[0].eni.as_ref().unwrap().id);
    assert_eq!(names(&host), ["a-subnet", "all", "of-task"]);

    // The same again is the same, also by another name of its target; other content is refused.
    assert_eq!(create(&host, &parquet).unwrap(), of_subnet);
    let eni = of_task.target.clone();
    assert_eq!(create(&host, &request(&host, "of-task", Target::Eni(eni))).unwrap(), of_task);
    for other in [
        request(&host, "all", Target::Vpc("blue".into())),
        CreateFlowLogRequest {
            interval_seconds: Some(10),
            ..request(&host, "all", Target::Vpc("red".into()))
        },
    ] {
        let error = create(&host, &other).unwrap_err();
        assert_eq!(error.code(), Code::AlreadyExists, "{error}");
        assert!(error.message().starts_with("flow log all exists already, with "), "{error}");
    }

    let before = list(&host);
    host.restart_daemon();
    assert_eq!(list(&host), before);
    let request = GetFlowLogRequest { flow_log: all.id.clone() };
    let found = host.call(async |client| client.flow_logs().get(request).await).unwrap();
    assert_eq!(FlowLog { delivery: None, ..found }, all);
    assert!(delete(&host, &all.id));
    assert!(!delete(&host, "all"));
    assert_eq!(names(&host), ["a-subnet", "of-task"]);
}

#[test]
fn what_can_not_be_is_said_at_once() {
    let host = host();
    let all = request(&host, "all", Target::Vpc("red".into()));
    let file = host.state_directory().join("file");
    std::fs::write(&file, "").unwrap();
    let inside_file = file.join("flows").display().to_string();
    let read_only = "/proc/flows";
    let change = |change: fn(&mut CreateFlowLogRequest)| {
        let mut request = all.clone();
        change(&mut request);
        request
    };
    for (request, code, message) in [
        (change(|request| request.name = "a b".into()), Code::InvalidArgument, "`a b` is not a name"),
        (
            change(|request| request.name = "fl-00000000000000001".into()),
            Code::InvalidArgument,
            "`fl-00000000000000001` is not a flow log's name: it is of the form of an id",
        ),
        (change(|request| request.target = None), Code::InvalidArgument, "say whose records"),
        (
            change(|request| request.target = Some(Target::Vpc("green".into()))),
            Code::NotFound,
            "there is no VPC `green`",
        ),
        (
            change(|request| request.target = Some(Target::Task("web".into()))),
            Code::NotFound,
            "there is no task `web`",
        ),
        (
            change(|request| request.target = Some(Target::Eni("eni-00000000000000000".into()))),
            Code::NotFound,
            "there is no ENI eni-0",
        ),
        (
            change(|request| request.format = Some("${srcadr}".into())),
            Code::InvalidArgument,
            "`srcadr` is not a flow log field; did you mean `srcaddr`?",
        ),
        (
            change(|request| request.interval_seconds = Some(601)),
            Code::InvalidArgument,
            "`601` is not an aggregation interval",
        ),
        (
            change(|request| request.traffic = Some("SOME".into())),
            Code::InvalidArgument,
            "`SOME` is not a kind of traffic",
        ),
        (
            change(|request| request.destination = "ftp://host".into()),
            Code::InvalidArgument,
            "`ftp://host` is not a destination",
        ),
        (
            change(|request| {
                request.destination = "ipfix+udp://127.0.0.1:4739".into();
                request.files = Some(FlowLogFiles { hive_partitions: true, ..FlowLogFiles::default() });
            }),
            Code::InvalidArgument,
            "a collector takes no files",
        ),
        (
            change(|request| request.interface_tags = vec!["Name".into()]),
            Code::InvalidArgument,
            "the format does not show it",
        ),
        (
            CreateFlowLogRequest { destination: inside_file, ..all.clone() },
            Code::FailedPrecondition,
            "nothing can be delivered to ",
        ),
        (
            CreateFlowLogRequest { destination: read_only.into(), ..all.clone() },
            Code::FailedPrecondition,
            "nothing can be delivered to file:///proc/flows: can't make the directory",
        ),
    ] {
        let error = create(&host, &request).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().starts_with(message), "{error}");
    }
    assert_eq!(names(&host), [""; 0]);
}

#[test]
fn what_has_a_flow_log_is_not_deleted_but_a_task() {
    let mut host = host();
    let remove = |host: &Host, object| {
        let request = DeleteNetworkObjectRequest { object: Some(object) };
        host.call(async |client| client.networks().delete(request).await).map(|_| ())
    };
    create(&host, &request(&host, "of-subnet", Target::Subnet("red/a".into()))).unwrap();
    for object in [Object::Vpc("red".into()), Object::Subnet("red/a".into())] {
        let error = remove(&host, object).unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
        assert!(error.message().contains("has the flow log of-subnet; delete the flow log first"), "{error}");
    }
    remove(&host, Object::Subnet("red/b".into())).unwrap();
    assert!(delete(&host, "of-subnet"));
    remove(&host, Object::Subnet("red/a".into())).unwrap();

    host.create("web", "blue/a");
    host.create("db", "blue/a");
    for task in ["web", "db"] {
        create(&host, &request(&host, task, Target::Task(task.into()))).unwrap();
    }
    host.delete("web");
    assert!(wait_until(DEADLINE, || names(&host) == ["db"]), "{:?}", names(&host));
    // Tasks that a reboot took are not there to be deleted.
    host.restart_daemon();
    assert_eq!(names(&host), ["db"]);
    host.create("web", "blue/a");
    create(&host, &request(&host, "web", Target::Task("web".into()))).unwrap();
}

/// The network file of a new VPC with a flow log.
fn file(directory: &Path, rest: &str) -> String {
    format!(
        "[[vpc]]\nname = \"logged\"\nipv4_cidr = \"10.9.0.0/16\"\n\n[[vpc.subnet]]\nname = \"a\"\nzone = \"z\"\n\
         ipv4_cidr = \"10.9.0.0/24\"\n\n[[vpc.flow_log]]\nname = \"declared\"\ndestination = \"{}\"\n{rest}",
        directory.display()
    )
}

#[test]
fn a_network_file_declares_flow_logs() {
    let host = host();
    let directory = host.state_directory().join("declared");
    let text = file(&directory, "subnet = \"a\"\ninterval = 60\n");
    let planned = host.try_apply(&text, true).unwrap();
    assert!(planned.last().unwrap().starts_with("+ flow-log declared (fl-"), "{planned:?}");
    assert!(!directory.exists() && names(&host).is_empty(), "a dry run changes nothing");
    let changed = host.apply(&text);
    assert_eq!(changed.len(), planned.len());
    assert!(
        changed
            .last()
            .unwrap()
            .ends_with(&format!(") of subnet a of vpc logged: to file://{}", directory.display())),
        "{changed:?}"
    );
    assert_eq!(list(&host)[0].target_name, "subnet logged/a");
    assert_eq!(host.apply(&text), [""; 0]);
    let changed = host.apply(&file(&directory, "subnet = \"a\"\ntraffic = \"ACCEPT\"\n"));
    assert_eq!(changed, ["~ flow-log declared: interval 60 s → 600 s, traffic ALL → ACCEPT"]);
    assert_eq!(list(&host)[0].traffic, "ACCEPT");

    // What is wrong with one flow log keeps everything else from changing.
    let new = "\n[[vpc]]\nname = \"new\"\nipv4_cidr = \"10.8.0.0/16\"\n";
    for (rest, code, message) in [
        (
            "subnet = \"a\"\nformat = \"${bites}\"\n",
            Code::InvalidArgument,
            "network.toml:14:10: vpc[0].flow_log[0].format: `bites` is not a flow log field; did you mean `bytes`?",
        ),
        (
            "subnet = \"b\"\n",
            Code::InvalidArgument,
            "network.toml:13:10: vpc[0].flow_log[0].subnet: there is no subnet `b`; there is logged/a",
        ),
        (
            "",
            Code::InvalidArgument,
            "network.toml:11:8: vpc[0].flow_log[0].name: there is a flow log declared already",
        ),
    ] {
        let error = host.try_apply(&(file(&directory, rest) + new), false).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().starts_with(message), "{error}");
    }
    let unwritable = file(Path::new("/proc/flows"), "subnet = \"a\"\n") + new;
    let error = host.try_apply(&unwritable, false).unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    assert!(crate::networks::vpcs(&host).iter().all(|vpc| vpc.name != "new"));
    assert_eq!(list(&host)[0].traffic, "ACCEPT");
}
