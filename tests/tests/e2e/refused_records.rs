//! What is refused has a record that says so, and the ledgers close over it, whoever forwards.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use enid::ForwardingMode;
use enid_api::v1::{CreateTaskRequest, EniCounters, PacketsAndBytes, Task};
use enid_flowlog::{Action, Direction, DropReason, LogStatus, ParsedRecord};
use enid_model::MacAddress;
use enid_testbed::namespace::command;
use enid_testbed::traffic::{send_datagrams, udp};
use enid_testbed::{DEADLINE, Host, HostOptions, new_task, wait_until};

use crate::command_line::succeed;
use crate::kernel::{ask, assert_only_listed_tasks};
use crate::ledger::{assert_closed, counters, flush, records};
use crate::networks::{inside, ipv4, ipv6};

const UDP: u8 = 17;
/// Of the datagrams here: 72 bytes behind their headers.
const SIZE: usize = 72;

const GUARDED: &str = r#"
[[vpc]]
name = "guarded"
ipv4_cidr = "10.2.0.0/16"
ipv6_cidr = "fd00:c::/56"
uplink = "none"

[[vpc.subnet]]
name = "a"
zone = "zone-a"
ipv4_cidr = "10.2.0.0/24"
ipv6_cidr = "fd00:c::/64"

[[vpc.security_group]]
name = "open"
ingress = [{ protocol = "all", cidr = "0.0.0.0/0" }, { protocol = "all", cidr = "::/0" }]
egress = [{ protocol = "all", cidr = "0.0.0.0/0" }, { protocol = "all", cidr = "::/0" }]

[[vpc.security_group]]
name = "nothing-in"
egress = [{ protocol = "all", cidr = "0.0.0.0/0" }, { protocol = "all", cidr = "::/0" }]

[[vpc.security_group]]
name = "nothing-out"
ingress = [{ protocol = "all", cidr = "0.0.0.0/0" }, { protocol = "all", cidr = "::/0" }]
egress = []
"#;

/// Runs a test on hosts that differ in who forwards.
fn on_both(options: &HostOptions, test: impl Fn(Host)) {
    for forwarding in [ForwardingMode::Direct, ForwardingMode::Kernel] {
        let host = Host::start(&HostOptions { forwarding, ..options.clone() });
        host.apply(GUARDED);
        test(host);
    }
}

fn create(host: &Host, name: &str, group: &str) -> Task {
    create_as(host, &new_task(name, "guarded/a"), group)
}

fn create_as(host: &Host, request: &CreateTaskRequest, group: &str) -> Task {
    let security_groups = vec![group.to_owned()];
    host.create_as(&CreateTaskRequest { security_groups, ..request.clone() }).unwrap()
}

fn addresses(task: &Task) -> [IpAddr; 2] {
    [ipv4(task), ipv6(task)]
}

/// Sends datagrams that nobody will receive.
fn send(from: &UdpSocket, to: IpAddr, port: u16, count: usize) {
    for _ in 0..count {
        // A router that has no route says so, to whoever sends next.
        let mut sent = from.send_to(&[0; SIZE], SocketAddr::new(to, port));
        if sent.is_err() {
            sent = from.send_to(&[0; SIZE], SocketAddr::new(to, port));
        }
        assert_eq!(sent.unwrap(), SIZE);
    }
}

/// Packets and bytes of that many datagrams.
fn datagrams(count: u64, address: IpAddr) -> (u64, u64) {
    (count, count * (SIZE as u64 + if address.is_ipv4() { 28 } else { 48 }))
}

/// Waits until an ENI has refused as many packets in a direction, and closes the interval.
#[track_caller]
fn flush_after(host: &Host, task: &str, direction: Direction, refused: u64) {
    let mut found = 0;
    let all = wait_until(DEADLINE, || {
        found = refused_packets(&counters(host, task), direction);
        found >= refused
    });
    assert!(all, "{task} has refused {found} packets, not {refused}");
    flush(host);
}

fn refused_packets(counters: &EniCounters, direction: Direction) -> u64 {
    let counters = match direction {
        Direction::Egress => counters.egress.as_ref(),
        Direction::Ingress => counters.ingress.as_ref(),
    };
    counters.unwrap().refused.iter().map(|counter| counter.packets).sum()
}

/// What a task's records say of datagrams to an address and port: direction, reason, packets and bytes.
type Said = (Direction, Option<DropReason>, (u64, u64));

fn said(records: &[ParsedRecord], task: &str, to: IpAddr, port: u16) -> Vec<Said> {
    let of = |record: &&ParsedRecord| {
        record.task_name.as_deref() == Some(task)
            && (record.protocol, record.dstaddr, record.dstport) == (Some(UDP), Some(to), Some(port))
    };
    let said = records.iter().filter(of).map(|record| {
        let accepted = record.action == Some(Action::Accept);
        assert_eq!(record.drop_reason.is_none(), accepted, "{record:?}");
        assert_eq!(record.log_status, Some(LogStatus::Ok));
        let counted = (record.packets.unwrap(), record.bytes.unwrap());
        (record.flow_direction.unwrap(), record.drop_reason, counted)
    });
    said.collect()
}

/// Asserts that the ledgers close, refusals too, and that the kernel's counters of tasks' own interfaces are theirs.
#[track_caller]
fn assert_accounts(host: &Host) {
    assert_closed(host);
    for audit in host.audit() {
        for audit in [audit.egress.unwrap(), audit.ingress.unwrap()] {
            assert!(audit.kernel.is_some());
            assert_eq!(audit.refused, audit.refused_ledger);
        }
    }
    // A kernel has something to say of its own at any time.
    for task in host.tasks() {
        let mut found = None;
        let agrees = wait_until(DEADLINE, || {
            let audit = host.audit().into_iter().find(|audit| audit.task == task.name).unwrap();
            let ledgers = [audit.egress, audit.ingress].map(|audit| audit.unwrap().interface_ledger.unwrap());
            let link = ask(&inside(&task), &["ip", "-j", "-s", "link", "show", "eth0"]).remove(0);
            let kernel = ["tx", "rx"].map(|way| {
                let counted = |of: &str| link["stats64"][way][of].as_u64().unwrap();
                PacketsAndBytes { packets: counted("packets"), bytes: counted("bytes") }
            });
            found = Some((ledgers, kernel));
            ledgers == kernel
        });
        assert!(agrees, "{}: egress and ingress, ledger and kernel: {found:?}", task.name);
    }
}

#[test]
fn what_no_rule_lets_in_is_accepted_at_one_end_and_refused_at_the_other() {
    on_both(&HostOptions::default(), |host| {
        let (a, b) = (create(&host, "a", "open"), create(&host, "b", "nothing-in"));
        for (from, to) in addresses(&a).into_iter().zip(addresses(&b)) {
            send(&udp(&inside(&a), from, 5000), to, 5001, 5);
        }
        flush_after(&host, "b", Direction::Ingress, 10);
        let records = records(&host);
        for to in addresses(&b) {
            let wanted = datagrams(5, to);
            assert_eq!(said(&records, "a", to, 5001), [(Direction::Egress, None, wanted)]);
            let refused = Some(DropReason::NoRule);
            assert_eq!(said(&records, "b", to, 5001), [(Direction::Ingress, refused, wanted)]);
        }
        let (sender, receiver) = (counters(&host, "a"), counters(&host, "b"));
        assert_eq!(refused_packets(&sender, Direction::Egress), 0);
        let ingress = receiver.ingress.unwrap();
        let refused: Vec<_> =
            ingress.refused.iter().map(|counter| (&*counter.name, counter.packets, counter.bytes)).collect();
        assert_eq!(refused, [("no-rule", 10, 5 * 100 + 5 * 120)]);
        // What was refused is in no class.
        assert!(ingress.classes.iter().all(|class| class.packets + 10 <= ingress.packets));
        assert_accounts(&host);

        let format = ["--format", "${task-name} ${flow-direction} ${packets} ${drop-reason}"];
        let flows = |conditions: &[&str]| succeed(&host, &[&["flows"], conditions, &format].concat());
        let refused = "b ingress 5 no-rule\n".repeat(2);
        assert_eq!(flows(&["--action", "REJECT"]), refused);
        assert_eq!(flows(&["--reason", "no-rule", "--task", "b"]), refused);
        assert_eq!(flows(&["--reason", "no-route"]), "");
        let counters = succeed(&host, &["counters", "b"]);
        assert!(counters.contains("refused no-rule") && counters.contains("\nflow table: "), "{counters}");
        let audit = succeed(&host, &["audit"]);
        assert!(audit.contains("\nrefusal ledger"), "{audit}");
        assert!(audit.ends_with("2 ENIs audited, nothing left over\n"), "{audit}");
    });
}

#[test]
fn what_no_rule_lets_out_is_seen_by_its_sender_alone() {
    on_both(&HostOptions::default(), |host| {
        let (a, b) = (create(&host, "a", "nothing-out"), create(&host, "b", "open"));
        for (from, to) in addresses(&a).into_iter().zip(addresses(&b)) {
            send(&udp(&inside(&a), from, 5000), to, 5001, 3);
        }
        flush_after(&host, "a", Direction::Egress, 6);
        let records = records(&host);
        for to in addresses(&b) {
            let refused = Some(DropReason::NoRule);
            assert_eq!(said(&records, "a", to, 5001), [(Direction::Egress, refused, datagrams(3, to))]);
            assert_eq!(said(&records, "b", to, 5001), []);
        }
        assert_accounts(&host);
    });
}

#[test]
fn what_leads_nowhere_is_refused_as_such() {
    on_both(&HostOptions::default(), |host| {
        let a = create(&host, "a", "open");
        let nobodys = ["10.2.9.9", "fd00:c:0:9::9"].map(|address| address.parse::<IpAddr>().unwrap());
        for (from, to) in addresses(&a).into_iter().zip(nobodys) {
            send(&udp(&inside(&a), from, 5000), to, 5001, 3);
        }
        flush_after(&host, "a", Direction::Egress, 6);
        let records = records(&host);
        for to in nobodys {
            let refused = Some(DropReason::NoRoute);
            assert_eq!(said(&records, "a", to, 5001), [(Direction::Egress, refused, datagrams(3, to))]);
        }
        assert_accounts(&host);
    });
}

#[test]
fn what_is_for_the_router_or_plays_its_part_is_refused_as_such() {
    on_both(&HostOptions::default(), |host| {
        let (a, b) = (create(&host, "a", "open"), create(&host, "b", "open"));
        let gateway: IpAddr = "10.2.0.1".parse().unwrap();
        send(&udp(&inside(&a), ipv4(&a), 5000), gateway, 53, 2);
        // What a DHCP server answers with (RFC 2131, 4.1).
        send(&udp(&inside(&a), ipv4(&a), 67), ipv4(&b), 68, 4);
        flush_after(&host, "a", Direction::Egress, 6);
        // A VPC does not log what its router gets: it is only counted.
        let records = records(&host);
        assert_eq!(said(&records, "a", gateway, 53), []);
        let refused = (Direction::Egress, Some(DropReason::Impersonation), datagrams(4, ipv4(&b)));
        assert_eq!(said(&records, "a", ipv4(&b), 68), [refused]);
        let egress = counters(&host, "a").egress.unwrap();
        let (packets, bytes) = datagrams(2, gateway);
        assert_eq!(egress.not_logged, Some(PacketsAndBytes { packets, bytes }));
        for (reason, packets) in [(DropReason::Router, 2), (DropReason::Impersonation, 4)] {
            let counted = egress.refused.iter().find(|counter| counter.name == reason.as_str()).unwrap();
            assert_eq!(counted.packets, packets, "{reason}");
        }
        assert_accounts(&host);
    });
}

#[test]
fn a_source_that_is_not_the_tasks_is_refused_and_named() {
    on_both(&HostOptions::default(), |host| {
        let (a, b) = (create(&host, "a", "open"), create(&host, "b", "open"));
        let in_a = inside(&a);
        let forged = ["10.2.0.99", "fd00:c::99"].map(|address| address.parse::<IpAddr>().unwrap());
        for address in forged {
            let prefix = if address.is_ipv4() { 32 } else { 128 };
            command(&in_a, &["ip", "addr", "add", &format!("{address}/{prefix}"), "dev", "eth0", "nodad"]);
        }
        for (from, to) in forged.into_iter().zip(addresses(&b)) {
            send(&udp(&in_a, from, 5000), to, 5001, 3);
        }
        // Another MAC: then nothing of it is the task's own.
        command(&in_a, &["ip", "link", "set", "eth0", "address", "02:00:00:00:00:99"]);
        let router = MacAddress::ROUTER.to_string();
        for gateway in ["10.2.0.1", "fe80::1"] {
            // Forgotten with the old MAC.
            command(&in_a, &["ip", "neigh", "replace", gateway, "lladdr", &router, "dev", "eth0"]);
        }
        for (from, to) in addresses(&a).into_iter().zip(addresses(&b)) {
            send(&udp(&in_a, from, 5002), to, 5003, 2);
        }
        flush_after(&host, "a", Direction::Egress, 10);
        let records = records(&host);
        let refused = Some(DropReason::SpoofedSource);
        for ((forged, own), to) in forged.into_iter().zip(addresses(&a)).zip(addresses(&b)) {
            assert_eq!(said(&records, "a", to, 5001), [(Direction::Egress, refused, datagrams(3, to))]);
            assert_eq!(said(&records, "a", to, 5003), [(Direction::Egress, refused, datagrams(2, to))]);
            assert_eq!((said(&records, "b", to, 5001), said(&records, "b", to, 5003)), (vec![], vec![]));
            let source = |port| {
                let record = records.iter().find(|r| (r.dstaddr, r.dstport) == (Some(to), Some(port)));
                record.unwrap().srcaddr
            };
            assert_eq!((source(5001), source(5003)), (Some(forged), Some(own)));
        }
        assert_accounts(&host);
    });
}

#[test]
fn refusals_without_room_are_counted_and_said_to_be_skipped() {
    on_both(&HostOptions { refusal_capacity: 16, ..Default::default() }, |host| {
        let (a, b) = (create(&host, "a", "open"), create(&host, "b", "nothing-in"));
        for port in 0..100 {
            send(&udp(&inside(&a), ipv4(&a), 0), ipv4(&b), 5000 + port, 1);
        }
        flush_after(&host, "b", Direction::Ingress, 100);
        let records = records(&host);
        let of_b = |record: &&ParsedRecord| record.task_name.as_deref() == Some("b");
        let refused: u64 = records
            .iter()
            .filter(of_b)
            .filter(|record| record.drop_reason == Some(DropReason::NoRule))
            .map(|record| record.packets.unwrap())
            .sum();
        let counters = counters(&host, "b");
        let unrecorded = crate::ledger::named(&counters.ingress.unwrap(), "unrecorded").0;
        assert!(unrecorded > 0 && refused > 0);
        assert_eq!(refused + unrecorded, 100);
        let skipped = |record: &&ParsedRecord| record.log_status == Some(LogStatus::SkipData);
        assert_eq!(records.iter().filter(of_b).filter(skipped).count(), 1);
        // Nothing more is skipped, and nothing more said.
        flush(&host);
        assert_eq!(crate::ledger::records(&host).iter().filter(of_b).filter(skipped).count(), 1);
        assert_accounts(&host);
    });
}

#[test]
fn refusals_go_on_where_a_daemon_stopped() {
    on_both(&HostOptions::default(), |mut host| {
        let (a, b) = (create(&host, "a", "open"), create(&host, "b", "nothing-in"));
        let from = udp(&inside(&a), ipv4(&a), 5000);
        let mut all = 0;
        for round in 0..4 {
            all += 3;
            send(&from, ipv4(&b), 5001, 3);
            if round % 2 == 0 {
                flush_after(&host, "b", Direction::Ingress, all);
            }
            host.restart_daemon();
            assert_closed(&host);
        }
        flush_after(&host, "b", Direction::Ingress, all);
        let records = records(&host);
        for task in ["a", "b"] {
            let said = said(&records, task, ipv4(&b), 5001);
            let packets: u64 = said.iter().map(|(.., (packets, _))| packets).sum();
            assert_eq!(packets, all, "{task}: {said:?}");
            assert!(said.iter().all(|(_, reason, _)| reason.is_some() == (task == "b")), "{said:?}");
        }
        assert_accounts(&host);
    });
}

#[test]
fn what_went_to_a_task_is_recorded_though_it_was_deleted() {
    on_both(&HostOptions::default(), |host| {
        let a = create(&host, "a", "open");
        let from = udp(&inside(&a), ipv4(&a), 5000);
        // Of one address, one after the other.
        for (name, group, count) in [("b", "open", 5), ("c", "nothing-in", 3), ("d", "open", 4)] {
            let request =
                CreateTaskRequest { ipv4: Some("10.2.0.50".to_owned()), ..new_task(name, "guarded/a") };
            let task = create_as(&host, &request, group);
            if group == "open" {
                send_datagrams(&from, &udp(&inside(&task), ipv4(&task), 5001), count, SIZE);
            } else {
                send(&from, ipv4(&task), 5001, count);
                let refused = |name: &str| refused_packets(&counters(&host, name), Direction::Ingress);
                assert!(wait_until(DEADLINE, || refused(name) == count as u64));
            }
            assert!(host.delete(name));
            assert_only_listed_tasks(&host);
        }
        flush(&host);
        let to: IpAddr = "10.2.0.50".parse().unwrap();
        let records = records(&host);
        let sent: u64 = said(&records, "a", to, 5001).iter().map(|(.., (packets, _))| packets).sum();
        assert_eq!(sent, 12);
        assert_eq!(said(&records, "b", to, 5001), [(Direction::Ingress, None, datagrams(5, to))]);
        let refused = Some(DropReason::NoRule);
        assert_eq!(said(&records, "c", to, 5001), [(Direction::Ingress, refused, datagrams(3, to))]);
        assert_eq!(said(&records, "d", to, 5001), [(Direction::Ingress, None, datagrams(4, to))]);
        assert_accounts(&host);
    });
}

#[test]
fn a_flow_that_goes_both_ways_to_its_receiver_has_one_record() {
    on_both(&HostOptions::default(), |host| {
        let a = create(&host, "a", "open");
        let small = CreateTaskRequest { mtu: Some(1500), ..new_task("b", "guarded/a") };
        let b = create_as(&host, &small, "open");
        // What is too large for the receiver takes the kernel's way, which cuts it up if it may.
        command(&inside(&a), &["sysctl", "-qw", "net.ipv4.ip_no_pmtu_disc=1"]);
        let (from, to) = (udp(&inside(&a), ipv4(&a), 5000), udp(&inside(&b), ipv4(&b), 5001));
        send_datagrams(&from, &to, 2, SIZE);
        send_datagrams(&from, &to, 1, 4_000);
        send_datagrams(&from, &to, 3, SIZE);
        flush(&host);
        let records = records(&host);
        let sent = said(&records, "a", ipv4(&b), 5001);
        assert_eq!(sent, [(Direction::Egress, None, (6, 5 * 100 + 4_028))]);
        // Three fragments, of 1,480 bytes at the most behind their headers.
        let received = said(&records, "b", ipv4(&b), 5001);
        assert_eq!(received, [(Direction::Ingress, None, (8, 5 * 100 + 4_008 + 3 * 20))]);
        assert_accounts(&host);
    });
}
