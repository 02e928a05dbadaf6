//! The program on tc egress of an ENI's host end: what arrives for the task by the kernel's routing.

use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use enid_abi::Direction;

use crate::account::account;
use crate::skb::Skb;

/// Judges a packet that is about to reach the task, and counts it.
#[classifier]
pub fn to_eni(context: TcContext) -> i32 {
    account(Skb::new(&context), Direction::Ingress)
}
