//! The program on tc ingress of an ENI's host end: what the task sends.

use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use enid_abi::Direction;

use crate::account::account;
use crate::skb::Skb;

/// Judges a packet that the task sent, counts it, and sends it on its way.
#[classifier]
pub fn from_eni(context: TcContext) -> i32 {
    account(Skb::new(&context), Direction::Egress)
}
