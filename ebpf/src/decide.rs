//! What becomes of a packet that its flow's entry does not answer for: a flow's first, one that changes the state of
//! its connection, or the first after a change of policy.

use aya_ebpf::bindings::__sk_buff;
use enid_abi::{
    Bucket, Direction, EniSlot, Family, FlowKey, FlowValue, Phase, PolicyPacket, Reason, is_over, slot_of,
};

use crate::account::InBucket;
use crate::case::{Aligned, Case, case};
use crate::deliver::{is_too_large, open_slot};
use crate::icmp::Message;
use crate::maps::{ENI_MASK, FLOW_COUNTS, FORWARDING};
use crate::now::Moment;
use crate::outcome::Outcome;
use crate::packet::{Fragment, Packet};
use crate::policy::{Rules, evaluate};
use crate::refuse::refuse;
use crate::settle::{Step, settle};
use crate::skb::Skb;
use crate::track::{Connection, State, idle, opens};
use crate::{claim, flow, fragment, icmp, route};

/// Judges the case's packet by its connection's state, else by the rules; counts it; says what becomes of it, as a
/// packed [`Outcome`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn decide(context: *mut __sk_buff) -> u32 {
    let skb = Skb::from_context(context);
    let Some(case) = case() else {
        return Outcome::dropped(Bucket::Unrecorded).pack();
    };
    let Case { packet, wire, moment, reverse_key: Aligned(reverse_key), question, flow: value, .. } = case;
    let Some(slot) = open_slot(packet.key.eni) else {
        return Outcome::dropped(Bucket::Closed).pack();
    };
    if packet.fragment != Fragment::None as u8 {
        fragment::resolve(packet);
    }
    if packet.is_egress()
        && let Some(reason) = claim::check(skb, packet, slot)
    {
        return refuse(context, reason as u32, 0);
    }

    let own = flow::find(&mut packet.key, moment);
    let way = if packet.is_egress() { way(skb, packet, own) } else { route::KERNEL };
    let target = if FORWARDING.load() != 0 && way >= route::FIRST_ENI { way } else { 0 };
    reverse_of(packet, target, reverse_key);
    let reverse = flow::find(reverse_key, moment);
    let state = Connection { own, reverse }.state();
    let standing = standing(skb, packet, reverse_key, own, &state, moment);
    let asked = Asked { packet, state, standing, moment };

    let direction = u32::from(packet.key.direction);
    let of_own = judge(&asked, slot, direction, FlowValue::UNTRACKED_OWN, question);
    if of_own.is_refused() {
        return refuse(context, of_own.reason, 0);
    }
    let is_nowhere = way == route::NONE || way == route::MANY;
    if is_nowhere || way == route::ROUTER && packet.selector != echo_request(packet) {
        let reason = if way == route::ROUTER { Reason::Router } else { Reason::NoRoute };
        let refused = Outcome::unpack(refuse(context, reason as u32, 0));
        // The kernel tells the sender, at once, that there is no route; the router says nothing for itself.
        let action = if way == route::NONE { Outcome::PASS } else { Outcome::DROP };
        return Outcome { action, bucket: refused.bucket }.pack();
    }
    let mut step = Step { own, reverse, state, is_fresh: false, bits: 0, deliver: 0, slot, receiver: slot };
    step.bits = of_own.untracked(FlowValue::UNTRACKED_OWN);
    let mut is_alive = state.is_alive(slot, moment);
    if target != 0 {
        let Some(receiver) = open_slot(target) else {
            return refuse(context, Reason::NoRoute as u32, 0);
        };
        let inbound = Direction::Ingress as u32;
        let of_target = judge(&asked, receiver, inbound, FlowValue::UNTRACKED_TARGET, question);
        if of_target.is_refused() {
            return refuse(context, of_target.reason, target);
        }
        step.bits |= of_target.untracked(FlowValue::UNTRACKED_TARGET);
        is_alive |= state.is_alive(receiver, moment);
        step.receiver = receiver;
        if !is_too_large(skb, packet, receiver) {
            step.deliver = target;
        }
    }
    step.is_fresh = !(is_alive && standing as u32 == Standing::Continues as u32);
    let deliver = step.deliver;
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
    if !own.is_null() {
        // SAFETY: a value of the map.
        let target = unsafe { (*own).target };
        if target != 0 && open_slot(target).is_some() {
            return target;
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

/// How a packet stands to the connection that its addresses and ports name.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Standing {
    /// It begins one: only rules can let it through.
    Begins = 0,
    /// It continues it, if that is alive.
    Continues = 1,
    /// It is an ICMP error that belongs to another flow, which is alive.
    Related = 2,
}

#[inline(always)]
fn standing(
    skb: Skb,
    packet: &Packet,
    reverse_key: &mut FlowKey,
    own: *mut FlowValue,
    state: &State,
    moment: &Moment,
) -> Standing {
    if packet.is_icmp() {
        return icmp_standing(skb, packet, reverse_key, state, moment);
    }
    if !opens(packet) || state.is_repeated_opening(own) { Standing::Continues } else { Standing::Begins }
}

#[inline(always)]
fn icmp_standing(
    skb: Skb,
    packet: &Packet,
    reverse_key: &mut FlowKey,
    state: &State,
    moment: &Moment,
) -> Standing {
    let message = Message::of(packet.key.family, packet.selector);
    if message as u32 == Message::Request as u32 {
        return Standing::Begins;
    }
    if message as u32 == Message::Reply as u32 {
        let is_awaited = state.reverse_bits & FlowValue::REQUESTED != 0;
        return if is_awaited { Standing::Continues } else { Standing::Begins };
    }
    // What the router itself has to say to a task was never received: it is about the task's own packets.
    if !packet.is_egress() && skb.ingress_ifindex() == 0 {
        return Standing::Related;
    }
    if !icmp::carried(skb, packet, reverse_key) {
        return Standing::Begins;
    }
    let is_too_big = message as u32 == Message::TooBig as u32 && !packet.is_egress();
    // The task's own packets: without an answer to them that is too big for the way, nothing large would ever arrive.
    if is_too_big && reverse_key.source == packet.key.destination {
        return Standing::Related;
    }
    // Who sends an error may do so as the one that the packet was for, and no other.
    if packet.is_egress() && reverse_key.destination != packet.key.source {
        return Standing::Begins;
    }
    let about = flow::find(reverse_key, moment);
    if about.is_null() { Standing::Begins } else { Standing::Related }
}

/// The type × 256 + code of an echo request; of other protocols' packets none that they could have.
#[inline(always)]
fn echo_request(packet: &Packet) -> u16 {
    if !packet.is_icmp() {
        return !packet.selector;
    }
    if packet.key.family == Family::Ipv4 as u8 { 0x0800 } else { 0x8000 }
}

/// How an ENI judges a packet.
#[derive(Clone, Copy)]
struct Judgement {
    allowance: u32,
    /// The number of the [`Reason`], if it is refused.
    reason: u32,
}

impl Judgement {
    #[inline(always)]
    fn allowed(allowance: Rules) -> Self {
        Self { allowance: allowance as u32, reason: 0 }
    }

    #[inline(always)]
    fn is_refused(&self) -> bool {
        self.allowance == Rules::Refused as u32
    }

    /// This bit, if the connection is not tracked.
    #[inline(always)]
    fn untracked(&self, bit: u8) -> u8 {
        if self.allowance == Rules::Untracked as u32 { bit } else { 0 }
    }
}

/// What an ENI is asked to judge.
struct Asked<'a> {
    packet: &'a Packet,
    state: State,
    standing: Standing,
    moment: &'a Moment,
}

/// Judges a packet for one ENI. `bit` says where the state has whether that one does not track the connection.
#[inline(always)]
fn judge(
    asked: &Asked<'_>,
    slot: &EniSlot,
    direction: u32,
    bit: u8,
    question: &mut PolicyPacket,
) -> Judgement {
    let Asked { packet, state, standing, moment } = asked;
    if *standing as u32 == Standing::Related as u32 {
        return Judgement::allowed(Rules::Tracked);
    }
    let is_alive = state.is_alive(slot, moment);
    let continues = is_alive && *standing as u32 == Standing::Continues as u32;
    let is_untracked = continues && state.bits & bit != 0;
    if continues && !is_untracked {
        return Judgement::allowed(Rules::Tracked);
    }
    let rules = evaluate(slot, direction, packet, question);
    if rules as u32 != Rules::Refused as u32 {
        return Judgement::allowed(if is_untracked { Rules::Untracked } else { rules });
    }
    let reason = if opens(packet) || packet.is_icmp() || is_alive {
        Reason::NoRule
    } else if state.is_known {
        Reason::ClosedConnection
    } else if was_full(slot, moment) {
        Reason::TableFull
    } else {
        Reason::NoRule
    };
    Judgement { allowance: Rules::Refused as u32, reason: reason as u32 }
}

/// Whether a flow of this ENI found no room a short time ago.
#[inline(always)]
fn was_full(slot: &EniSlot, moment: &Moment) -> bool {
    let Some(count) = FLOW_COUNTS.get(slot_of(slot.number, ENI_MASK.load())) else {
        return false;
    };
    count.was_full != 0 && !is_over(moment.now, count.last_full, idle(slot, Phase::UdpStream as u8))
}
