//! Names become addresses as the task would have it.

use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use enid_api::dial::wire::ErrorCode;
use enid_api::v1::{CreateTaskRequest, Task};
use enid_flowlog::Direction;
use enid_model::TrafficClass;
use enid_netns::Namespace;
use enid_testbed::traffic::{accept, tcp_listen, udp};
use enid_testbed::{DEADLINE, Host, namespace, new_task, wait_until};

use super::{SOON, dialer, refused};
use crate::ledger::{assert_closed, flush, records, to_port, total};
use crate::networks::{host, inside, ipv4, ipv6};

const NETWORK: &str = r#"
[[vpc]]
name = "named"
ipv4_cidr = "10.3.0.0/16"
ipv6_cidr = "fd00:d::/56"
uplink = "none"
domain = "named.internal"
dns_servers = ["10.3.0.53", "fd00:d::53"]
subnet = [{ name = "a", zone = "zone-a", ipv4_cidr = "10.3.0.0/24", ipv6_cidr = "fd00:d::/64" }]
"#;

/// A host with a task, a peer of it, and the task that its resolver is to be in.
fn named() -> (Host, Task, Task) {
    let host = host();
    let (dns, peer) = tasks(&host);
    (host, dns, peer)
}

/// The task that a resolver is to be in, and a peer of the task that dials.
fn tasks(host: &Host) -> (Task, Task) {
    host.apply(NETWORK);
    let request = CreateTaskRequest {
        ipv4: Some("10.3.0.53".to_owned()),
        ipv6: Some("fd00:d::53".to_owned()),
        ..new_task("dns", "named/a")
    };
    let dns = host.create_as(&request).unwrap();
    host.create("web", "named/a");
    (dns, host.create("peer", "named/a"))
}

/// dnsmasq, until it is dropped.
struct Resolver(Child);

impl Resolver {
    fn start(namespace: &Namespace, arguments: &[String]) -> Self {
        let mut command = Command::new("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--user=root",
        ]);
        command
            .args([
                "--pid-file=",
                "--log-facility=/dev/null",
                "--edns-packet-max=512",
                "--local=/example/internal/name/",
            ])
            .args(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = namespace::inside(namespace, move || command.spawn()).expect("dnsmasq is installed");
        let resolver = Self(child);
        let is_up = || {
            let table = namespace::output(namespace, &["ss", "-Hlnu", "sport", "=", ":53"]);
            !table.stdout.is_empty()
        };
        assert!(wait_until(DEADLINE, is_up), "dnsmasq listens");
        resolver
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn names_of_the_hosts_file_need_no_resolver() {
    let host = host();
    let web = host.create("web", "red/a");
    let in_web = inside(&web);
    let private = format!("IP-{}.red.internal", ipv4(&web).to_string().replace('.', "-"));
    for (name, address) in
        [("web", ipv6(&web)), (private.as_str(), ipv4(&web)), ("localhost", "::1".parse().unwrap())]
    {
        let listener = tcp_listen(&in_web, address, 8000);
        let stream = host.wait(dialer(&host, "web").connect(name, 8000)).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), SocketAddr::new(address, 8000), "{name}");
        drop((accept(&listener), stream));
    }
}

#[test]
fn names_are_asked_of_the_vpcs_resolvers_through_the_eni_in_the_class() {
    let (host, dns, peer) = named();
    let (four, six) = (ipv4(&peer), ipv6(&peer));
    let arguments = [
        format!("--host-record=db.named.internal,{four},{six}"),
        format!("--host-record=outside.example,{four}"),
        // In nobody's hands, so refused at once, and one that is silent.
        format!("--host-record=dead.example,{four},fd00:d::dead"),
        format!("--host-record=silent.example,{four},{}", ipv6(&dns)),
        // Somebody else's loopback is the task's own.
        "--cname=alias.example,outside.example".to_owned(),
    ];
    let resolver = Resolver::start(&inside(&dns), &arguments);
    let in_dns = inside(&dns);
    namespace::command(
        &in_dns,
        &[
            "nft",
            "add table inet t; add chain inet t i { type filter hook input priority 0; }; add rule inet t i tcp dport 8000 drop",
        ],
    );
    let web = dialer(&host, "web").class(TrafficClass::Secrets);
    for (name, address) in [
        ("db.named.internal", six),
        // By the search domain.
        ("db", six),
        ("outside.example", four),
        ("OUTSIDE.example.", four),
        ("alias.example", four),
        ("dead.example", four),
        ("silent.example", four),
    ] {
        let listener = tcp_listen(&inside(&peer), address, 8000);
        let began = Instant::now();
        let stream = host.wait(web.connect(name, 8000)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(stream.peer_addr().unwrap(), SocketAddr::new(address, 8000), "{name}");
        assert!(began.elapsed() < SOON, "{name}: {:?}", began.elapsed());
        drop((accept(&listener), stream));
    }
    let (code, message) = refused(&host, &web, "none.example", 8000);
    assert_eq!(code, ErrorCode::NameNotResolved, "{message}");
    assert!(message.contains("none.example:8000 has no address: "), "{message}");
    drop(resolver);

    flush(&host);
    assert_closed(&host);
    let records = records(&host);
    let asked = total(&records, "web", Direction::Egress, to_port(17, 53));
    let in_class = total(&records, "web", Direction::Egress, |record| {
        to_port(17, 53)(record) && record.traffic_class == Some(TrafficClass::Secrets)
    });
    assert!(asked.0 > 0 && asked == in_class, "{asked:?} {in_class:?}");
}

#[test]
fn a_resolver_that_is_silent_or_absent_is_said_so() {
    let (host, _dns, _) = named();
    let began = Instant::now();
    let web = dialer(&host, "web").timeout(Duration::from_millis(500));
    let (code, message) = refused(&host, &web, "db", 80);
    assert_eq!(code, ErrorCode::NameNotResolved, "{message}");
    assert!(message.contains("no resolver answered"), "{message}");
    assert!(began.elapsed() < SOON);
    host.create("mute", "blue/a");
    let (code, message) = refused(&host, &dialer(&host, "mute"), "db", 80);
    assert_eq!(code, ErrorCode::NameNotResolved, "{message}");
    assert!(message.contains("the VPC declares no resolvers"), "{message}");
}

/// An answer to a question: the header and the question are the question's own, whatever follows is not.
fn answer(question: &[u8], records: &[(u16, &[u8])], count: u16) -> Vec<u8> {
    // A header is 12 bytes; the question is a name, a type and a class (RFC 1035, 4.1).
    let name_end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let mut text = question[..name_end + 4].to_vec();
    text[2] = 0x81;
    text[3] = 0x80;
    text[6..8].copy_from_slice(&count.to_be_bytes());
    text[8..12].fill(0);
    for (kind, data) in records {
        text.extend([0xc0, 12]);
        text.extend(kind.to_be_bytes());
        text.extend([0, 1, 0, 0, 0, 60]);
        text.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        text.extend(*data);
    }
    text
}

/// What somebody answers to a question.
type Liar = Box<dyn Fn(&[u8]) -> Vec<u8> + Sync>;

#[test]
fn a_resolver_that_lies_does_no_harm() {
    const A: u16 = 1;
    const CNAME: u16 = 5;
    const AAAA: u16 = 28;
    let (host, dns, peer) = named();
    let (in_dns, peer) = (inside(&dns), ipv4(&peer));
    let own = udp(&in_dns, ipv4(&dns), 53);
    let IpAddr::V4(right) = peer else { panic!("{peer}") };
    let lies: [(&str, Liar); 8] = [
        ("nothing", Box::new(|_| Vec::new())),
        ("noise", Box::new(|_| (0..=255).collect())),
        (
            "another's answer",
            Box::new(|question| {
                let mut text = answer(question, &[(A, &[10, 3, 9, 9])], 1);
                text[0] ^= 0xff;
                text
            }),
        ),
        ("more records than there are", Box::new(|question| answer(question, &[(A, &[10, 3, 9, 9])], 5000))),
        ("an address that is too long", Box::new(|question| answer(question, &[(A, &[1; 60])], 1))),
        // A name that is itself, again and again.
        ("a name without end", Box::new(|question| answer(question, &[(CNAME, &[0xc0, 12])], 1))),
        ("the other family", Box::new(|question| answer(question, &[(AAAA, &[0xfe; 16])], 1))),
        (
            "a hundred addresses",
            Box::new(move |question| {
                let wrong: Vec<[u8; 4]> = (1..=100).map(|last| [10, 3, 9, last]).collect();
                let records: Vec<(u16, &[u8])> = wrong.iter().map(|address| (A, &address[..])).collect();
                answer(question, &records, 100)
            }),
        ),
    ];
    let count = lies.len();
    for (what, lie) in lies {
        let began = Instant::now();
        let over = &AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (own, lie) = (&own, &lie);
            own.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            scope.spawn(move || {
                let mut question = [0; 512];
                while !over.load(Ordering::Relaxed) {
                    if let Ok((length, from)) = own.recv_from(&mut question) {
                        own.send_to(&lie(&question[..length]), from).unwrap();
                    }
                }
            });
            let web = dialer(&host, "web").timeout(Duration::from_secs(1));
            let refused = host.wait(web.connect("db.example", 80)).unwrap_err();
            over.store(true, Ordering::Relaxed);
            let code = refused.code().unwrap();
            let expected = [ErrorCode::NameNotResolved, ErrorCode::Unreachable, ErrorCode::TimedOut];
            assert!(expected.contains(&code), "{what}: {refused}");
            assert!(refused.to_string().len() < 1500, "{what}: {refused}");
        });
        assert!(began.elapsed() < SOON, "{what}: {:?}", began.elapsed());
    }
    assert_eq!(count, 8);
    // One that tells the truth is believed, as before.
    own.set_read_timeout(Some(DEADLINE)).unwrap();
    let listener = tcp_listen(&namespace::open(task_netns(&host, "peer")), peer, 80);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut question = [0; 512];
            // Both families are asked for.
            for _ in 0..2 {
                let (length, from) = own.recv_from(&mut question).unwrap();
                let text = answer(&question[..length], &[(A, &right.octets())], 1);
                own.send_to(&text, from).unwrap();
            }
        });
        host.wait(dialer(&host, "web").connect("db.example.", 80)).unwrap();
    });
    drop(accept(&listener));
}

fn task_netns(host: &Host, name: &str) -> String {
    host.tasks().into_iter().find(|task| task.name == name).unwrap().netns
}

#[test]
fn an_answer_that_no_datagram_holds_is_asked_for_by_tcp() {
    let host = host();
    let (dns, _) = tasks(&host);
    let hosts = host.folder().join("hosts");
    let many: Vec<String> = (1..=100).map(|last| format!("10.3.9.{last} many.example\n")).collect();
    std::fs::write(&hosts, many.concat()).unwrap();
    let _resolver = Resolver::start(&inside(&dns), &[format!("--addn-hosts={}", hosts.display())]);
    let (code, message) = refused(&host, &dialer(&host, "web"), "many.example.", 8000);
    assert_eq!(code, ErrorCode::Unreachable, "{message}");
    assert!(message.contains("10.3.9."), "{message}");
}
