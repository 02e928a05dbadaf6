//! Reading the flow table.

use std::net::{IpAddr, Ipv6Addr};

use std::sync::atomic::Ordering;

use enid_abi::{Direction, Family, FlowKey, FlowValue, Interval, Tick, Window};
use enid_model::{EniNumber, TrafficClass};

use crate::Datapath;
use crate::clock::WallClock;
use crate::error::DatapathError;

/// One flow entry, as it was when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowReading {
    /// The entry's key, to remember it by and to delete it with. Two entries may differ in `generation` alone: then
    /// they count for one flow.
    pub key: FlowKey,
    /// The ENI.
    pub eni: EniNumber,
    /// As the ENI sees it.
    pub direction: Direction,
    /// The packets' source address.
    pub source: IpAddr,
    /// The packets' destination address.
    pub destination: IpAddr,
    /// 0 where the protocol has none.
    pub source_port: u16,
    /// 0 where the protocol has none.
    pub destination_port: u16,
    /// The protocol (IANA).
    pub protocol: u8,
    /// On whose behalf the flow runs.
    pub class: TrafficClass,
    /// What was counted in every other interval, by [`Interval::window`].
    pub windows: [FlowWindow; 2],
    /// When the last packet came, Unix seconds.
    pub last_seen: u64,
    /// Whether no program will touch the entry any more, so that it may be deleted once both windows are exported:
    /// no packet came for the time that it is kept, as its protocol, its phase and its ENI's settings have it.
    pub expired: bool,
}

/// What a flow's packets in every other interval add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowWindow {
    /// The interval that used it last; number 0 if none did. Flags and times are of this interval alone.
    pub interval: Interval,
    /// Packets on the wire since the entry was made; only grows.
    pub packets: u64,
    /// Layer-3 bytes since the entry was made; only grows.
    pub bytes: u64,
    /// TCP flags as flow logs have them, OR'ed.
    pub tcp_flags: u8,
    /// When its first packet came, Unix seconds.
    pub first: u64,
    /// When its last packet came, Unix seconds.
    pub last: u64,
}

impl FlowReading {
    /// The window of an interval, if the flow had a packet in it. Exact for an interval that
    /// [`Datapath::advance_interval`] has closed, until the next but one begins.
    pub fn window(&self, interval: Interval) -> Option<&FlowWindow> {
        self.windows.iter().find(|window| window.interval == interval)
    }

    fn new(key: &FlowKey, value: &FlowValue, clock: WallClock, began: Tick) -> Result<Self, DatapathError> {
        let corrupt = |what, value: u32| DatapathError::Corrupt { what, value };
        let window = |window: &Window| FlowWindow {
            interval: window.mark().interval(),
            packets: window.packets,
            bytes: window.bytes,
            tcp_flags: window.mark().flags(),
            first: clock.unix_seconds(window.mark().first()),
            last: clock.unix_seconds(window.last),
        };
        let windows = value.windows.each_ref().map(window);
        let used = windows.iter().filter(|window| window.interval.number() != 0);
        Ok(Self {
            key: *key,
            eni: EniNumber::try_from(key.eni).map_err(|_| corrupt("the ENI number", key.eni))?,
            direction: if key.direction == Direction::Egress as u8 {
                Direction::Egress
            } else {
                Direction::Ingress
            },
            source: address(key.source, key.family),
            destination: address(key.destination, key.family),
            source_port: key.source_port,
            destination_port: key.destination_port,
            protocol: key.protocol,
            class: TrafficClass::from_number(value.class)
                .ok_or_else(|| corrupt("the traffic class", value.class.into()))?,
            windows,
            last_seen: used.map(|window| window.last).max().unwrap_or(0),
            expired: value.is_expired(began),
        })
    }
}

fn address(octets: [u8; 16], family: u8) -> IpAddr {
    let address = Ipv6Addr::from(octets);
    match address.to_ipv4_mapped() {
        Some(mapped) if family == Family::Ipv4 as u8 => IpAddr::V4(mapped),
        _ => IpAddr::V6(address),
    }
}

impl Datapath {
    /// Calls `each` with every flow entry. One that is there throughout is given exactly once. An entry that makes no
    /// sense ends the call with an error, after all others were given.
    pub fn read_flows(&self, each: &mut dyn FnMut(FlowReading)) -> Result<(), DatapathError> {
        let clock = self.ticks.wall_clock()?;
        let began = self.began.load(Ordering::Acquire);
        let mut outcome = Ok(());
        self.flows.for_each(&mut |key, value| match FlowReading::new(key, value, clock, began) {
            Ok(flow) => each(flow),
            Err(error) => outcome = Err(error),
        })?;
        outcome
    }

    /// Deletes flow entries; those that are gone already are passed over.
    ///
    /// Nothing is lost if the entries are [expired](FlowReading::expired), or their ENI was closed or removed before
    /// the last [`Datapath::advance_interval`]: no program adds to them any more. Were another entry deleted, packets
    /// could be in no record, and the ledgers would not close.
    pub fn delete_flows(&self, keys: &[FlowKey]) -> Result<(), DatapathError> {
        self.flows.remove_all(keys)
    }
}
