//! What becomes of a packet that its flow's entry does not answer for: a flow's first, one that changes the state of
//! its connection, or the first after a change of policy.

use aya_ebpf::bindings::__sk_buff;
use enid_abi::{Bucket, Direction, Family, FlowKey, FlowValue, Reason};

use crate::account::InBucket;
use crate::case::{Aligned, Case, case};
use crate::deliver::{is_too_large, open_slot};
use crate::judge::{Judgement, Part, Standing, judge};
use crate::maps::FORWARDING;
use crate::outcome::Outcome;
use crate::packet::{Fragment, Packet};
use crate::refuse::refuse;
use crate::settle::{Step, settle};
use crate::skb::Skb;
use crate::track::{Connection, State, opens, with_peer};
use crate::{claim, flow, fragment, icmp, route};

/// Judges the case's packet by its connection's state, else by the rules; counts it; says what becomes of it, as a
/// packed [`Outcome`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn decide(context: *mut __sk_buff) -> u64 {
    let skb = Skb::from_context(context);
    let Some(case) = case() else {
        return Outcome::dropped(Bucket::Unrecorded).pack();
    };
    let Case { packet, wire, moment, reverse_key: Aligned(reverse_key), flow: value, .. } = case;
    let Some(slot) = open_slot(packet.key.eni) else {
        return Outcome::dropped(Bucket::Closed).pack();
    };
    if packet.is_egress() && !claim::has_own_source(skb, packet, slot) {
        return refuse(context, Reason::SpoofedSource as u32, 0);
    }
    if packet.fragment != Fragment::None as u8 {
        fragment::resolve(packet);
    }
    if packet.is_egress() && claim::is_dhcp_server(packet) {
        return refuse(context, Reason::Impersonation as u32, 0);
    }

    let sender = if packet.is_egress() { 0 } else { route::sender(skb) };
    let own = flow::find(&mut packet.key, sender, moment);
    let way = if packet.is_egress() { way(skb, packet, own) } else { route::KERNEL };
    let peer = if !packet.is_egress() {
        sender
    } else if way >= route::FIRST_ENI {
        way
    } else {
        0
    };
    let target = if FORWARDING.load() != 0 && packet.is_egress() { peer } else { 0 };
    reverse_of(packet, target, reverse_key);
    // The other end of the flow the other way, which between two ENIs is the other one's.
    let back = if target != 0 { packet.key.eni } else { peer };
    let reverse = with_peer(flow::find(reverse_key, back, moment), back);
    let connection = Connection { own: with_peer(own, peer), reverse };
    let state = connection.state();
    case.state = state;
    let standing = standing(skb, packet, back, &connection, &state);

    let has_state = target == 0 || connection.is_known_to_sender(packet.key.eni, target);
    case.part = Part {
        number: packet.key.eni,
        other: peer,
        direction: packet.key.direction,
        untracked: FlowValue::UNTRACKED_OWN,
        standing,
        has_state: u8::from(has_state),
    };
    let of_own = Judgement::unpack(judge());
    if of_own.is_refused() {
        return refuse(context, of_own.reason, 0);
    }
    if way != route::KERNEL && way < route::FIRST_ENI {
        let is_router = way == route::ROUTER;
        if !is_router || packet.selector != echo_request(packet) {
            let reason = if is_router { Reason::Router } else { Reason::NoRoute };
            let refused = Outcome::unpack(refuse(context, reason as u32, 0));
            // The kernel tells the sender, at once, that there is no route; the router says nothing for itself.
            let action = if way == route::NONE { Outcome::PASS } else { Outcome::DROP };
            return Outcome { action, bucket: refused.bucket }.pack();
        }
    }
    let mut step =
        Step { own, reverse, state, is_fresh: false, bits: 0, peer, deliver: 0, slot, receiver: slot };
    step.bits = of_own.untracked(FlowValue::UNTRACKED_OWN);
    let mut continues = of_own.continues;
    if target != 0 {
        let Some(receiver) = open_slot(target) else {
            return refuse(context, Reason::NoRoute as u32, 0);
        };
        let is_known = connection.is_known_to_receiver(packet.key.eni, target);
        case.part = Part {
            number: target,
            other: packet.key.eni,
            direction: Direction::Ingress as u8,
            untracked: FlowValue::UNTRACKED_TARGET,
            standing,
            has_state: u8::from(is_known),
        };
        let of_target = Judgement::unpack(judge());
        if of_target.is_refused() {
            return refuse(context, of_target.reason, target);
        }
        step.bits |= of_target.untracked(FlowValue::UNTRACKED_TARGET);
        // To one that knows nothing of the connection, it begins.
        continues = (continues | of_target.continues) & has_state & is_known;
        step.receiver = receiver;
        if !is_too_large(skb, packet, receiver) {
            step.deliver = target;
        }
    }
    step.is_fresh = !continues;
    let deliver = step.deliver;
    if peer != deliver {
        step.bits |= FlowValue::ROUTED;
    }
    let entry = settle(skb, packet, &step, moment, value);
    if entry.is_null() {
        return Outcome { action: deliver, bucket: InBucket(Bucket::Skipped as u8) }.pack();
    }
    // SAFETY: a value of the map.
    unsafe { flow::add(&raw mut (*entry).windows[moment.interval.window()], moment, packet.tcp_flags, wire) };
    Outcome::counted(deliver).pack()
}

/// Where a packet goes: the way of its flow as long as the ENI that it leads to is there, else the kernel's route.
#[inline(always)]
fn way(skb: Skb, packet: &Packet, own: *mut FlowValue) -> u32 {
    if !claim::is_for_router(skb) {
        return route::MANY;
    }
    if !own.is_null() {
        // SAFETY: a value of the map.
        let peer = unsafe { (*own).peer };
        if peer != 0 && open_slot(peer).is_some() {
            return peer;
        }
    }
    route::find(skb, packet)
}

/// The key of the flow the other way: between two ENIs of this host it is what the other one sends.
#[inline(always)]
fn reverse_of(packet: &Packet, target: u32, key: &mut FlowKey) {
    *key = packet.key.reverse();
    key.generation = 0;
    if target != 0 {
        key.eni = target;
        key.direction = Direction::Egress as u8;
    }
}

/// How a packet stands to the connection: a [`Standing`]. `back` is the other end of the flow the other way.
#[inline(always)]
fn standing(skb: Skb, packet: &Packet, back: u32, connection: &Connection, state: &State) -> u8 {
    if packet.is_icmp() {
        return icmp::standing(skb.as_ptr(), back) as u8;
    }
    let continues = !opens(packet) || state.is_repeated_opening(connection.own);
    (if continues { Standing::Continues } else { Standing::Begins }) as u8
}

/// The type × 256 + code of an echo request; of other protocols' packets none that they could have.
#[inline(always)]
fn echo_request(packet: &Packet) -> u16 {
    if !packet.is_icmp() {
        return !packet.selector;
    }
    if packet.key.family == Family::Ipv4 as u8 { 0x0800 } else { 0x8000 }
}
