//! Whether a flow is tracked: what lets its packets pass when no rule does.

use std::net::IpAddr;

use enid_abi::{Direction, EniSlot, FlowKey, FlowValue, is_over};
use enid_model::EniNumber;

use super::compile::family_of;
use crate::Datapath;
use crate::error::DatapathError;

/// A flow's addresses and ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FiveTuple {
    /// The packets' source.
    pub source: IpAddr,
    /// The packets' destination.
    pub destination: IpAddr,
    /// 0 where the protocol has none.
    pub source_port: u16,
    /// 0 where the protocol has none.
    pub destination_port: u16,
    /// The protocol (IANA).
    pub protocol: u8,
}

impl FiveTuple {
    fn key(&self, eni: EniNumber, direction: Direction) -> FlowKey {
        let octets = |address| match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        FlowKey {
            source: octets(self.source),
            destination: octets(self.destination),
            eni: eni.get(),
            source_port: self.source_port,
            destination_port: self.destination_port,
            protocol: self.protocol,
            direction: direction as u8,
            family: family_of(self.source) as u8,
            generation: 0,
        }
    }
}

impl Datapath {
    /// Whether an ENI tracks a flow, so that packets that go on with it pass whatever the rules say. `peer` is the ENI on
    /// the flow's other side, if it is on this host.
    pub fn is_tracked(
        &self,
        eni: EniNumber,
        direction: Direction,
        flow: &FiveTuple,
        peer: Option<EniNumber>,
    ) -> Result<bool, DatapathError> {
        let slot = self.own_slot(eni)?;
        let key = flow.key(eni, direction);
        let other = peer.map_or(0, EniNumber::get);
        let is_own = |value: &FlowValue| value.peer == other && value.bits & FlowValue::UNTRACKED_OWN == 0;
        if self.holds_alive(key, &slot, is_own)? || self.holds_alive(key.reverse(), &slot, is_own)? {
            return Ok(true);
        }
        if peer.is_none() {
            return Ok(false);
        }
        // What the other one sends straight to this one is in an entry of the other's.
        let sent = if direction == Direction::Egress { key.reverse() } else { key };
        let sent = FlowKey { eni: other, direction: Direction::Egress as u8, ..sent };
        self.holds_alive(sent, &slot, |value| {
            value.target() == eni.get() && value.bits & FlowValue::UNTRACKED_TARGET == 0
        })
    }

    fn holds_alive(
        &self,
        key: FlowKey,
        slot: &EniSlot,
        is_meant: impl Fn(&FlowValue) -> bool,
    ) -> Result<bool, DatapathError> {
        let now = self.ticks.now()?;
        for generation in 0..2 {
            let Some(value) = self.flows.get(&FlowKey { generation, ..key })? else { continue };
            let idle = slot.idle.get(usize::from(value.phase)).copied().unwrap_or(0);
            if value.keep != 0 && is_meant(&value) && !is_over(now, value.last(), idle) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
