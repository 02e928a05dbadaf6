//! Connection tracking: how far a connection has come, as the entries of its two directions know it together.

use enid_abi::{Direction, EniSlot, FlowValue, Phase, TcpFlags, Tick, is_over};

use crate::case::case;
use crate::flow;
use crate::icmp::Message;
use crate::now::Moment;
use crate::packet::Packet;

/// The entries of a flow and of the flow the other way, between these two ends: null where there is none.
#[derive(Clone, Copy)]
pub struct Connection {
    /// Of this direction.
    pub own: *mut FlowValue,
    /// Of the other.
    pub reverse: *mut FlowValue,
}

/// An entry, if the ENI at its other end is this one, or none if that is 0; else null: an address may have been another
/// ENI's before, of whose connections nothing is known of this one.
#[inline(always)]
pub fn with_peer(entry: *mut FlowValue, peer: u32) -> *mut FlowValue {
    // SAFETY: a value of the map.
    if entry.is_null() || unsafe { (*entry).peer } != peer { core::ptr::null_mut() } else { entry }
}

/// Whether an ENI has received packets of the case's flow from another by the kernel's way, or, if `is_answer` is 1, of
/// the one that it answers: 1 or 0.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn has_received(number: u32, from: u32, is_answer: u32) -> u32 {
    let Some(case) = case() else {
        return 0;
    };
    let key = &mut case.refusal_key.0.flow;
    *key = if is_answer == 1 { case.packet.key.reverse() } else { case.packet.key };
    key.eni = number;
    key.direction = Direction::Ingress as u8;
    key.generation = 0;
    u32::from(!with_peer(flow::find(key, from, &case.moment), from).is_null())
}

/// What is known of a connection before a packet of it is judged.
#[derive(Clone, Copy)]
pub struct State {
    /// Whether anything is known.
    pub is_known: bool,
    /// The [`Phase`].
    pub phase: u8,
    /// When a packet last came, either way.
    pub last: Tick,
    /// Bits of [`FlowValue`] of this direction, or those that follow from the other's.
    pub bits: u8,
    /// Those of the other direction.
    pub reverse_bits: u8,
}

impl Connection {
    /// Whether what is known of it between two ENIs of this host is known to the sender: it has sent before, or was sent
    /// to. What the receiver has sent by the kernel's way, the sender may have refused.
    #[inline(always)]
    pub fn is_known_to_sender(&self, sender: u32, receiver: u32) -> bool {
        if !self.own.is_null() {
            return true;
        }
        if self.reverse.is_null() {
            return false;
        }
        // SAFETY: a value of the map.
        unsafe { (&*self.reverse).target() != 0 || has_received(sender, receiver, 1) != 0 }
    }

    /// Likewise for the receiver.
    #[inline(always)]
    pub fn is_known_to_receiver(&self, sender: u32, receiver: u32) -> bool {
        if !self.reverse.is_null() {
            return true;
        }
        if self.own.is_null() {
            return false;
        }
        // SAFETY: a value of the map.
        unsafe { (&*self.own).target() != 0 || has_received(receiver, sender, 0) != 0 }
    }

    /// What is known of it.
    #[inline(always)]
    pub fn state(&self) -> State {
        let mut state = State { is_known: false, phase: 0, last: 0, bits: 0, reverse_bits: 0 };
        // SAFETY: null or values of the map. Fields are read one by one: another CPU may be changing them.
        unsafe {
            if !self.reverse.is_null() {
                let reverse = &*self.reverse;
                state.is_known = true;
                state.phase = reverse.phase;
                state.last = reverse.last();
                state.reverse_bits = reverse.bits;
                state.bits = !reverse.bits & FlowValue::ANSWER | turned(reverse.bits, reverse.target());
            }
            if !self.own.is_null() {
                let own = &*self.own;
                let last = own.last();
                if !state.is_known || is_over(last, state.last, 0) {
                    state.last = last;
                }
                state.is_known = true;
                state.phase = own.phase;
                state.bits = own.bits;
            }
        }
        state
    }
}

/// Which ENIs do not track a flow, as the flow the other way has it: of two ENIs on this host, they change parts.
#[inline(always)]
pub fn turned(bits: u8, target: u32) -> u8 {
    let own = bits & FlowValue::UNTRACKED_OWN;
    if target == 0 {
        return own;
    }
    own << 1 | (bits & FlowValue::UNTRACKED_TARGET) >> 1
}

const _: () = assert!(FlowValue::UNTRACKED_OWN << 1 == FlowValue::UNTRACKED_TARGET);

impl State {
    /// Whether the connection is alive for an ENI: it has not been idle for longer than that one allows.
    #[inline(always)]
    pub fn is_alive(&self, slot: &EniSlot, moment: &Moment) -> bool {
        self.is_known && !is_over(moment.now, self.last, idle(slot, self.phase))
    }

    /// Whether a packet that opens a connection repeats what was let through before, rather than beginning anew: as long
    /// as nobody has gone on from there.
    #[inline(always)]
    pub fn is_repeated_opening(&self, own: *mut FlowValue) -> bool {
        !own.is_null() && self.bits & FlowValue::ANSWER == 0 && self.phase == Phase::Opening as u8
    }
}

/// How long a connection in a phase may be idle for an ENI.
#[inline(always)]
pub fn idle(slot: &EniSlot, phase: u8) -> Tick {
    slot.idle[usize::from(phase) & (Phase::COUNT - 1)]
}

/// Whether a packet opens a TCP connection.
#[inline(always)]
pub fn opens(packet: &Packet) -> bool {
    packet.is_tcp() && packet.tcp_flags & TcpFlags::SYN_ACK == TcpFlags::SYN
}

/// The phase after a packet, and the bits of its direction. `is_fresh` says that it begins a connection.
#[inline(always)]
pub fn advance(packet: &Packet, state: &State, is_fresh: bool, has_reverse: bool) -> (u8, u8) {
    if packet.is_icmp() {
        let asks = Message::of(packet.key.family, packet.selector) as u32 == Message::Request as u32;
        let asked = if asks { FlowValue::REQUESTED } else { 0 };
        return (Phase::Other as u8, state.bits & FlowValue::REQUESTED | asked);
    }
    let decided = FlowValue::UNTRACKED_OWN | FlowValue::UNTRACKED_TARGET | FlowValue::ROUTED;
    let mut bits = if is_fresh { 0 } else { state.bits & !decided };
    let is_answer = bits & FlowValue::ANSWER != 0;
    let phase = state.phase;
    let next = if packet.is_tcp() {
        if packet.tcp_flags & TcpFlags::RST != 0 {
            bits |= FlowValue::RESET;
            Phase::Closing as u8
        } else if packet.tcp_flags & TcpFlags::FIN != 0 {
            bits |= FlowValue::FINISHED;
            if state.reverse_bits & FlowValue::FINISHED != 0 && !is_fresh {
                Phase::Closing as u8
            } else if is_fresh {
                Phase::Opening as u8
            } else {
                phase
            }
        } else if is_fresh {
            Phase::Opening as u8
        } else if phase == Phase::Opening as u8 && has_reverse && packet.tcp_flags & TcpFlags::SYN == 0 {
            Phase::Established as u8
        } else {
            phase
        }
    } else if packet.is_udp() {
        if is_fresh {
            Phase::Udp as u8
        } else if is_answer && phase == Phase::Udp as u8 {
            Phase::UdpAnswered as u8
        } else if !is_answer && phase == Phase::UdpAnswered as u8 {
            Phase::UdpAskedAgain as u8
        } else if is_answer && phase == Phase::UdpAskedAgain as u8 {
            Phase::UdpStream as u8
        } else {
            phase
        }
    } else {
        Phase::Other as u8
    };
    (next, bits)
}

/// Whether the next packet of a direction may change the phase again, so that it has to be looked at.
#[inline(always)]
pub fn is_unsettled(packet: &Packet, phase: u8, bits: u8) -> bool {
    let is_answer = bits & FlowValue::ANSWER != 0;
    phase == Phase::Opening as u8
        || phase == Phase::UdpAnswered as u8 && !is_answer
        || phase == Phase::UdpAskedAgain as u8 && is_answer
        || packet.is_icmp()
}
