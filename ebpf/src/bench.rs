//! Programs for the benchmark: the accounting over many flows, and what to subtract from it. Not part of the daemon.
//!
//! A test run gives a program the same frame again and again, so these write other ports into it first.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch, core_intrinsics)]
#![allow(internal_features, reason = "BPF has atomics that `core::sync` does not offer for this target")]

mod account;
mod atomic;
mod bytes;
mod case;
mod claim;
mod class;
mod decide;
mod deliver;
mod flow;
mod fragment;
mod from_eni;
mod icmp;
mod ipv4;
mod ipv6;
mod judge;
mod maps;
mod now;
mod outcome;
mod packet;
mod policy;
mod refuse;
mod route;
mod settle;
mod skb;
mod to_eni;
mod track;
mod transport;

use core::arch::asm;

use aya_ebpf::bindings::TC_ACT_OK;
use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::{btf_map, classifier};
use aya_ebpf::programs::TcContext;
use enid_abi::Direction;

use crate::account::account;
use crate::skb::Skb;

/// Which flow comes next.
#[repr(C)]
pub struct Draw {
    /// How many flows there are.
    flows: u32,
    /// 0 to draw them evenly, 1 to take them in turn, 2 to take in turn the flows that answer them.
    order: u32,
    /// The last number drawn, or the flow whose turn it is.
    state: u64,
}

#[btf_map]
static DRAW: Array<Draw, 1> = Array::new();

#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 4] = *b"GPL\0";

/// The floor: what a test run costs by itself.
#[classifier]
pub fn empty(_context: TcContext) -> i32 {
    TC_ACT_OK
}

/// What it costs to draw a flow and to write it into the frame.
#[classifier]
pub fn draw_only(context: TcContext) -> i32 {
    let _ = draw(Skb::new(&context));
    TC_ACT_OK
}

/// The accounting of `from_eni` for a flow that is drawn.
#[classifier]
pub fn from_eni_drawn(context: TcContext) -> i32 {
    let skb = Skb::new(&context);
    match draw(skb) {
        Some(()) => account(skb, Direction::Egress),
        None => -1,
    }
}

/// The accounting of `to_eni` for a flow that is drawn.
#[classifier]
pub fn to_eni_drawn(context: TcContext) -> i32 {
    let skb = Skb::new(&context);
    match draw(skb) {
        Some(()) => account(skb, Direction::Ingress),
        None => -1,
    }
}

#[inline(always)]
fn draw(skb: Skb) -> Option<()> {
    let draw = DRAW.get_ptr_mut(0)?;
    // SAFETY: a value of the map, which the benchmark uses from one thread.
    let draw = unsafe { &mut *draw };
    let flow = if draw.order != 0 {
        draw.state += 1;
        (draw.state as u32).rotate_left(16 * (draw.order - 1))
    } else {
        // xorshift64 (Marsaglia), then scaled to the number of flows.
        let mut x = draw.state;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        draw.state = x;
        ((x >> 32) * u64::from(draw.flows) >> 32) as u32
    };
    // Both ports, in the word that the program will load them by.
    // SAFETY: the context is valid for as long as the program runs.
    let is_ipv6 = unsafe { (*skb.as_ptr()).protocol } == u32::from(0x86dd_u16.to_be());
    let at = skb.data() as usize + if is_ipv6 { 54 } else { 34 };
    if at + 4 > skb.data_end() as usize {
        return None;
    }
    // SAFETY: the bounds were checked just now; the verifier allows packets to be written to unaligned.
    unsafe { asm!("*(u32 *)({at} + 0) = {value}", at = in(reg) at, value = in(reg) u64::from(flow)) };
    Some(())
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
