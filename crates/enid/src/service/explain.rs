//! Explanations, at the door.

use std::net::IpAddr;

use enid_api::v1::{ExplainRequest, ExplainResponse, ExplainStep};
use enid_model::{ModelError, Protocol};

use crate::EnidError;
use crate::explain::{Explanation, OtherEnd, Packet, Step};

/// The packet that a request describes.
pub(super) fn packet(request: ExplainRequest) -> Result<Packet, EnidError> {
    let task = request.task.parse()?;
    let family = "IPv4 or IPv6";
    let address: IpAddr =
        request.address.parse().map_err(|_| EnidError::NotAnAddress { family, value: request.address })?;
    let other_end = match request.direction.as_str() {
        "to" => OtherEnd::To(address),
        "from" => OtherEnd::From(address),
        _ => return Err(EnidError::NotAPacket("a direction is `to` or `from`")),
    };
    let protocol: Protocol = request.protocol.parse()?;
    let Protocol::Number(number) = protocol else {
        return Err(EnidError::NotAPacket("a packet has one protocol, not `all`"));
    };
    let port = request.port.map(|port| within("port", port)).transpose()?;
    let source_port = request.source_port.map(|port| within("source port", port)).transpose()?;
    if !protocol.has_ports() && (port.is_some() || source_port.is_some()) {
        return Err(EnidError::NotAPacket("only tcp and udp have ports"));
    }
    let icmp_type: Option<u8> = request.icmp_type.map(|value| within("ICMP type", value)).transpose()?;
    let icmp_code: Option<u8> = request.icmp_code.map(|value| within("ICMP code", value)).transpose()?;
    if !protocol.is_icmp() && (icmp_type.is_some() || icmp_code.is_some()) {
        return Err(EnidError::NotAPacket("only icmp and icmpv6 have types and codes"));
    }
    let selector = match protocol {
        Protocol::TCP | Protocol::UDP => port.ok_or(EnidError::NotAPacket("tcp and udp need a port"))?,
        Protocol::ICMP if address.is_ipv6() => {
            return Err(EnidError::NotAPacket("icmp is of IPv4; the address is of IPv6, which has icmpv6"));
        }
        Protocol::ICMPV6 if address.is_ipv4() => {
            return Err(EnidError::NotAPacket("icmpv6 is of IPv6; the address is of IPv4, which has icmp"));
        }
        _ if protocol.is_icmp() => {
            let echo_request = if protocol == Protocol::ICMP { 8 } else { 128 };
            u16::from_be_bytes([icmp_type.unwrap_or(echo_request), icmp_code.unwrap_or(0)])
        }
        _ => 0,
    };
    Ok(Packet { task, other_end, protocol: number, selector, source_port })
}

fn within<T: TryFrom<u32> + Into<u64> + Bounded>(kind: &'static str, value: u32) -> Result<T, ModelError> {
    T::try_from(value).map_err(|_| ModelError::OutOfRange {
        kind,
        value: value.into(),
        min: 0,
        max: T::MOST.into(),
    })
}

/// A number that has a largest value.
trait Bounded: Sized {
    const MOST: Self;
}

impl Bounded for u8 {
    const MOST: Self = Self::MAX;
}

impl Bounded for u16 {
    const MOST: Self = Self::MAX;
}

/// The answer.
pub(super) fn message(explanation: Explanation) -> ExplainResponse {
    let verdict = if explanation.refusal.is_some() { "refused" } else { "allowed" };
    let reason = explanation.refusal.unwrap_or_else(|| why_allowed(&explanation.steps));
    ExplainResponse {
        verdict: verdict.to_owned(),
        reason,
        steps: explanation.steps.into_iter().map(step).collect(),
    }
}

/// The rules that let it through, in a sentence.
fn why_allowed(steps: &[Step]) -> String {
    let rule = |step: &Step| {
        let rule = step.rule.as_ref()?;
        Some(format!("rule {} of security group {}", rule.text, rule.group_name))
    };
    let rules: Vec<String> = steps.iter().filter_map(rule).collect();
    match rules.as_slice() {
        [] => "nothing stands in its way".to_owned(),
        [one] => format!("{one} allows it"),
        several => format!("{} allow it", several.join(" and ")),
    }
}

fn step(step: Step) -> ExplainStep {
    let (group, name, rule) = match step.rule {
        Some(rule) => (Some(rule.group.to_string()), Some(rule.group_name), Some(rule.text)),
        None => (None, None, None),
    };
    ExplainStep {
        step: step.what.to_owned(),
        outcome: step.outcome.to_owned(),
        eni_id: step.eni.map(|eni| eni.id.to_string()),
        task: step.task.map(|task| task.to_string()),
        security_group_id: group,
        security_group: name,
        rule,
        detail: step.detail,
    }
}
