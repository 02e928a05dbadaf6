//! Reading the tables of flows and of refusals.

use std::net::{IpAddr, Ipv6Addr};

use std::sync::atomic::Ordering;

use enid_abi::{
    Direction, Family, FlowKey, FlowValue, Interval, Reason, RefusalKey, RefusalValue, Tick, Window,
};
use enid_model::{EniNumber, TrafficClass};

use crate::Datapath;
use crate::clock::WallClock;
use crate::error::DatapathError;

/// An entry of the flow table or of the table of refusals, as it was when it was read.
///
/// An entry with a [`target`](Self::target) stands for two flows: the ENI's own, whose packets it let through, and, in the
/// other direction, that of the target, which got them or refused them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowReading {
    /// The flow's key. Two entries of a table may differ in `generation` alone: then they count for one flow.
    pub key: FlowKey,
    /// Why its packets were refused; none in the flow table.
    pub reason: Option<Reason>,
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
    /// The ENI of this host that its packets were delivered to, or that refused them; none if they took the kernel's way
    /// or the flow's own ENI refused them.
    pub target: Option<EniNumber>,
    /// The ENI of this host at the flow's other end, as it is known: always the target, if there is one.
    pub peer: Option<EniNumber>,
    /// On whose behalf the flow runs at the target. What a target refused answers nothing that is known there.
    pub target_class: TrafficClass,
    /// What was counted in every other interval, by [`Interval::window`].
    pub windows: [FlowWindow; 2],
    /// When the last packet came, Unix seconds.
    pub last_seen: u64,
    /// Whether no program will touch the entry any more, so that it may be deleted once both windows are exported. In the
    /// flow table: no packet came for the time that it is kept, as its protocol, its phase and its ENI's settings have
    /// it. In the table of refusals: none for a whole interval.
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

/// What of an entry is not in its key.
struct Value<'a> {
    reason: Option<Reason>,
    class: u8,
    target: u32,
    peer: u32,
    target_class: u8,
    windows: &'a [Window; 2],
    expired: bool,
}

impl FlowReading {
    /// The window of an interval, if the flow had a packet in it. Exact for an interval that
    /// [`Datapath::advance_interval`] has closed, until the next but one begins.
    pub fn window(&self, interval: Interval) -> Option<&FlowWindow> {
        self.windows.iter().find(|window| window.interval == interval)
    }

    /// What tells the entry from all others of both tables; the reason is 0 in the flow table. It is the key of an entry
    /// of the table of refusals.
    pub fn entry(&self) -> RefusalKey {
        let reason = self.reason.map_or(0, |reason| reason as u8);
        RefusalKey { flow: self.key, reason, ..RefusalKey::default() }
    }

    fn new(key: &FlowKey, value: &Value<'_>, clock: WallClock) -> Result<Self, DatapathError> {
        let number = |number: u32| {
            EniNumber::try_from(number)
                .map_err(|_| DatapathError::Corrupt { what: "the ENI number", value: number })
        };
        let class = |class: u8| {
            TrafficClass::from_number(class)
                .ok_or(DatapathError::Corrupt { what: "the traffic class", value: class.into() })
        };
        let windows = value.windows.each_ref().map(|window| FlowWindow {
            interval: window.mark().interval(),
            packets: window.packets,
            bytes: window.bytes,
            tcp_flags: window.mark().flags(),
            first: clock.unix_seconds(window.mark().first()),
            last: clock.unix_seconds(window.last),
        });
        let used = windows.iter().filter(|window| window.interval.number() != 0);
        Ok(Self {
            key: *key,
            reason: value.reason,
            eni: number(key.eni)?,
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
            class: class(value.class)?,
            target: if value.target == 0 { None } else { Some(number(value.target)?) },
            peer: if value.peer == 0 { None } else { Some(number(value.peer)?) },
            target_class: class(value.target_class)?,
            windows,
            last_seen: used.map(|window| window.last).max().unwrap_or(0),
            expired: value.expired,
        })
    }

    fn of_flow(
        key: &FlowKey,
        flow: &FlowValue,
        clock: WallClock,
        began: Tick,
    ) -> Result<Self, DatapathError> {
        let FlowValue { class, peer, target_class, ref windows, .. } = *flow;
        let target = flow.target();
        let expired = flow.is_expired(began);
        Self::new(key, &Value { reason: None, class, target, peer, target_class, windows, expired }, clock)
    }

    fn of_refusal(
        key: &RefusalKey,
        refusal: &RefusalValue,
        clock: WallClock,
        now: Interval,
    ) -> Result<Self, DatapathError> {
        let reason = Reason::from_number(key.reason)
            .ok_or(DatapathError::Corrupt { what: "the reason of refusal", value: key.reason.into() })?;
        let RefusalValue { class, target, ref windows, .. } = *refusal;
        let (target_class, expired) = (TrafficClass::Application.number(), refusal.is_expired(now));
        let value =
            Value { reason: Some(reason), class, target, peer: target, target_class, windows, expired };
        Self::new(&key.flow, &value, clock)
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
        self.flows.for_each(&mut |key, value| match FlowReading::of_flow(key, value, clock, began) {
            Ok(flow) => each(flow),
            Err(error) => outcome = Err(error),
        })?;
        outcome
    }

    /// Calls `each` with every entry of the table of refusals, as [`Datapath::read_flows`] does with flows.
    pub fn read_refusals(&self, each: &mut dyn FnMut(FlowReading)) -> Result<(), DatapathError> {
        let clock = self.ticks.wall_clock()?;
        let now = self.interval();
        let mut outcome = Ok(());
        self.refusals.for_each(&mut |key, value| match FlowReading::of_refusal(key, value, clock, now) {
            Ok(refusal) => each(refusal),
            Err(error) => outcome = Err(error),
        })?;
        outcome
    }

    /// Deletes entries of the table of refusals, on the same terms as [`Datapath::delete_flows`].
    pub fn delete_refusals(&self, keys: &[RefusalKey]) -> Result<(), DatapathError> {
        self.refusals.remove_all(keys, &mut |_| ())
    }
}

#[cfg(test)]
mod tests {
    use enid_abi::Mark;

    use super::*;

    fn key(number: u32) -> FlowKey {
        FlowKey {
            source: std::net::Ipv4Addr::new(10, 0, 0, 4).to_ipv6_mapped().octets(),
            eni: number,
            direction: Direction::Egress as u8,
            family: Family::Ipv4 as u8,
            ..FlowKey::default()
        }
    }

    fn windows() -> [Window; 2] {
        let window = |interval, packets, time| Window {
            packets,
            bytes: packets * 100,
            mark: Mark::new(Interval::new(interval), 2, time).bits(),
            last: time + 5,
            reserved: 0,
        };
        [window(6, 3, 1_000), window(5, 4, 900)]
    }

    #[test]
    fn a_flow_says_where_it_goes() {
        let clock = WallClock::of_seconds();
        let mut value =
            FlowValue { class: 1, target_class: 2, windows: windows(), keep: 60, ..FlowValue::default() };
        let flow = FlowReading::of_flow(&key(1_000_000), &value, clock, 1_065).unwrap();
        assert_eq!((flow.reason, flow.target), (None, None));
        assert_eq!(flow.source, IpAddr::from([10, 0, 0, 4]));
        assert_eq!((flow.last_seen, flow.expired), (1_005, false));
        assert_eq!(flow.window(Interval::new(5)).unwrap().packets, 4);
        assert_eq!(flow.entry(), RefusalKey { flow: flow.key, ..RefusalKey::default() });

        value.peer = 1_000_001;
        let flow = FlowReading::of_flow(&key(1_000_000), &value, clock, 1_066).unwrap();
        assert_eq!(flow.target.map(EniNumber::get), Some(1_000_001));
        assert_eq!([flow.class, flow.target_class].map(TrafficClass::number), [1, 2]);
        assert!(flow.expired);

        value.bits = FlowValue::ROUTED;
        let flow = FlowReading::of_flow(&key(1_000_000), &value, clock, 1_066).unwrap();
        assert_eq!((flow.target, flow.peer.map(EniNumber::get)), (None, Some(1_000_001)));

        value.peer = 7;
        let error = FlowReading::of_flow(&key(1_000_000), &value, clock, 0).unwrap_err();
        assert_eq!(error.to_string(), "a table of flows has an entry with the ENI number 7");
    }

    #[test]
    fn a_refusal_says_who_refused_and_why() {
        let clock = WallClock::of_seconds();
        let value =
            RefusalValue { target: 1_000_001, class: 1, windows: windows(), ..RefusalValue::default() };
        let entry =
            RefusalKey { flow: key(1_000_000), reason: Reason::NoRoute as u8, ..RefusalKey::default() };
        let refusal = FlowReading::of_refusal(&entry, &value, clock, Interval::new(7)).unwrap();
        assert_eq!((refusal.reason, refusal.entry()), (Some(Reason::NoRoute), entry));
        assert_eq!(refusal.target.map(EniNumber::get), Some(1_000_001));
        assert_eq!((refusal.class.number(), refusal.target_class), (1, TrafficClass::Application));
        assert!(!refusal.expired);
        assert!(FlowReading::of_refusal(&entry, &value, clock, Interval::new(8)).unwrap().expired);

        let nonsense = RefusalKey { reason: 0, ..entry };
        let error = FlowReading::of_refusal(&nonsense, &value, clock, Interval::new(7)).unwrap_err();
        assert_eq!(error.to_string(), "a table of flows has an entry with the reason of refusal 0");
    }
}
