//! What the programs cost, in nanoseconds a packet: `scripts/bench-packet` builds and runs this.
//!
//! Each figure is the median of several rounds of a test run (`BPF_PROG_TEST_RUN`), which calls a program a million
//! times on one frame. For many flows, programs of another object draw a flow first and then do the same accounting;
//! what drawing costs is measured by itself and subtracted. Every figure includes what a test run costs by itself.

use std::error::Error;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::Command;
use std::{env, fs, io};

use aya::maps::{Array, HashMap};
use aya::programs::SchedClassifier;
use aya::{Ebpf, EbpfLoader, Pod};
use enid_abi::{Clock, EniSlot, EniState, GroupPolicy, MAX_GROUPS, ObjectId, PeerKind, Phase, PolicyRule};

const REPEAT: u32 = 1_000_000;
const ROUNDS: usize = 7;
const ENI: u32 = 1_000_000;
const RECEIVER: u32 = 1_000_001;
const FLOWS: [u32; 4] = [1, 1_000, 100_000, 1_000_000];
/// Orders of [`Draw`].
const EVENLY: u32 = 0;
const IN_TURN: u32 = 1;
const ANSWERS_IN_TURN: u32 = 2;
/// Connections that are at the same packet: their entries fit the cache, as those of one connection do.
const CONNECTIONS: u32 = 500;
const CONNECTION_ROUNDS: usize = 101;

/// As the benchmark's programs have it.
#[derive(Clone, Copy)]
#[repr(C)]
struct Draw {
    flows: u32,
    order: u32,
    state: u64,
}

// SAFETY: `#[repr(C)]`, integers without gaps.
unsafe impl Pod for Draw {}

#[derive(Clone, Copy)]
#[repr(C)]
struct Plain<T>(T);

// SAFETY: what is plain to the programs is so here.
unsafe impl<T: enid_abi::Plain> Pod for Plain<T> {}

#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    answer: u32,
    data_size: u32,
    data_size_out: u32,
    data: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size: u32,
    context_size_out: u32,
    context: u64,
    context_out: u64,
    rest: [u32; 4],
}

struct Frame {
    name: &'static str,
    bytes: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("usage: bench_packet OBJECT [connection], as root")?;
    // SAFETY: no memory is involved.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error().into());
    }
    make_network()?;
    let object = fs::read(path)?;
    if env::args().nth(2).as_deref() == Some("connection") {
        return connection(load(&object, &ten_rules())?);
    }
    println!("ns a packet, median of {ROUNDS} rounds of {REPEAT} test runs, established flows, UDP");
    let names: Vec<&str> = frames(Way::Eni).iter().map(|frame| frame.name).collect();
    println!("{:<48}{:>8}{:>8}{:>8}{:>8}", "", names[0], names[1], names[2], names[3]);
    let loaded = load(&object, &open_group())?;
    let floor = median(&loaded, "empty", &frames(Way::Eni)[0])?;
    row("empty program: the test run itself", Way::Eni, |frame| median(&loaded, "empty", frame))?;
    let subjects = [
        ("from_eni into another ENI", "from_eni", "from_eni_drawn", Way::Eni),
        ("from_eni, the kernel's way", "from_eni", "from_eni_drawn", Way::Kernel),
        ("to_eni", "to_eni", "to_eni_drawn", Way::Inbound),
    ];
    for (name, program, drawn, way) in subjects {
        row(&format!("{name}, the same flow always"), way, |frame| median(&loaded, program, frame))?;
        for flows in FLOWS {
            row(&format!("{name}, {flows} flows drawn evenly"), way, |frame| {
                let mut loaded = load(&object, &open_group())?;
                draw_from(&mut loaded, flows, IN_TURN, u64::MAX)?;
                run(&loaded, drawn, ENI, &frame.bytes, flows)?;
                draw_from(&mut loaded, flows, EVENLY, 0x9e37_79b9_7f4a_7c15)?;
                let drawing = median(&loaded, "draw_only", frame)?.saturating_sub(floor);
                Ok(median(&loaded, drawn, frame)?.saturating_sub(drawing))
            })?;
        }
    }
    connection(load(&object, &ten_rules())?)
}

/// What each packet of a TCP connection between two ENIs costs, and all of them together.
fn connection(mut loaded: Ebpf) -> Result<(), Box<dyn Error>> {
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    const DATA: u8 = 24;
    const FIN: u8 = 17;
    let client = |name, flags| (name, IN_TURN, ENI, segment(5, 1, flags));
    let server = |name, flags| (name, ANSWERS_IN_TURN, RECEIVER, segment(1, 5, flags));
    let packets = [
        client("SYN", SYN),
        server("SYN and ACK", SYN | ACK),
        client("ACK", ACK),
        client("data", DATA),
        server("its ACK", ACK),
        server("data back", DATA),
        client("its ACK", ACK),
        server("FIN", FIN),
        client("FIN", FIN),
        server("the last ACK", ACK),
    ];
    let mut costs = packets.each_ref().map(|_| Vec::new());
    for round in 0..CONNECTION_ROUNDS {
        let first = (round as u64 + 1) << 16;
        for ((_, order, eni, frame), costs) in packets.iter().zip(&mut costs) {
            draw_from(&mut loaded, 0, *order, first)?;
            costs.push(run(&loaded, "from_eni_drawn", *eni, frame, CONNECTIONS)?);
        }
    }
    println!(
        "\nns a packet of a TCP connection, median of {CONNECTION_ROUNDS} rounds of {CONNECTIONS} connections, IPv4"
    );
    let mut sum = 0;
    for ((name, ..), mut costs) in packets.iter().zip(costs) {
        costs.sort_unstable();
        let median = costs[CONNECTION_ROUNDS / 2];
        sum += median;
        println!("{name:<48}{median:>8}");
    }
    println!("{:<48}{sum:>8}", "all of them");
    Ok(())
}

/// The MAC that frames are to.
const ROUTER: &str = "02:00:00:00:00:01";

/// Two ENIs, with routes to both, and a way out.
fn make_network() -> Result<(), Box<dyn Error>> {
    let ip = |line: &str| -> Result<(), Box<dyn Error>> {
        let status = Command::new("ip").args(line.split(' ')).status()?;
        if status.success() { Ok(()) } else { Err(format!("ip {line} failed").into()) }
    };
    for family in ["ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/default/forwarding"] {
        fs::write(format!("/proc/sys/net/{family}"), "1")?;
    }
    for (name, index) in [("eni", ENI), ("receiver", RECEIVER), ("uplink", 9)] {
        ip(&format!("link add index {index} name {name} address {ROUTER} type veth peer name {name}-end"))?;
        ip(&format!("link set {name} up"))?;
        ip(&format!("link set {name}-end up"))?;
    }
    for (destination, device) in
        [("10.0.0.1", "receiver"), ("10.0.0.5", "eni"), ("fd00::1", "receiver"), ("default", "uplink")]
    {
        ip(&format!("route add {destination} dev {device}"))?;
    }
    ip("-6 route add default dev uplink")
}

/// Where frames go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From an ENI to another.
    Eni,
    /// From an ENI out of the VPC.
    Kernel,
    /// From outside to an ENI.
    Inbound,
}

fn frames(way: Way) -> [Frame; 4] {
    [frame(way, 4, 64), frame(way, 4, 1500), frame(way, 6, 64), frame(way, 6, 1500)]
}

fn row(
    name: &str,
    way: Way,
    mut measure: impl FnMut(&Frame) -> Result<u32, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    print!("{name:<48}");
    for frame in frames(way) {
        print!("{:>8}", measure(&frame)?);
    }
    println!();
    Ok(())
}

/// The benchmark's programs, with maps of their own and an ENI that is open.
fn load(object: &[u8], policy: &GroupPolicy) -> Result<Ebpf, Box<dyn Error>> {
    let mut loaded = EbpfLoader::new().load(object)?;
    for (_, program) in loaded.programs_mut() {
        let program: &mut SchedClassifier = program.try_into()?;
        program.load()?;
    }
    let group = ObjectId::from([1, 1]);
    let mut groups: HashMap<_, ObjectId, Plain<GroupPolicy>> =
        loaded.map_mut("GROUPS").ok_or("no GROUPS")?.try_into()?;
    groups.insert(group, Plain(*policy), 0)?;
    let mut enis: Array<_, Plain<EniSlot>> = loaded.map_mut("ENIS").ok_or("no ENIS")?.try_into()?;
    for (number, last) in [(ENI, 5), (RECEIVER, 1)] {
        let slot = EniSlot {
            number,
            state: EniState::Open as u32,
            mac: [2, 0, 0, 0, 0, 2, 0, 0],
            mtu: 9001,
            ipv4: words([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last]),
            ipv6: words([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]),
            idle: [u32::MAX / 4; Phase::COUNT],
            flow_limit: u32::MAX,
            group_count: 1,
            groups: [group; MAX_GROUPS],
            ..EniSlot::default()
        };
        enis.set(number % 4096, Plain(slot), 0)?;
    }
    let mut clock: Array<_, Plain<Clock>> = loaded.map_mut("CLOCK").ok_or("no CLOCK")?.try_into()?;
    clock.set(0, Plain(Clock { interval: 1, epoch: 1, ..Clock::default() }), 0)?;
    Ok(loaded)
}

fn words(address: [u8; 16]) -> [u64; 2] {
    let [upper, lower] =
        [0, 8].map(|at| u64::from_ne_bytes(std::array::from_fn(|place| address[at + place])));
    [upper, lower]
}

/// Everything in, everything out.
fn open_group() -> GroupPolicy {
    let mut policy = GroupPolicy { counts: [2; 2], open: 0xff, ..GroupPolicy::default() };
    for rules in &mut policy.rules {
        for (rule, kind) in rules.iter_mut().zip([PeerKind::Ipv4, PeerKind::Ipv6]) {
            rule.last = u16::MAX;
            rule.protocol = PolicyRule::ALL_PROTOCOLS;
            rule.kind = kind as u8;
        }
    }
    policy
}

/// Four rules for egress and six for ingress, of which the last are for everything, and tracked.
fn ten_rules() -> GroupPolicy {
    let mut policy = GroupPolicy { counts: [4, 6], ..GroupPolicy::default() };
    for (rules, count) in policy.rules.iter_mut().zip([4, 6]) {
        rules[count - 1] =
            PolicyRule { last: u16::MAX, protocol: PolicyRule::ALL_PROTOCOLS, ..PolicyRule::default() };
    }
    policy
}

fn draw_from(loaded: &mut Ebpf, flows: u32, order: u32, state: u64) -> Result<(), Box<dyn Error>> {
    let mut draw: Array<_, Draw> = loaded.map_mut("DRAW").ok_or("no DRAW")?.try_into()?;
    Ok(draw.set(0, Draw { flows, order, state }, 0)?)
}

fn median(loaded: &Ebpf, program: &str, frame: &Frame) -> Result<u32, Box<dyn Error>> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(run(loaded, program, ENI, &frame.bytes, REPEAT)?);
    }
    rounds.sort_unstable();
    Ok(rounds[ROUNDS / 2])
}

fn run(loaded: &Ebpf, program: &str, eni: u32, frame: &[u8], repeat: u32) -> Result<u32, Box<dyn Error>> {
    const TEST_RUN: libc::c_int = 10;
    const OK: u32 = 0;
    const REDIRECT: u32 = 7;
    let program: &SchedClassifier = loaded.program(program).ok_or("no such program")?.try_into()?;
    let mut context = [0_u8; 192];
    context[40..44].copy_from_slice(&eni.to_ne_bytes());
    let mut attribute = TestRun {
        program: program.fd()?.as_fd().as_raw_fd().unsigned_abs(),
        data_size: u32::try_from(frame.len())?,
        data: frame.as_ptr() as u64,
        repeat,
        context_size: 192,
        context: context.as_ptr() as u64,
        ..TestRun::default()
    };
    // SAFETY: the attribute is that of the command; its pointers are to a frame and a context of the sizes stated.
    let result = unsafe { libc::syscall(libc::SYS_bpf, TEST_RUN, &raw mut attribute, size_of::<TestRun>()) };
    if result != 0 {
        return Err(io::Error::last_os_error().into());
    }
    if !matches!(attribute.answer, OK | REDIRECT) {
        return Err(format!("a verdict of {}", attribute.answer).into());
    }
    Ok(attribute.duration)
}

/// A TCP segment without data, from one address to another.
fn segment(source: u8, destination: u8, flags: u8) -> Vec<u8> {
    let mut bytes =
        vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0];
    bytes.extend([10, 0, 0, source, 10, 0, 0, destination]);
    bytes.extend([0; 12]);
    bytes.extend([0x50, flags, 0, 0, 0, 0, 0, 0]);
    bytes
}

/// A UDP datagram, so many bytes from the Ethernet header on.
fn frame(way: Way, version: u8, size: usize) -> Frame {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    let name = match (version, size) {
        (4, 64) => "v4 64",
        (4, _) => "v4 1500",
        (_, 64) => "v6 64",
        _ => "v6 1500",
    };
    let length = u16::try_from(size - 14).unwrap_or(u16::MAX);
    // The ENI, the other ENI, and somebody outside.
    let (source, destination) = match way {
        Way::Eni => (5, 1),
        Way::Kernel => (5, 99),
        Way::Inbound => (99, 5),
    };
    if version == 4 {
        bytes.extend([0x08, 0x00, 0x45, 0]);
        bytes.extend(length.to_be_bytes());
        bytes.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, source, 10, 0, 0, destination]);
    } else {
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        bytes.extend((length - 40).to_be_bytes());
        bytes.extend([17, 64]);
        for last in [source, destination] {
            bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
    }
    let payload = length - if version == 4 { 20 } else { 40 };
    bytes.extend([0x80, 0, 1, 0xbb]);
    bytes.extend(payload.to_be_bytes());
    bytes.resize(14 + usize::from(length), 0);
    Frame { name, bytes }
}
