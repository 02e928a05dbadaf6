//! Which information elements an ENI's records have, and the templates that say so.

use std::net::IpAddr;

use enid_flowlog::{Direction, DropReason, FlowRecord, Loss, Traffic};
use enid_model::EniId;

/// The length in a template of what says its own length (RFC 7011, 7).
const VARIABLE: u16 = 65535;

/// An ENI's id in text: `eni-` and 17 hex digits.
const ENI_LENGTH: u16 = 21;

/// An information element of IANA's registry, and the octets that its value takes here.
type Element = (u16, u16);

const OBSERVATION_DOMAIN_ID: Element = (149, 4);
const FLOW_START_MILLISECONDS: Element = (152, 8);
const FLOW_END_MILLISECONDS: Element = (153, 8);

/// What a flow has beside its addresses, in the order of the octets that [`flow`] writes.
const FLOW: [Element; 12] = [
    (7, 2),  // sourceTransportPort
    (11, 2), // destinationTransportPort
    (4, 1),  // protocolIdentifier
    (61, 1), // flowDirection
    (6, 1),  // tcpControlBits, in the reduced size (RFC 7125, 3): the flags shown are in its low octet
    (89, 1), // forwardingStatus, in the reduced size (RFC 7270, 4.12)
    (2, 8),  // packetDeltaCount
    (1, 8),  // octetDeltaCount
    FLOW_START_MILLISECONDS,
    FLOW_END_MILLISECONDS,
    (82, ENI_LENGTH), // interfaceName
    (350, VARIABLE),  // virtualStationName
];

/// What kind of record a data set has: the template's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Template {
    /// A flow between IPv4 addresses.
    Ipv4 = 256,
    /// A flow between IPv6 addresses.
    Ipv6 = 257,
    /// What of the observation domain is in no flow record.
    Loss = 258,
}

impl Template {
    /// The set's id, which is the template's.
    pub(super) const fn id(self) -> u16 {
        self as u16
    }
}

/// The records of the template set (RFC 7011, 3.4.1).
pub(super) fn templates() -> Vec<u8> {
    let mut octets = Vec::new();
    let ipv4 = [(8, 4), (12, 4)]; // sourceIPv4Address, destinationIPv4Address
    let ipv6 = [(27, 16), (28, 16)]; // sourceIPv6Address, destinationIPv6Address
    for (template, addresses) in [(Template::Ipv4, ipv4), (Template::Ipv6, ipv6)] {
        let elements = [addresses.as_slice(), &FLOW].concat();
        put_template(&mut octets, template, None, &elements);
    }
    octets
}

/// The record of the options template set (RFC 7011, 3.4.2.2), whose scope is the observation domain.
pub(super) fn options_templates() -> Vec<u8> {
    let mut octets = Vec::new();
    let loss = [
        OBSERVATION_DOMAIN_ID,
        (164, 8), // ignoredPacketTotalCount
        (165, 8), // ignoredOctetTotalCount
        (166, 8), // notSentFlowTotalCount
        FLOW_START_MILLISECONDS,
        FLOW_END_MILLISECONDS,
    ];
    put_template(&mut octets, Template::Loss, Some(1), &loss);
    octets
}

fn put_template(octets: &mut Vec<u8>, template: Template, scopes: Option<u16>, elements: &[Element]) {
    let count = u16::try_from(elements.len()).unwrap_or(u16::MAX);
    octets.extend(template.id().to_be_bytes());
    octets.extend(count.to_be_bytes());
    octets.extend(scopes.into_iter().flat_map(u16::to_be_bytes));
    for (id, length) in elements {
        octets.extend(id.to_be_bytes());
        octets.extend(length.to_be_bytes());
    }
}

/// Unix seconds in milliseconds, which more collectors know than those in seconds.
const fn milliseconds(seconds: u64) -> [u8; 8] {
    seconds.saturating_mul(1000).to_be_bytes()
}

/// Writes the data record of a flow, and says which template it is of.
pub(super) fn flow(octets: &mut Vec<u8>, record: &FlowRecord, traffic: &Traffic) -> Template {
    let template = match (traffic.src, traffic.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            octets.extend(src.octets());
            octets.extend(dst.octets());
            Template::Ipv4
        }
        (src, dst) => {
            octets.extend(ipv6(src));
            octets.extend(ipv6(dst));
            Template::Ipv6
        }
    };
    octets.extend(traffic.src_port.to_be_bytes());
    octets.extend(traffic.dst_port.to_be_bytes());
    octets.push(traffic.protocol);
    octets.push(match traffic.direction {
        Direction::Ingress => 0,
        Direction::Egress => 1,
    });
    octets.push(traffic.tcp_flags);
    octets.push(forwarding_status(traffic.drop_reason));
    octets.extend(traffic.packets.to_be_bytes());
    octets.extend(traffic.bytes.to_be_bytes());
    octets.extend(milliseconds(record.start));
    octets.extend(milliseconds(record.end));
    put_eni(octets, record.interface.eni);
    put_text(octets, record.interface.task.as_ref().map_or("-", |task| task.as_str()));
    template
}

/// The id's text, digit by digit: the formatter would take as long as the rest of the record.
fn put_eni(octets: &mut Vec<u8>, eni: EniId) {
    octets.extend(b"eni-");
    octets.extend((0..17).rev().map(|digit| {
        let [octet, ..] = (eni.bits() >> (4 * digit)).to_le_bytes();
        let value = octet & 0xf;
        if value < 10 { b'0' + value } else { b'a' + value - 10 }
    }));
}

fn ipv6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
    }
}

/// IANA's forwardingStatus of what became of the packets: two bits of status, six of reason.
const fn forwarding_status(reason: Option<DropReason>) -> u8 {
    match reason {
        None => 64,                                                                             // forwarded
        Some(DropReason::NoRule | DropReason::ClosedConnection | DropReason::TableFull) => 129, // ACL deny
        Some(DropReason::Impersonation) => 130,                                                 // ACL drop
        Some(DropReason::NoRoute) => 131,                                                       // unroutable
        Some(DropReason::SpoofedSource) => 140, // reverse path forwarding
        Some(DropReason::Router) => 141,        // for us
    }
}

/// A text of variable length: names here are far shorter than the 254 octets that one octet can tell.
fn put_text(octets: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).unwrap_or(254).min(254);
    octets.push(length);
    octets.extend(text.as_bytes().iter().take(length.into()));
}

/// Writes the options data record of what the domain's flow records don't hold.
pub(super) fn loss(octets: &mut Vec<u8>, domain: u32, totals: &Loss, start: u64, end: u64) {
    octets.extend(domain.to_be_bytes());
    for count in [totals.packets, totals.bytes, totals.records] {
        octets.extend(count.to_be_bytes());
    }
    octets.extend(milliseconds(start));
    octets.extend(milliseconds(end));
}
