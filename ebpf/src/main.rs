//! The eBPF programs of an ENI's data path: what they count, and where, is in `docs/ebpf.md`.

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

/// What the programs declare to the kernel, whose helpers are for GPL programs alone.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
