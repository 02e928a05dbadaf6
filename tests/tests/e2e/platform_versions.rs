//! Platform versions: which ENI carries what, seen by captures at both, and which versions new tasks may have.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::thread;

use enid_api::v1::{CreateTaskRequest, PrepareRunRequest};
use enid_model::{Carrier, PlatformVersion, TrafficClass};
use enid_testbed::capture::{Capture, Captured};
use enid_testbed::traffic::{accept, tcp_listen};
use enid_testbed::{Host, HostOptions, new_task, program};
use tonic::Code;

use crate::ledger::{assert_closed, flush, records};
use crate::networks::{host, host_as, inside};
use crate::uplink::{OUTSIDE, outside};

const ANSWER: usize = 10_000;

fn task_of(name: &str, version: &str) -> CreateTaskRequest {
    CreateTaskRequest { platform_version: Some(version.to_owned()), ..new_task(name, "shop/a") }
}

fn run(host: &Host, class: TrafficClass, script: &str) -> Result<String, String> {
    let mut enictl = Command::new(program("enictl"));
    enictl.arg("--socket").arg(host.socket()).args(["run", "web", "--class", class.as_str(), "--"]);
    let output = enictl.args(["timeout", "20", "bash", "-c", script]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Packets between a port outside and whoever.
fn packets(captured: &Captured, port: u16) -> u64 {
    let of_port =
        captured.flows.iter().filter(|(flow, _)| [flow.source_port, flow.destination_port].contains(&port));
    of_port.map(|(_, seen)| seen.packets).sum()
}

/// Every class of a version, over the ENI that the matrix names: packets at the task ENI and records of the class, or neither.
fn each_class_takes_its_eni(version: PlatformVersion) {
    let host = host();
    let outside = outside(&host);
    let task = host.create_as(&task_of("web", version.as_str())).unwrap();
    let task_eni = Capture::start(&inside(&task), "eth0", u64::MAX);
    let platform_eni = Capture::start(host.namespace(), "wan", u64::MAX);
    let mut carried = Vec::new();
    for (number, class) in (0_u16..).zip(TrafficClass::ALL) {
        let to = SocketAddr::new(OUTSIDE[usize::from(number % 2)].parse::<IpAddr>().unwrap(), 8000 + number);
        let script = format!("exec 3<>/dev/tcp/{}/{}; wc -c <&3", to.ip(), to.port());
        let Some(eni) = version.carrier(class) else {
            let error = run(&host, class, &script).unwrap_err();
            assert!(
                error.contains(&format!("has platform version {version}, which has no {class}")),
                "{error}"
            );
            continue;
        };
        let listener = tcp_listen(&outside, to.ip(), to.port());
        thread::scope(|scope| {
            scope.spawn(|| accept(&listener).0.write_all(&[7; ANSWER]).unwrap());
            assert_eq!(run(&host, class, &script), Ok(ANSWER.to_string()), "{class}");
        });
        carried.push((class, to.port(), eni));
    }
    flush(&host);
    assert_closed(&host);
    let (at_task, at_host) = (task_eni.captured(), platform_eni.captured());
    let records = records(&host);
    for (class, port, eni) in carried {
        // What leaves the VPC leaves the host by the platform ENI's link in the end, behind its address.
        assert!(packets(&at_host, port) > 0, "{class} at the platform ENI");
        let logged: Vec<_> = records
            .iter()
            .filter(|record| [record.srcport, record.dstport].contains(&Some(port)))
            .map(|record| record.traffic_class)
            .collect();
        match eni {
            Carrier::TaskEni => {
                assert!(packets(&at_task, port) > 0, "{class} at the task ENI");
                assert_eq!(logged, [Some(class); 2], "{class} in the flow log");
            }
            Carrier::PlatformEni => {
                assert_eq!(packets(&at_task, port), 0, "{class} at the task ENI");
                assert_eq!(logged, [], "{class} in the flow log");
            }
        }
    }
}

#[test]
fn each_class_takes_its_eni_on_1_3_0() {
    each_class_takes_its_eni(PlatformVersion::V1_3_0);
}

#[test]
fn each_class_takes_its_eni_on_1_4_0() {
    each_class_takes_its_eni(PlatformVersion::V1_4_0);
}

#[test]
fn a_class_that_the_platform_eni_carries_has_the_hosts_files() {
    let host = host();
    host.create_as(&task_of("web", "1.3.0")).unwrap();
    let own = std::fs::read_to_string("/etc/resolv.conf").unwrap();
    assert_eq!(run(&host, TrafficClass::Secrets, "cat /etc/resolv.conf").unwrap(), own.trim());
    assert_ne!(run(&host, TrafficClass::Logs, "cat /etc/resolv.conf").unwrap(), own.trim());
    let request = PrepareRunRequest { task: "web".to_owned(), traffic_class: "efs".to_owned() };
    let refused = host.call(async |client| client.tasks().prepare_run(request).await).unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

#[test]
fn a_version_is_resolved_once_and_one_that_is_retired_refused() {
    let mut host = host_as(&HostOptions::default());
    let latest = host.create_as(&task_of("old", "LATEST")).unwrap();
    assert_eq!(latest.platform_version, "1.4.0");

    let states = "[platform_versions.\"1.4.0\"]\nstate = \"recalled\"\ndate = \"2026-11-20\"\n";
    host.stop_daemon();
    host.configure(states);
    host.start_daemon();
    // What is there keeps what it has, and is what is asked for again.
    assert_eq!(host.create_as(&task_of("old", "LATEST")).unwrap(), latest);
    assert_eq!(host.create_as(&task_of("old", "1.4.0")).unwrap(), latest);
    assert_eq!(host.create_as(&task_of("new", "LATEST")).unwrap().platform_version, "1.3.0");
    let refused = host.create_as(&task_of("newer", "1.4.0")).unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(
        refused.message(),
        "platform version 1.4.0 was recalled on 2026-11-20; use another one, or LATEST"
    );
}
