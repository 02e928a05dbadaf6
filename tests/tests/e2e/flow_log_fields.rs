//! What records say of tasks, next hops and services, and what a VPC does not log.

use std::collections::BTreeMap;
use std::fs;

use enid_api::v1::{CreateTaskRequest, EcsTask, PacketsAndBytes, Task, UpdateTaskRequest};
use enid_flowlog::{Field, Fields as _, ParsedRecord};
use enid_testbed::traffic::{ping, send_datagrams, udp};
use enid_testbed::{Host, HostOptions, new_task};
use tonic::{Code, Status};

use crate::ledger::{assert_closed, counters, flush, records};
use crate::networks::{host, host_as, inside, ipv4, ipv6};

fn update(host: &Host, request: &UpdateTaskRequest) -> Result<Task, Status> {
    host.call(async |client| client.tasks().update(request.clone()).await)
}

fn tags<const N: usize>(tags: [(&str, &str); N]) -> BTreeMap<String, String> {
    tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The fields of the only record of a task that has one since `after` records.
fn fields<const N: usize>(
    records: &[ParsedRecord],
    task: &str,
    after: usize,
    fields: [Field; N],
) -> [Option<String>; N] {
    let of = |record: &&ParsedRecord| record.task_name.as_deref() == Some(task) && record.srcaddr.is_some();
    let found: Vec<_> = records.iter().filter(of).skip(after).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    fields.map(|field| found[0].value(field).map(|value| value.to_string()))
}

#[test]
fn records_have_the_ecs_objects_of_their_task() {
    let mut host = host();
    let ecs =
        EcsTask { cluster_name: Some("shop".into()), service_name: Some("web".into()), ..EcsTask::default() };
    let request = CreateTaskRequest {
        ecs: Some(ecs.clone()),
        tags: tags([("Name", "web 1"), ("Owner", "ann")]),
        ..new_task("a", "red/a")
    };
    let a = host.create_as(&request).unwrap();
    assert_eq!((a.ecs.as_ref(), &a.tags), (Some(&ecs), &request.tags));
    let b = host.create("b", "red/b");
    let exchange = |host: &Host| {
        send_datagrams(&udp(&inside(&a), ipv4(&a), 5000), &udp(&inside(&b), ipv4(&b), 5001), 3, 72);
        flush(host);
        records(host)
    };
    let shown = [Field::EcsClusterName, Field::EcsServiceName, Field::EcsContainerId, Field::EcsTaskArn];
    let text = |texts: [&str; 4]| texts.map(|text| (!text.is_empty()).then(|| text.to_owned()));
    assert_eq!(fields(&exchange(&host), "a", 0, shown), text(["shop", "web", "", ""]));

    // Once there are containers, their ids are told; a service's name is taken back.
    let changed = update(
        &host,
        &UpdateTaskRequest {
            name: "a".into(),
            ecs: Some(EcsTask {
                container_id: Some("4f1c".into()),
                service_name: Some(String::new()),
                ..EcsTask::default()
            }),
            tags: tags([("Name", "web 2")]),
            remove_tags: vec!["Owner".into(), "None".into()],
        },
    )
    .unwrap();
    assert_eq!(changed.tags, tags([("Name", "web 2")]));
    assert_eq!(fields(&exchange(&host), "a", 1, shown), text(["shop", "", "4f1c", ""]));
    host.restart_daemon();
    let task = host.tasks().remove(0);
    assert_eq!((&task.ecs, &task.tags), (&changed.ecs, &changed.tags));
    assert_eq!(fields(&exchange(&host), "a", 2, shown), text(["shop", "", "4f1c", ""]));

    // What a creator leaves open agrees with what there is; what it says must.
    assert_eq!(host.create_as(&new_task("a", "red/a")).unwrap(), task);
    let same = CreateTaskRequest { tags: tags([("Name", "web 2")]), ..new_task("a", "red/a") };
    assert_eq!(host.create_as(&same).unwrap(), task);
    for (other, what) in [
        (request.clone(), "no ECS service-name"),
        (CreateTaskRequest { ecs: None, ..request }, "tag Name=web 2"),
        (CreateTaskRequest { tags: tags([("Owner", "ann")]), ..new_task("a", "red/a") }, "no tag Owner"),
    ] {
        let error = host.create_as(&other).unwrap_err();
        assert_eq!(error.code(), Code::AlreadyExists, "{error}");
        assert!(error.message().contains(&format!("with {what};")), "{error}");
    }
    for (bad, message) in [
        (UpdateTaskRequest { name: "c".into(), ..Default::default() }, "there is no task `c`"),
        (
            UpdateTaskRequest {
                name: "a".into(),
                ecs: Some(EcsTask { task_id: Some("a b".into()), ..EcsTask::default() }),
                ..Default::default()
            },
            "`a b` is not an identifier",
        ),
        (
            UpdateTaskRequest { name: "a".into(), tags: tags([("", "x")]), ..Default::default() },
            "`` is not a tag key",
        ),
    ] {
        let error = update(&host, &bad).unwrap_err();
        assert!(error.message().starts_with(message), "{error}");
    }
    assert_eq!(host.tasks().remove(0), task);
}

#[test]
fn records_name_the_next_hop_and_services() {
    let directory = std::env::temp_dir().join(format!("enid-services-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let prefixes = directory.join("ip-ranges.json");
    let published = |service: &str| {
        format!(
            r#"{{"prefixes": [{{"ip_prefix": "10.0.0.0/8", "service": "AMAZON"}},
                {{"ip_prefix": "10.0.1.0/24", "service": "{service}"}}], "ipv6_prefixes": []}}"#
        )
    };
    fs::write(&prefixes, published("S3")).unwrap();
    let host = host_as(&HostOptions { ip_ranges: Some(prefixes.clone()), ..HostOptions::default() });
    let (a, b) = (host.create("a", "red/a"), host.create("b", "red/b"));
    // Of the same addresses, in another VPC.
    host.create("other", "blue/a");
    let exchange = || {
        send_datagrams(&udp(&inside(&a), ipv4(&a), 5000), &udp(&inside(&b), ipv4(&b), 5001), 3, 72);
        flush(&host);
        records(&host)
    };
    let shown = [
        Field::NextHopInterfaceId,
        Field::NextHopSubnetId,
        Field::NextHopAzId,
        Field::NextHopVpcId,
        Field::NextHopInterfaceType,
        Field::PktSrcAwsService,
        Field::PktDstAwsService,
    ];
    let as_seen = |other: &Task, services: [&str; 2]| {
        let eni = other.eni.as_ref().unwrap();
        let [source, destination] = services;
        [&*eni.id, &*eni.subnet_id, &*eni.zone, &*eni.vpc_id, "interface", source, destination]
            .map(|text| Some(text.to_owned()))
    };
    let found = exchange();
    assert_eq!(fields(&found, "a", 0, shown), as_seen(&b, ["AMAZON", "S3"]));
    assert_eq!(fields(&found, "b", 0, shown), as_seen(&a, ["AMAZON", "S3"]));
    // A file that can't be used leaves things as they are; one that can is used from the next interval on.
    fs::write(&prefixes, "none").unwrap();
    assert_eq!(fields(&exchange(), "b", 1, shown), as_seen(&a, ["AMAZON", "S3"]));
    fs::write(&prefixes, published("DYNAMODB")).unwrap();
    assert_eq!(fields(&exchange(), "b", 2, shown), as_seen(&a, ["AMAZON", "DYNAMODB"]));
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn what_a_vpc_does_not_log_is_counted_and_in_no_record() {
    let host = host();
    let a = host.create("a", "red/a");
    let within = inside(&a);
    assert!(ping(&within, "10.0.0.1".parse().unwrap(), 1, 56));
    let socket = udp(&within, ipv4(&a), 5000);
    // The VPC's DNS server, base + 2, which this VPC has none at.
    for _ in 0..2 {
        let _ = socket.send_to(&[0; 72], "10.0.0.2:53");
    }
    let socket = udp(&within, ipv6(&a), 5000);
    let _ = socket.send_to(&[0; 72], "[fd00:ec2::253]:53");
    let logged = udp(&within, ipv4(&a), 5001);
    let _ = logged.send_to(&[0; 72], "10.0.9.9:53");
    flush(&host);
    let found: Vec<ParsedRecord> =
        records(&host).into_iter().filter(|record| record.srcaddr.is_some()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].dstaddr, Some("10.0.9.9".parse().unwrap()));
    let counted = counters(&host, "a");
    let of = |packets, bytes| Some(PacketsAndBytes { packets, bytes });
    // The router's answer, and what it says of destinations that there are not.
    let come = counted.ingress.unwrap();
    let classes = come.classes.iter();
    let in_flows = classes.fold((0, 0), |sum, class| (sum.0 + class.packets, sum.1 + class.bytes));
    assert!(in_flows.0 >= 1, "{come:?}");
    assert_eq!(come.not_logged, of(in_flows.0, in_flows.1));
    let sent = counted.egress.unwrap().not_logged.unwrap();
    assert_eq!(sent.packets, 4, "an echo request and three to DNS servers");
    assert_eq!(sent.bytes, 84 + 2 * 100 + 120);
    assert_closed(&host);
    let audit = host.audit().remove(0);
    assert_eq!(audit.egress.unwrap().not_logged, Some(sent));
}
