//! Flow logs in a store of their own.

use std::sync::Arc;

use enid_delivery::{AggregationInterval, FileOptions, FlowLog, Target, TrafficFilter};
use enid_flowlog::{FlowLogId, Format};
use enid_model::{EniId, NetworkSpec, Networks, VpcId};
use enid_store::NetworkStore;

use super::*;

fn flow_log(name: &str, target: Target) -> FlowLog {
    FlowLog {
        id: FlowLogId::random(),
        name: name.parse().unwrap(),
        target,
        traffic: TrafficFilter::All,
        interval: AggregationInterval::default(),
        format: Format::default(),
        destination: "/var/log/flows".parse().unwrap(),
        files: FileOptions::default(),
        interface_tags: [None, None],
    }
}

fn open(path: &std::path::Path) -> FlowLogs {
    FlowLogs::open(Arc::new(NetworkStore::open(&path.join("networks.redb")).unwrap())).unwrap()
}

#[test]
fn the_same_again_is_the_same_and_another_of_its_name_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let flow_logs = open(directory.path());
    let mut changed = flow_logs.changed();
    let wanted = flow_log("all", Target::Vpc(VpcId::random()));
    let created = flow_logs.create(&wanted).unwrap();
    assert!(changed.has_changed().unwrap());
    assert_eq!(**changed.borrow_and_update(), [Arc::new(wanted.clone())]);
    let again = FlowLog { id: FlowLogId::random(), ..wanted.clone() };
    assert_eq!(flow_logs.create(&again).unwrap(), created);
    assert!(!changed.has_changed().unwrap());
    for (other, what) in [
        (FlowLog { traffic: TrafficFilter::Reject, ..wanted.clone() }, "traffic ALL".to_owned()),
        (
            FlowLog { target: Target::Vpc(VpcId::random()), ..wanted.clone() },
            format!("target {}", wanted.target),
        ),
        (
            FlowLog { destination: "/else".parse().unwrap(), ..wanted.clone() },
            "destination file:///var/log/flows".to_owned(),
        ),
    ] {
        assert_eq!(
            flow_logs.create(&other).unwrap_err().to_string(),
            format!("flow log all exists already, with {what}; delete it first, or use another name")
        );
    }
    drop(flow_logs);
    let flow_logs = open(directory.path());
    assert_eq!(flow_logs.list(), [created.clone()]);
    assert_eq!(flow_logs.get(&created.id.to_string()).unwrap(), created);
    assert!(flow_logs.delete("all").unwrap());
    assert!(!flow_logs.delete("all").unwrap());
    assert_eq!(flow_logs.current().len(), 0);
    assert!(flow_logs.get("all").unwrap_err().to_string().starts_with("there is no flow log `all`"));
}

#[test]
fn those_of_an_eni_end_with_it_and_stay_until_they_are_finished() {
    let directory = tempfile::tempdir().unwrap();
    let (eni, other) = (EniId::random(), EniId::random());
    let flow_logs = open(directory.path());
    let of_eni = flow_logs.create(&flow_log("web", Target::Eni(eni))).unwrap();
    let of_other = flow_logs.create(&flow_log("other", Target::Eni(other))).unwrap();
    assert_eq!(flow_logs.end(|gone| gone == eni).unwrap(), [of_eni.id]);
    assert_eq!(flow_logs.end(|gone| gone == eni).unwrap(), []);
    // Its name is free at once, and nobody sees it but what delivers.
    assert_eq!(flow_logs.list(), [of_other.clone()]);
    assert_eq!(flow_logs.find(|target| target == Target::Eni(eni)), None);
    let next = flow_logs.create(&flow_log("web", Target::Eni(other))).unwrap();
    drop(flow_logs);
    let flow_logs = open(directory.path());
    assert_eq!(flow_logs.current().len(), 3);
    assert!(flow_logs.has_ended(of_eni.id) && !flow_logs.has_ended(of_other.id));
    flow_logs.finish(&[of_eni.id, of_other.id]).unwrap();
    assert_eq!(flow_logs.list(), [of_other, next]);
    assert_eq!(flow_logs.current().len(), 2);
}

const VPC: &str = "[[vpc]]\nname = \"shop\"\nipv4_cidr = \"10.0.0.0/16\"\n[[vpc.subnet]]\nname = \"a\"\nzone = \"z\"\nipv4_cidr = \"10.0.0.0/24\"\n";

/// A network file of a VPC and a flow log that begins on line 8.
fn file(flow_log: &str) -> String {
    format!("{VPC}[[vpc.flow_log]]\nname = \"all\"\n{flow_log}")
}

fn parse(text: &str) -> Result<NetworkSpec, NetworkFileError> {
    NetworkSpec::parse_with(text, "network.toml", check)
}

#[test]
fn a_file_creates_then_updates() {
    let directory = tempfile::tempdir().unwrap();
    let flow_logs = open(directory.path());
    let spec = parse(&file("destination = \"/a\"\nsubnet = \"a\"\ninterval = 60\n")).unwrap();
    let (networks, _) = Networks::default().apply(&spec).unwrap();
    let declared = resolve(&spec, &networks).unwrap();
    let id = declared[0].flow_log.id;
    let added = format!("+ flow-log all ({id}) of subnet a of vpc shop: to file:///a");
    assert_eq!(flow_logs.apply(&declared, true).unwrap(), [added.clone()]);
    assert_eq!(flow_logs.list(), []);
    assert_eq!(flow_logs.untried(&declared).len(), 1);
    assert_eq!(flow_logs.apply(&declared, false).unwrap(), [added]);
    assert_eq!(flow_logs.apply(&resolve(&spec, &networks).unwrap(), false).unwrap(), [""; 0]);
    assert_eq!(flow_logs.untried(&declared).len(), 0);
    let spec = parse(&file("destination = \"/b\"\nsubnet = \"a\"\nhive_partitions = true\n")).unwrap();
    let declared = resolve(&spec, &networks).unwrap();
    assert_eq!(flow_logs.untried(&declared).len(), 1);
    assert_eq!(
        flow_logs.apply(&declared, false).unwrap(),
        [
            "~ flow-log all: destination file:///a → file:///b, interval 60 s → 600 s, Hive partitions off → on"
        ]
    );
    assert_eq!(flow_logs.get("all").unwrap().id, id);
    let spec = parse(&file("destination = \"/b\"\n")).unwrap();
    let refused = flow_logs.apply(&resolve(&spec, &networks).unwrap(), false).unwrap_err().to_string();
    assert!(
        refused.starts_with("network.toml:9:8: vpc[0].flow_log[0].name: there is a flow log all already"),
        "{refused}"
    );
    let spec = parse(&file("destination = \"/b\"\nsubnet = \"b\"\n")).unwrap();
    assert_eq!(
        resolve(&spec, &networks).unwrap_err().to_string(),
        "network.toml:11:10: vpc[0].flow_log[0].subnet: there is no subnet `b`; there is shop/a"
    );
}

#[test]
fn what_is_wrong_in_a_file_is_said_where_it_stands() {
    for (text, wanted) in [
        (
            "destination = \"ftp://x\"\nformat = \"${srcadr}\"\n",
            "network.toml:10:15: vpc[0].flow_log[0].destination: `ftp://x` is not a destination: expected an absolute path, or file:///…, s3://bucket/…, ipfix+udp://host:port, ipfix+tcp://host:port, otlp+http://host:port or otlp+https://host:port\n\
             network.toml:11:10: vpc[0].flow_log[0].format: `srcadr` is not a flow log field; did you mean `srcaddr`?",
        ),
        (
            "destination = \"/a\"\ninterval = 61\ntraffic = \"none\"\n",
            "network.toml:11:12: vpc[0].flow_log[0].interval: `61` is not an aggregation interval: expected 60 or 600 seconds, or 1 to 59\n\
             network.toml:12:11: vpc[0].flow_log[0].traffic: `none` is not a kind of traffic: expected one of ALL, ACCEPT, REJECT",
        ),
        (
            "destination = \"ipfix+udp://127.0.0.1:1\"\nfile_format = \"parquet\"\n",
            "network.toml:10:15: vpc[0].flow_log[0].destination: a collector takes no files: leave out the file format and the partitions",
        ),
        (
            "destination = \"/a\"\ninterface_tags = [\"Name\"]\n",
            "network.toml:11:19: vpc[0].flow_log[0].interface_tags[0]: the format does not show it: a first tag is shown as ${interface-tag}, a second as ${interface-tag-2}",
        ),
        (
            "destination = \"/a\"\ninterface_tags = [\"a\", \"b\", \"c\"]\ninterval = \"soon\"\n",
            "network.toml:11:29: vpc[0].flow_log[0].interface_tags[2]: a flow log shows at most 2 tags; 3 are named\n\
             network.toml:12:12: vpc[0].flow_log[0].interval: `soon` is not a number of seconds",
        ),
    ] {
        assert_eq!(parse(&file(text)).unwrap_err().to_string(), wanted);
    }
}
