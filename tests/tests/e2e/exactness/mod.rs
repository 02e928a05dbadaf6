//! Flow records and buckets against a packet capture that counts for itself: whatever is sent, and whatever becomes of the
//! daemon and of the destinations meanwhile.

mod books;
mod frames;
mod mix;
mod watch;

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use enid::ForwardingMode;
use enid_api::v1::create_flow_log_request::Target;
use enid_api::v1::{CountersRequest, CreateFlowLogRequest, CreateTaskRequest, FlowLogFiles, FlowTable, Task};
use enid_testbed::capture::{Captured, Seen};
use enid_testbed::namespace::{command, open};
use enid_testbed::store::{CREDENTIALS, ObjectStore};
use enid_testbed::{DEADLINE, DaemonKind, Host, HostOptions, new_task, wait_until};

use crate::audit_range::assert_each_range_closes;
use crate::command_line::succeed;
use crate::delivery::delivery;
use crate::ledger::{assert_closed, flush};
use crate::networks::{ipv4, ipv6};
use crate::outside::{Outside, SERVER, parse};
use books::Books;
use frames::Ends;
use mix::{Party, Phase, UDP_PORTS};
use watch::Watched;

/// `strict` lets in what it names, and everything out but the second of the refused ports.
const NETWORK: &str = r#"
[[vpc]]
name = "mix"
ipv4_cidr = "10.7.0.0/16"
ipv6_cidr = "fd00:7::/56"
uplink = "nat"
subnet = [
  { name = "a", zone = "zone-a", ipv4_cidr = "10.7.0.0/24", ipv6_cidr = "fd00:7::/64" },
  { name = "b", zone = "zone-b", ipv4_cidr = "10.7.1.0/24", ipv6_cidr = "fd00:7:0:1::/64" },
]

[[vpc.security_group]]
name = "open"
ingress = [{ cidr = "0.0.0.0/0" }, { cidr = "::/0" }]

[[vpc.security_group]]
name = "strict"
ingress = [
  { protocol = "tcp", ports = 5000, cidr = "10.7.0.0/16" },
  { protocol = "tcp", ports = 5000, cidr = "fd00:7::/56" },
  { protocol = "udp", ports = "5001-5002", cidr = "10.7.0.0/16" },
  { protocol = "udp", ports = "5001-5002", cidr = "fd00:7::/56" },
  { protocol = "icmp", cidr = "10.7.0.0/16" },
  { protocol = "icmpv6", cidr = "fd00:7::/56" },
]
egress = [
  { protocol = "tcp", ports = "1-7099", cidr = "0.0.0.0/0" },
  { protocol = "tcp", ports = "7200-65535", cidr = "0.0.0.0/0" },
  { protocol = "udp", ports = "1-7099", cidr = "0.0.0.0/0" },
  { protocol = "udp", ports = "7200-65535", cidr = "0.0.0.0/0" },
  { protocol = "icmp", cidr = "0.0.0.0/0" },
  { protocol = "tcp", ports = "1-7099", cidr = "::/0" },
  { protocol = "tcp", ports = "7200-65535", cidr = "::/0" },
  { protocol = "udp", ports = "1-7099", cidr = "::/0" },
  { protocol = "udp", ports = "7200-65535", cidr = "::/0" },
  { protocol = "icmpv6", cidr = "::/0" },
]
"#;

const CAPACITY: u32 = 4096;
/// The most that a packet to the task with the smaller MTU may have.
const SMALL_MTU: u32 = 1500;

fn create_flow_log(host: &Host, name: &str, destination: &str, interval: u32, files: FlowLogFiles) {
    let request = CreateFlowLogRequest {
        name: name.to_owned(),
        target: Some(Target::Vpc("mix".into())),
        destination: destination.to_owned(),
        interval_seconds: Some(interval),
        format: Some(books::FORMAT.to_owned()),
        files: Some(files),
        ..CreateFlowLogRequest::default()
    };
    host.call(async |client| client.flow_logs().create(request.clone()).await).unwrap();
}

fn mac(text: &str) -> [u8; 6] {
    let octets: Vec<u8> = text.split(':').map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect();
    octets.try_into().unwrap()
}

fn party(task: &Task, peers: &[[IpAddr; 2]], frames_to: &[[IpAddr; 2]]) -> Party {
    let eni = task.eni.as_ref().unwrap();
    let namespace = open(&task.netns);
    let addresses = [ipv4(task), ipv6(task)];
    let gateway = eni.ipv4_gateway.as_deref().unwrap();
    let neighbour = command(&namespace, &["ip", "-j", "neigh", "show", gateway]);
    let neighbour: serde_json::Value = serde_json::from_str(&neighbour).unwrap();
    let gateway_mac = mac(neighbour[0]["lladdr"].as_str().unwrap());
    let ends = frames_to.iter().map(|destination| Ends {
        mac: mac(&eni.mac),
        gateway_mac,
        source: addresses,
        destination: *destination,
        port: UDP_PORTS[0],
    });
    Party {
        ends: ends.collect(),
        namespace,
        addresses,
        gateway: Some([parse(gateway), parse(eni.ipv6_gateway.as_deref().unwrap())]),
        peers: peers.to_vec(),
    }
}

/// A host with three tasks, somebody outside, and two flow logs.
struct Lab {
    watched: [Watched; 3],
    parties: Vec<Party>,
    /// Where the flow logs deliver to.
    directory: PathBuf,
    bucket: String,
    store: ObjectStore,
    host: Host,
    began: Instant,
}

/// The names of the flow logs.
const FLOW_LOGS: [&str; 2] = ["directory", "bucket"];

impl Lab {
    fn new() -> Self {
        let began = Instant::now();
        let mut host = Host::make(&HostOptions {
            daemon: DaemonKind::Process,
            interval_seconds: 1,
            flow_capacity: CAPACITY,
            flows_per_eni: Some(CAPACITY),
            // A router's kernel that forwards between ENIs puts fragments together, and keeps those that lack one.
            forwarding: ForwardingMode::Direct,
            environment: CREDENTIALS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            ..HostOptions::default()
        });
        let outside = Outside::new(&host, 9001, 1500);
        let store = ObjectStore::start(&host.namespace_path(), None);
        store.create_bucket("flows");
        host.start_daemon();
        host.apply(NETWORK);
        let tasks = [("a", "a", "open", 9001), ("b", "b", "strict", SMALL_MTU), ("c", "b", "open", 9001)];
        let tasks = tasks.map(|(name, subnet, group, mtu)| {
            let request = CreateTaskRequest {
                mtu: Some(mtu),
                security_groups: vec![group.to_owned()],
                ..new_task(name, &format!("mix/{subnet}"))
            };
            host.create_as(&request).unwrap()
        });
        let [a, b, c] = tasks.each_ref().map(|task| [ipv4(task), ipv6(task)]);
        let server = SERVER.map(parse);
        let parties = vec![
            party(&tasks[0], &[b, b, c], &[b]),
            party(&tasks[1], &[a], &[a]),
            party(&tasks[2], &[server, server, a], &[a]),
            Party {
                namespace: outside.server,
                addresses: server,
                gateway: None,
                peers: Vec::new(),
                ends: Vec::new(),
            },
        ];
        let (directory, bucket) = (host.state_directory().join("out"), store.place("flows", "prod"));
        create_flow_log(&host, FLOW_LOGS[0], &directory.display().to_string(), 10, FlowLogFiles::default());
        let files = FlowLogFiles { format: "parquet".into(), hive_partitions: true, hourly_partitions: true };
        create_flow_log(&host, FLOW_LOGS[1], &bucket, 1, files);
        let watched = tasks.map(|task| Watched::new(&host, task));
        Self { watched, parties, directory, bucket, store, host, began }
    }

    /// Says where it is, for whoever reads how a test went.
    fn say(&self, what: &str) {
        println!("{:4.1} s: {what}; {:?}", self.began.elapsed().as_secs_f64(), self.flow_table());
    }

    fn flow_table(&self) -> FlowTable {
        let request = CountersRequest { task: None };
        let answer = self.host.call(async |client| client.flows().counters(request).await);
        answer.unwrap().flow_table.unwrap()
    }

    /// What found no room, in packets.
    fn skipped(&self) -> u64 {
        self.watched.iter().map(|of| of.without_room(&self.host).packets).sum()
    }

    /// How long the spool's segments are together.
    fn spooled(&self) -> u64 {
        let segments = fs::read_dir(self.host.state_directory().join("spool")).unwrap();
        segments.map(|segment| segment.unwrap().metadata().map_or(0, |of| of.len())).sum()
    }

    /// Kills the daemon while it closes intervals, at any moment or when it has just written to the spool, and starts it
    /// again.
    fn kill(&mut self, random: &mut fastrand::Rng) {
        let (is_killed, pid) = (AtomicBool::new(false), self.host.daemon_process());
        let (delay, is_at_a_write) = (Duration::from_millis(random.u64(100..700)), random.u8(0..3) > 0);
        thread::scope(|scope| {
            let (host, is_killed) = (&self.host, &is_killed);
            scope.spawn(move || {
                while !is_killed.load(Ordering::Relaxed) {
                    // An error is the kill.
                    let _ = host.try_flush();
                }
            });
            // This is when the daemon is killed, not a wait for something.
            thread::sleep(delay);
            if is_at_a_write {
                let before = self.spooled();
                assert!(wait_for(|| self.spooled() != before), "no interval is closed");
            }
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            is_killed.store(true, Ordering::Relaxed);
        });
        self.host.kill_daemon();
        // Packets pass meanwhile.
        thread::sleep(Duration::from_millis(random.u64(0..300)));
        self.host.start_daemon();
    }

    /// All that happens to the daemon, its table and its destinations while the tasks send.
    fn trouble(&mut self, phase: &Phase, random: &mut fastrand::Rng) {
        for _ in 0..2 {
            self.kill(random);
        }
        self.say("destinations go away");
        let aside = self.host.state_directory().join("aside");
        self.store.go_down();
        fs::rename(&self.directory, &aside).unwrap();
        fs::write(&self.directory, "").unwrap();
        phase.is_flooding.store(true, Ordering::Relaxed);
        assert!(wait_until(DEADLINE, || self.skipped() > 500), "the table has room: {:?}", self.flow_table());
        self.kill(random);
        self.wait_for_deliveries(|problem| problem.is_some());
        self.say("the table is overfull, and nothing is delivered");
        phase.is_flooding.store(false, Ordering::Relaxed);
        phase.is_paused.store(true, Ordering::Relaxed);
        fs::remove_file(&self.directory).unwrap();
        fs::rename(&aside, &self.directory).unwrap();
        self.store.come_up();
        self.kill(random);
        // Closed connections are kept for 10 seconds.
        assert!(wait_until(DEADLINE, || self.flow_table().entries < u64::from(CAPACITY) / 4));
        phase.is_paused.store(false, Ordering::Relaxed);
        self.say("the table has room again");
        let skipped = self.skipped();
        for _ in 0..2 {
            self.kill(random);
        }
        // Entries are allocated on demand, from what the kernel refills behind an interrupt: on a busy machine a burst may
        // find nothing there, with room in the table.
        assert!(self.skipped() - skipped < 100, "{skipped}, {}: {:?}", self.skipped(), self.flow_table());
        self.wait_for_deliveries(|problem| problem.is_none());
    }

    #[track_caller]
    fn wait_for_deliveries(&self, are: impl Fn(Option<String>) -> bool) {
        for flow_log in FLOW_LOGS {
            let is_so = || {
                // It has them try.
                flush(&self.host);
                are(delivery(&self.host, flow_log).problem)
            };
            assert!(wait_until(DEADLINE, is_so), "{flow_log}");
        }
    }

    /// What was delivered closes by itself, all of it and that of the first half of the time.
    fn audit_deliveries(&self) {
        let half = (SystemTime::now() - self.began.elapsed() / 2).duration_since(UNIX_EPOCH).unwrap();
        let half = half.as_secs().to_string();
        for range in [["--since", "1h"], ["--until", &half]] {
            for flow_log in FLOW_LOGS {
                let audit = || {
                    // What is not delivered yet is in no account, nor are intervals that it reaches into: of a daemon that
                    // was killed so often, they may all be one.
                    flush(&self.host);
                    books::try_enictl(&self.host, &[&["audit", "--flow-log", flow_log], &range[..]].concat())
                };
                let mut said = audit();
                let is_early = |said: &Result<_, String>| {
                    said.as_ref()
                        .is_err_and(|error| error.contains("no whole interval of this range is delivered"))
                };
                assert!(wait_until(DEADLINE, || {
                    if is_early(&said) {
                        said = audit();
                    }
                    !is_early(&said)
                }));
                let said = said.unwrap();
                let last = said.lines().last().unwrap();
                assert!(
                    last.starts_with("3 ENIs audited from ") && last.ends_with("nothing left over"),
                    "{said}"
                );
            }
        }
    }

    /// What there is to read at the end: what the captures have seen, what is in no record, and all records, from the spool
    /// and from where they were delivered to. Nothing moves meanwhile.
    fn read(&self) -> ([Captured; 3], [[Seen; 2]; 3], [Books; 3]) {
        let mut read = None;
        assert!(wait_until(DEADLINE, || {
            let captured = self.watched.each_ref().map(Watched::captured);
            flush(&self.host);
            let outside = self.watched.each_ref().map(|of| of.outside_records(&self.host));
            let directory = self.directory.display().to_string();
            let books =
                [None, Some(&*directory), Some(&*self.bucket)].map(|from| Books::read(&self.host, from));
            let mut sides = self.host.audit().into_iter().flat_map(|eni| [eni.egress, eni.ingress]);
            let is_written = sides.all(|side| side.unwrap().pending.unwrap().packets == 0);
            let is_at_rest = is_written && captured == self.watched.each_ref().map(Watched::captured);
            read = is_at_rest.then_some((captured, outside, books));
            is_at_rest
        }));
        read.unwrap()
    }
}

/// As [`wait_until`], but at once.
fn wait_for(condition: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < DEADLINE {
        if condition() {
            return true;
        }
    }
    false
}

/// Ends the traffic, whatever happens.
struct End<'a>(&'a Phase);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

#[test]
fn records_and_buckets_are_what_a_capture_has_seen() {
    let seed =
        std::env::var("ENID_TEST_SEED").map_or_else(|_| fastrand::u64(..), |text| text.parse().unwrap());
    println!("ENID_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut lab = Lab::new();
    lab.say("all is there");
    let phase = Phase::default();
    let parties = std::mem::take(&mut lab.parties);
    thread::scope(|scope| {
        let _end = End(&phase);
        for party in &parties {
            let phase = &phase;
            scope.spawn(|| mix::serve(party, phase));
            for _ in 0..2 {
                let random = random.fork();
                scope.spawn(|| mix::send(party, phase, random));
            }
        }
        lab.trouble(&phase, &mut random);
    });
    lab.say(&format!("{} steps of traffic", phase.steps.load(Ordering::Relaxed)));

    let (captured, outside, [spool, delivered @ ..]) = lab.read();
    assert_closed(&lab.host);
    assert!(succeed(&lab.host, &["audit"]).contains("3 ENIs audited, nothing left over"));
    assert_each_range_closes(&lab.host);
    lab.audit_deliveries();
    for (books, name) in delivered.iter().zip(FLOW_LOGS) {
        assert!(*books == spool, "what is in the {name} is not what is in the spool");
    }
    // What b refuses is seen where it was sent.
    let refused = [Seen::default(), lab.watched[1].refused(&captured[0], &captured[1]), Seen::default()];
    for (index, of) in lab.watched.iter().enumerate() {
        assert_eq!(of.transmit_drops(), 0, "dropped between the capture and the host end");
        of.compare(&captured[index], refused[index], of.unrecorded(&lab.host), outside[index], &spool);
        assert_eq!(spool.skipped(of.eni()), of.without_room(&lab.host), "what SKIPDATA records state");
    }
    lab.say("the end");
}
