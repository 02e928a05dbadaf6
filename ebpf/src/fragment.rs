//! Fragments: only the first has ports, the later ones are told by their datagram's identification.

use core::mem::MaybeUninit;

use enid_abi::FragmentKey;

use crate::case::clear;
use crate::maps::FRAGMENTS;
use crate::packet::{Fragment, Packet};
use crate::policy::words;

/// Remembers the ports of a first fragment; gives later ones theirs, so that they are of the same flow.
#[inline(never)]
pub fn resolve(packet: &mut Packet) {
    let mut key = MaybeUninit::<FragmentKey>::uninit();
    // SAFETY: integers only, and aligned to 8.
    let key = unsafe {
        clear(key.as_mut_ptr());
        key.assume_init_mut()
    };
    key.source = words(&packet.key.source);
    key.destination = words(&packet.key.destination);
    key.eni = packet.key.eni;
    key.identification = packet.identification;
    key.protocol = packet.key.protocol;
    key.direction = packet.key.direction;
    let ports = u32::from(packet.key.source_port) << 16 | u32::from(packet.selector);
    if packet.fragment == Fragment::First as u8 {
        let _ = FRAGMENTS.insert(&*key, &ports, 0);
        return;
    }
    // SAFETY: the value is copied at once.
    match unsafe { FRAGMENTS.get(&*key) }.copied() {
        Some(ports) => {
            packet.selector = ports as u16;
            packet.key.source_port = (ports >> 16) as u16;
            if packet.has_ports() {
                packet.key.destination_port = ports as u16;
            }
            packet.fragment = Fragment::Later as u8;
        }
        None => packet.fragment = Fragment::Unknown as u8,
    }
}
