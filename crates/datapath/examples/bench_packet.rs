//! What the programs cost, in nanoseconds a packet: `scripts/bench-packet` builds and runs this.
//!
//! Each figure is the median of several rounds of a test run (`BPF_PROG_TEST_RUN`), which calls a program a million
//! times on one frame. For many flows, programs of another object draw a flow first and then do the same accounting;
//! what drawing costs is measured by itself and subtracted. Every figure includes what a test run costs by itself.

use std::error::Error;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::Command;
use std::{env, fs, io};

use aya::maps::Array;
use aya::programs::SchedClassifier;
use aya::{Ebpf, EbpfLoader, Pod};
use enid_abi::{EniSlot, EniState};

const REPEAT: u32 = 1_000_000;
const ROUNDS: usize = 7;
const ENI: u32 = 1_000_000;
const FLOWS: [u32; 4] = [1, 1_000, 100_000, 1_000_000];

/// As the benchmark's programs have it.
#[derive(Clone, Copy)]
#[repr(C)]
struct Draw {
    flows: u32,
    in_turn: u32,
    state: u64,
}

// SAFETY: `#[repr(C)]`, integers without gaps.
unsafe impl Pod for Draw {}

#[derive(Clone, Copy)]
#[repr(C)]
struct Slot(EniSlot);

// SAFETY: `#[repr(C)]`, integers without gaps.
unsafe impl Pod for Slot {}

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
    let path = env::args().nth(1).ok_or("usage: bench_packet OBJECT, as root")?;
    // SAFETY: no memory is involved.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error().into());
    }
    let device = format!("link add index {ENI} name eni type veth peer name eth0");
    let status = Command::new("ip").args(device.split(' ')).status()?;
    if !status.success() {
        return Err("making the device failed".into());
    }
    let object = fs::read(path)?;
    let frames = [frame(4, 64), frame(4, 1500), frame(6, 64), frame(6, 1500)];

    println!("ns a packet, median of {ROUNDS} rounds of {REPEAT} test runs, established flows, TCP");
    println!(
        "{:<40}{:>8}{:>8}{:>8}{:>8}",
        "", frames[0].name, frames[1].name, frames[2].name, frames[3].name
    );
    let loaded = load(&object)?;
    let floor = median(&loaded, "empty", &frames[0])?;
    row("empty program: the test run itself", &frames, |frame| median(&loaded, "empty", frame))?;
    for (program, drawn) in [("from_eni", "from_eni_drawn"), ("to_eni", "to_eni_drawn")] {
        row(&format!("{program}, the same flow always"), &frames, |frame| median(&loaded, program, frame))?;
        for flows in FLOWS {
            row(&format!("{program}, {flows} flows drawn evenly"), &frames, |frame| {
                let mut loaded = load(&object)?;
                draw_from(&mut loaded, flows, 1)?;
                run(&loaded, drawn, frame, flows)?;
                draw_from(&mut loaded, flows, 0)?;
                let drawing = median(&loaded, "draw_only", frame)?.saturating_sub(floor);
                Ok(median(&loaded, drawn, frame)?.saturating_sub(drawing))
            })?;
        }
    }
    Ok(())
}

fn row(
    name: &str,
    frames: &[Frame],
    mut measure: impl FnMut(&Frame) -> Result<u32, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    print!("{name:<40}");
    for frame in frames {
        print!("{:>8}", measure(frame)?);
    }
    println!();
    Ok(())
}

/// The benchmark's programs, with maps of their own and an ENI that is open.
fn load(object: &[u8]) -> Result<Ebpf, Box<dyn Error>> {
    let mut loaded = EbpfLoader::new().load(object)?;
    for (_, program) in loaded.programs_mut() {
        let program: &mut SchedClassifier = program.try_into()?;
        program.load()?;
    }
    let mut enis: Array<_, Slot> = loaded.map_mut("ENIS").ok_or("no ENIS")?.try_into()?;
    let slot = Slot(EniSlot::new(ENI, EniState::Open));
    enis.set(ENI % 4096, slot, 0)?;
    let mut clock: Array<_, u32> = loaded.map_mut("CLOCK").ok_or("no CLOCK")?.try_into()?;
    clock.set(0, 1, 0)?;
    Ok(loaded)
}

fn draw_from(loaded: &mut Ebpf, flows: u32, in_turn: u32) -> Result<(), Box<dyn Error>> {
    let mut draw: Array<_, Draw> = loaded.map_mut("DRAW").ok_or("no DRAW")?.try_into()?;
    let state = if in_turn == 1 { u64::MAX } else { 0x9e37_79b9_7f4a_7c15 };
    Ok(draw.set(0, Draw { flows, in_turn, state }, 0)?)
}

fn median(loaded: &Ebpf, program: &str, frame: &Frame) -> Result<u32, Box<dyn Error>> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(run(loaded, program, frame, REPEAT)?);
    }
    rounds.sort_unstable();
    Ok(rounds[ROUNDS / 2])
}

fn run(loaded: &Ebpf, program: &str, frame: &Frame, repeat: u32) -> Result<u32, Box<dyn Error>> {
    const TEST_RUN: libc::c_int = 10;
    let program: &SchedClassifier = loaded.program(program).ok_or("no such program")?.try_into()?;
    let mut context = [0_u8; 192];
    context[40..44].copy_from_slice(&ENI.to_ne_bytes());
    let mut attribute = TestRun {
        program: program.fd()?.as_fd().as_raw_fd().unsigned_abs(),
        data_size: u32::try_from(frame.bytes.len())?,
        data: frame.bytes.as_ptr() as u64,
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
    if attribute.answer != 0 {
        return Err(format!("a verdict of {}", attribute.answer).into());
    }
    Ok(attribute.duration)
}

/// A TCP segment, so many bytes from the Ethernet header on.
fn frame(version: u8, size: usize) -> Frame {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    let (name, header) = match (version, size) {
        (4, 64) => ("v4 64", 20),
        (4, _) => ("v4 1500", 20),
        (_, 64) => ("v6 64", 40),
        _ => ("v6 1500", 40),
    };
    // An IPv6 TCP header does not fit into 64 bytes with the Ethernet header: the frame is what it has to be.
    let length = u16::try_from((size - 14).max(header + 20)).unwrap_or(u16::MAX);
    if version == 4 {
        bytes.extend([0x08, 0x00, 0x45, 0]);
        bytes.extend(length.to_be_bytes());
        bytes.extend([0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 0, 10, 255, 0, 1]);
    } else {
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        bytes.extend((length - 40).to_be_bytes());
        bytes.extend([6, 64]);
        bytes.extend([0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0xfd, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }
    bytes.extend([0x80, 0, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.resize(14 + usize::from(length), 0);
    Frame { name, bytes }
}
