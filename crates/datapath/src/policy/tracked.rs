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
        let mut keys = vec![(key, FlowValue::UNTRACKED_OWN), (key.reverse(), FlowValue::UNTRACKED_OWN)];
        if let Some(peer) = peer {
            // What the other one sends straight to this one is in an entry of the other's.
            let sent = if direction == Direction::Egress { key.reverse() } else { key };
            let sent = FlowKey { eni: peer.get(), direction: Direction::Egress as u8, ..sent };
            keys.push((sent, FlowValue::UNTRACKED_TARGET));
        }
        for (key, untracked) in keys {
            if self.holds_tracked(key, untracked, &slot)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn holds_tracked(&self, key: FlowKey, untracked: u8, slot: &EniSlot) -> Result<bool, DatapathError> {
        let now = self.ticks.now()?;
        for generation in 0..2 {
            let Some(value) = self.flows.get(&FlowKey { generation, ..key })? else { continue };
            let idle = slot.idle.get(usize::from(value.phase)).copied().unwrap_or(0);
            if value.keep != 0 && value.bits & untracked == 0 && !is_over(now, value.last(), idle) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
