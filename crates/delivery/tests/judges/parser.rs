//! The crate netflow_parser, a reader of IPFIX.

use std::net::IpAddr;

use netflow_parser::variable_versions::ipfix::lookup::{IANAIPFixField, IPFixField};
use netflow_parser::variable_versions::ipfix::{FlowSetBody, IPFixFieldPair};
use netflow_parser::{FieldValue, NetflowPacket, NetflowParser};

use crate::records::Seen;

/// What messages say.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) flows: Vec<Seen>,
    /// Each record of losses: domain, packets, octets, flows.
    pub(crate) losses: Vec<[u64; 4]>,
    /// Domain, sequence number, data records and whether there are templates, message by message.
    pub(crate) messages: Vec<Message>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) domain: u32,
    pub(crate) sequence: u32,
    pub(crate) records: u32,
    pub(crate) has_templates: bool,
}

/// Reads messages as a collector would that has just started.
pub(crate) fn read(messages: &[Vec<u8>]) -> Read {
    let mut parser = NetflowParser::default();
    let mut read = Read::default();
    for message in messages {
        let result = parser.parse_bytes(message);
        assert!(result.error.is_none(), "{:?}", result.error);
        for packet in result.packets {
            let NetflowPacket::IPFix(packet) = packet else { panic!("is not IPFIX: {packet:?}") };
            assert_eq!(usize::from(packet.header.length), message.len());
            let mut summary = Message {
                domain: packet.header.observation_domain_id,
                sequence: packet.header.sequence_number,
                records: 0,
                has_templates: false,
            };
            for set in packet.flowsets {
                match set.body {
                    FlowSetBody::Data(data) => {
                        summary.records += data.fields.len() as u32;
                        read.flows.extend(data.fields.iter().map(|fields| flow(fields)));
                    }
                    FlowSetBody::OptionsData(data) => {
                        summary.records += data.fields.len() as u32;
                        read.losses.extend(data.fields.iter().map(|fields| loss(fields)));
                    }
                    FlowSetBody::Template(_)
                    | FlowSetBody::Templates(_)
                    | FlowSetBody::OptionsTemplate(_)
                    | FlowSetBody::OptionsTemplates(_) => summary.has_templates = true,
                    other => panic!("{other:?}"),
                }
            }
            read.messages.push(summary);
        }
    }
    read.flows.sort();
    read
}

impl Read {
    /// Whether each domain's sequence numbers count its data records, from 0.
    pub(crate) fn assert_in_sequence(&self) {
        let mut next = std::collections::HashMap::new();
        for message in &self.messages {
            let next = next.entry(message.domain).or_insert(0);
            assert_eq!(message.sequence, *next, "{message:?}");
            *next += message.records;
        }
    }
}

fn value(fields: &[IPFixFieldPair], wanted: IANAIPFixField) -> Option<&FieldValue> {
    fields.iter().find(|(field, _)| *field == IPFixField::IANA(wanted)).map(|(_, value)| value)
}

fn octets(fields: &[IPFixFieldPair], wanted: IANAIPFixField) -> Vec<u8> {
    let found = value(fields, wanted).unwrap_or_else(|| panic!("{wanted:?} in {fields:?}"));
    let mut octets = Vec::new();
    found.write_be_bytes(&mut octets).unwrap();
    octets
}

fn number(fields: &[IPFixFieldPair], wanted: IANAIPFixField) -> u64 {
    octets(fields, wanted).into_iter().fold(0, |number, octet| number << 8 | u64::from(octet))
}

fn text(fields: &[IPFixFieldPair], wanted: IANAIPFixField) -> String {
    match value(fields, wanted) {
        Some(FieldValue::String(text)) => text.value.clone(),
        other => panic!("{wanted:?}: {other:?}"),
    }
}

fn address(fields: &[IPFixFieldPair], ipv4: IANAIPFixField, ipv6: IANAIPFixField) -> IpAddr {
    match value(fields, ipv4).or_else(|| value(fields, ipv6)) {
        Some(FieldValue::Ip4Addr(address)) => (*address).into(),
        Some(FieldValue::Ip6Addr(address)) => (*address).into(),
        other => panic!("{other:?}"),
    }
}

fn flow(fields: &[IPFixFieldPair]) -> Seen {
    use IANAIPFixField as Element;
    Seen {
        start: number(fields, Element::FlowStartMilliseconds) / 1000,
        end: number(fields, Element::FlowEndMilliseconds) / 1000,
        src: address(fields, Element::SourceIpv4address, Element::SourceIpv6address),
        dst: address(fields, Element::DestinationIpv4address, Element::DestinationIpv6address),
        src_port: number(fields, Element::SourceTransportPort) as u16,
        dst_port: number(fields, Element::DestinationTransportPort) as u16,
        protocol: number(fields, Element::ProtocolIdentifier) as u8,
        packets: number(fields, Element::PacketDeltaCount),
        bytes: number(fields, Element::OctetDeltaCount),
        tcp_flags: number(fields, Element::TcpControlBits) as u16,
        forwarding_status: Some(number(fields, Element::ForwardingStatus) as u8),
        is_egress: number(fields, Element::FlowDirection) == 1,
        interface: Some(text(fields, Element::InterfaceName)),
        task: Some(text(fields, Element::VirtualStationName)),
    }
}

fn loss(fields: &[IPFixFieldPair]) -> [u64; 4] {
    use IANAIPFixField as Element;
    [
        Element::ObservationDomainId,
        Element::IgnoredPacketTotalCount,
        Element::IgnoredOctetTotalCount,
        Element::NotSentFlowTotalCount,
    ]
    .map(|element| number(fields, element))
}
