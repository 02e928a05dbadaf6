//! Counting in the flow table.

use aya_ebpf::bindings::BPF_NOEXIST;
use enid_abi::{Count, Direction, FlowKey, FlowValue, Interval, Mark, TcpFlags, Tick, Window};

use crate::maps::{CLOCK, FLOWS};
use crate::now::tick;
use crate::packet::Packet;
use crate::skb::Skb;
use crate::{atomic, class};

/// Where a flow stands in the table.
pub enum Place {
    /// In this entry.
    Found(*mut FlowValue),
    /// Nowhere; the key is one that may be inserted.
    Vacant,
    /// Nowhere, nor can it be: both generations have expired and were not yet deleted.
    Blocked,
}

/// Counts a packet in its flow; says whether there was room for it.
#[inline(always)]
pub fn count(skb: Skb, packet: &mut Packet, wire: Count) -> bool {
    let interval = CLOCK.get(0).map_or(Interval::FIRST, |clock| Interval::new(clock.interval));
    let now = tick();
    let opens = packet.key.direction == Direction::Egress as u8
        && packet.tcp_flags & TcpFlags::SYN_ACK == TcpFlags::SYN;

    let entry = match find(&mut packet.key, interval) {
        Place::Found(entry) => {
            if opens {
                // A new connection on old ports may be somebody else's.
                class::assign(skb, &packet.key, interval);
            }
            entry
        }
        Place::Vacant => {
            create(skb, packet, opens, interval, now);
            match FLOWS.get_ptr_mut(&packet.key) {
                Some(entry) => entry,
                None => return false,
            }
        }
        Place::Blocked => return false,
    };
    // SAFETY: the entry is a value of the map, the window one of its two.
    unsafe { add(&raw mut (*entry).windows[interval.window()], interval, packet.tcp_flags, now, wire) };
    true
}

/// Finds a flow's entry, in the generation that has not expired. Leaves that generation in the key, which comes with 0.
#[inline(always)]
pub fn find(key: &mut FlowKey, interval: Interval) -> Place {
    for generation in 0..2 {
        if generation != 0 {
            key.generation = generation;
        }
        let Some(entry) = FLOWS.get_ptr_mut(&*key) else {
            return Place::Vacant;
        };
        // SAFETY: a value of the map. Another CPU may change it meanwhile, but a mark never goes back.
        let expired = unsafe {
            (*entry).windows[interval.window()].mark().interval() != interval && (*entry).is_expired(interval)
        };
        if !expired {
            return Place::Found(entry);
        }
    }
    Place::Blocked
}

/// Makes an entry without counts, unless another CPU is first.
#[inline(never)]
fn create(skb: Skb, packet: &Packet, opens: bool, interval: Interval, now: Tick) {
    let mut value = FlowValue {
        class: class::of_first_packet(skb, &packet.key, opens, interval),
        ..FlowValue::default()
    };
    // An entry is never without a mark, or user space could take it for expired before its first packet is added.
    let window = &mut value.windows[interval.window()];
    window.mark = Mark::new(interval, packet.tcp_flags, now).bits();
    window.last = now;
    // Whoever is first, both find the one entry: hence not BPF_ANY, which would replace it.
    let _ = FLOWS.insert(&packet.key, &value, u64::from(BPF_NOEXIST));
}

/// Adds a packet to a window.
///
/// # Safety
///
/// The window is in a value of the flow table.
#[inline(always)]
unsafe fn add(window: *mut Window, interval: Interval, flags: u8, now: Tick, wire: Count) {
    // SAFETY: the caller's. The mark is read once, as another CPU may be changing it.
    unsafe {
        let mark = Mark::from_bits((&raw const (*window).mark).read_volatile());
        if mark.interval() != interval {
            let begun = Mark::new(interval, flags, now);
            // Only the beginning of this interval changes an old mark: who fails finds it begun by another CPU.
            if !atomic::replace(&raw mut (*window).mark, mark.bits(), begun.bits()) {
                atomic::set_bits(&raw mut (*window).mark, Mark::flag_bits(flags));
            }
        } else if flags & !mark.flags() != 0 {
            atomic::set_bits(&raw mut (*window).mark, Mark::flag_bits(flags));
        }
        atomic::add(&raw mut (*window).packets, wire.packets);
        atomic::add(&raw mut (*window).bytes, wire.bytes);
        // Two CPUs that meet within a tick may leave the earlier time: off by one tick.
        (&raw mut (*window).last).write_volatile(now);
    }
}
