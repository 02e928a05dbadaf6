//! What an entry of the data path says of ENIs: of its own, and of the one that its packets were for.

use enid_datapath::{Direction, FlowReading, Reason};
use enid_model::{EniNumber, TrafficClass};

/// Packets of an entry as one ENI counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) eni: EniNumber,
    pub(super) direction: Direction,
    pub(super) class: TrafficClass,
    /// Why the ENI refused them; none if it let them through.
    pub(super) reason: Option<Reason>,
}

/// An entry's shares. Packets that were delivered straight into another ENI of this host, or refused there, are in one
/// entry and in two ledgers: what the other ENI refused, the entry's own has let through.
pub(super) fn shares(flow: &FlowReading) -> impl Iterator<Item = Share> {
    let own = Share {
        eni: flow.eni,
        direction: flow.direction,
        class: flow.class,
        reason: flow.reason.filter(|_| flow.target.is_none()),
    };
    let others = flow.target.map(|eni| Share {
        eni,
        direction: flow.direction.reverse(),
        class: flow.target_class,
        reason: flow.reason,
    });
    std::iter::once(own).chain(others)
}

/// Whether an entry ends with one of these ENIs: its own or its target, or the other end of what took the kernel's way,
/// which would say nothing of a later ENI with that address.
pub(super) fn ends_with(flow: &FlowReading, is_gone: impl Fn(EniNumber) -> bool) -> bool {
    shares(flow).map(|share| share.eni).chain(flow.peer).any(is_gone)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{entry, number};
    use super::*;

    #[test]
    fn an_entry_with_a_target_is_two_enis() {
        let share = |eni, direction, reason| Share {
            eni: number(eni),
            direction,
            class: if eni == 0 { TrafficClass::Logs } else { TrafficClass::Application },
            reason,
        };
        let (out, into) = (Direction::Egress, Direction::Ingress);
        let no_rule = Some(Reason::NoRule);
        for (target, reason, wanted) in [
            (None, None, vec![share(0, out, None)]),
            (Some(1), None, vec![share(0, out, None), share(1, into, None)]),
            (None, no_rule, vec![share(0, out, no_rule)]),
            (Some(1), no_rule, vec![share(0, out, None), share(1, into, no_rule)]),
        ] {
            let flow =
                FlowReading { reason, class: TrafficClass::Logs, target: target.map(number), ..entry(0, 80) };
            assert_eq!(shares(&flow).collect::<Vec<_>>(), wanted);
            for eni in 0..3 {
                let is_concerned = eni == 0 || target == Some(eni);
                assert_eq!(ends_with(&flow, |gone| gone == number(eni)), is_concerned);
            }
            let routed = FlowReading { peer: Some(number(2)), ..flow };
            assert!(ends_with(&routed, |gone| gone == number(2)));
        }
    }
}
