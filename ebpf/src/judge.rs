//! How one ENI judges a packet: by what it knows of the connection, else by its rules.

use enid_abi::{EniSlot, Phase, Reason, is_over, slot_of};

use crate::case::case;
use crate::deliver::open_slot;
use crate::maps::{ENI_MASK, FLOW_COUNTS};
use crate::now::Moment;
use crate::policy::{Rules, evaluate};
use crate::track::{idle, opens};

/// How a packet stands to the connection that its addresses and ports name.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Standing {
    /// It begins one: only rules can let it through.
    Begins = 0,
    /// It continues it, if that is alive.
    Continues = 1,
    /// It is an ICMP error that belongs to another flow, which is alive.
    Related = 2,
}

/// An ENI's part in a packet.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Part {
    /// The ENI.
    pub number: u32,
    /// The ENI of this host at the packet's other end, else 0.
    pub other: u32,
    /// The packet's direction, as the ENI sees it.
    pub direction: u8,
    /// Where the state has whether the ENI does not track the connection.
    pub untracked: u8,
    /// A [`Standing`].
    pub standing: u8,
    /// 1 if the state that is known is the ENI's: an address may have been another's before.
    pub has_state: u8,
}

/// How an ENI judges a packet.
#[derive(Clone, Copy)]
pub struct Judgement {
    /// A [`Rules`].
    allowance: u32,
    /// The number of the [`Reason`], if it is refused.
    pub reason: u32,
    /// Whether it continues a connection that is alive for the ENI.
    pub continues: bool,
}

impl Judgement {
    /// Whether it is refused.
    #[inline(always)]
    pub fn is_refused(&self) -> bool {
        self.allowance == Rules::Refused as u32
    }

    /// This bit, if the connection is not tracked.
    #[inline(always)]
    pub fn untracked(&self, bit: u8) -> u8 {
        if self.allowance == Rules::Untracked as u32 { bit } else { 0 }
    }

    #[inline(always)]
    fn allowed(allowance: Rules, continues: bool) -> Self {
        Self { allowance: allowance as u32, reason: 0, continues }
    }

    #[inline(always)]
    fn pack(self) -> u32 {
        self.allowance | self.reason << 8 | u32::from(self.continues) << 16
    }

    /// From one register.
    #[inline(always)]
    pub fn unpack(packed: u32) -> Self {
        Self { allowance: packed & 0xff, reason: packed >> 8 & 0xff, continues: packed >> 16 != 0 }
    }
}

/// Judges the case's packet for the ENI that has the case's part in it. Returns a packed [`Judgement`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge() -> u32 {
    let refused = |reason: Reason| {
        Judgement { allowance: Rules::Refused as u32, reason: reason as u32, continues: false }.pack()
    };
    let Some(case) = case() else {
        return refused(Reason::NoRule);
    };
    let part = case.part;
    let Some(slot) = open_slot(part.number) else {
        return refused(Reason::NoRoute);
    };
    let (packet, state, moment) = (&case.packet, &case.state, &case.moment);
    if part.standing == Standing::Related as u8 {
        return Judgement::allowed(Rules::Tracked, false).pack();
    }
    let has_state = part.has_state != 0;
    let is_alive = has_state && state.is_alive(slot, moment);
    let continues = is_alive && part.standing == Standing::Continues as u8;
    let is_untracked = continues && state.bits & part.untracked != 0;
    if continues && !is_untracked {
        return Judgement::allowed(Rules::Tracked, continues).pack();
    }
    let rules = evaluate(slot, part.direction, packet, &mut case.question);
    if rules as u32 != Rules::Refused as u32 {
        let rules = if is_untracked { Rules::Untracked } else { rules };
        return Judgement::allowed(rules, continues).pack();
    }
    if opens(packet) || packet.is_icmp() || is_alive {
        refused(Reason::NoRule)
    } else if has_state && state.is_known {
        refused(Reason::ClosedConnection)
    } else if was_full(slot, part.number, moment) || part.other != 0 && was_full(slot, part.other, moment) {
        refused(Reason::TableFull)
    } else {
        refused(Reason::NoRule)
    }
}

/// Whether a flow of an ENI found no room a short time ago, so that one of this slot's could still be there.
#[inline(always)]
fn was_full(slot: &EniSlot, number: u32, moment: &Moment) -> bool {
    let Some(count) = FLOW_COUNTS.get(slot_of(number, ENI_MASK.load())) else {
        return false;
    };
    count.was_full != 0 && !is_over(moment.now, count.last_full, idle(slot, Phase::UdpStream as u8))
}
