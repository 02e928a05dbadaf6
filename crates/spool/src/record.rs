//! A record's 88 bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enid_flowlog::{Direction, DropReason, FlowRecord, Loss, Observation, Traffic};
use enid_model::TrafficClass;

use crate::block::{Names, References};

/// The length of a record. All numbers are little-endian.
///
/// | offset | | |
/// |---|---|---|
/// | 0, 16 | source, destination | IPv4 in the first 4 bytes |
/// | 32, 40 | packets, bytes | of SKIPDATA those that are in no record |
/// | 48, 56 | start, end | Unix seconds |
/// | 64, 68 | interface, next hop | places in the block's list, from 1; 0 is none |
/// | 72, 74 | source service, destination service | places in the block's list, from 1; 0 is none |
/// | 76, 78 | source port, destination port | |
/// | 80 … 86 | protocol, kind, TCP flags, class, drop reason, direction, traffic path | a byte each |
///
/// Of SKIPDATA the records that were given up are in the first 8 bytes.
pub(crate) const RECORD_BYTES: usize = 88;

/// What a record is of, byte 81.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Kind {
    Ipv4 = 0,
    Ipv6 = 1,
    NoData = 2,
    SkipData = 3,
}

/// Writes a record.
pub(crate) fn encode(record: &FlowRecord, names: &mut Names, bytes: &mut Vec<u8>) {
    let mut image = [0_u8; RECORD_BYTES];
    let mut put = |at: usize, value: &[u8]| {
        if let Some(place) = image.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    };
    put(48, &record.start.to_le_bytes());
    put(56, &record.end.to_le_bytes());
    put(64, &names.interface(&record.interface).to_le_bytes());
    let kind = match &record.observation {
        Observation::Traffic(traffic) => {
            let next_hop = record.next_hop.as_ref().map_or(0, |next_hop| names.interface(next_hop));
            put(68, &next_hop.to_le_bytes());
            put(72, &record.src_service.as_ref().map_or(0, |name| names.service(name)).to_le_bytes());
            put(74, &record.dst_service.as_ref().map_or(0, |name| names.service(name)).to_le_bytes());
            put(32, &traffic.packets.to_le_bytes());
            put(40, &traffic.bytes.to_le_bytes());
            put(76, &traffic.src_port.to_le_bytes());
            put(78, &traffic.dst_port.to_le_bytes());
            put(80, &[traffic.protocol]);
            put(
                82,
                &[
                    traffic.tcp_flags,
                    traffic.class.number(),
                    traffic.drop_reason.map_or(0, |reason| reason as u8 + 1),
                    traffic.direction as u8,
                    traffic.traffic_path.unwrap_or(0),
                ],
            );
            match (traffic.src, traffic.dst) {
                (IpAddr::V4(src), IpAddr::V4(dst)) => {
                    put(0, &src.octets());
                    put(16, &dst.octets());
                    Kind::Ipv4
                }
                (src, dst) => {
                    put(0, &wide(src).octets());
                    put(16, &wide(dst).octets());
                    Kind::Ipv6
                }
            }
        }
        Observation::NoData => Kind::NoData,
        Observation::SkipData(loss) => {
            put(0, &loss.records.to_le_bytes());
            put(32, &loss.packets.to_le_bytes());
            put(40, &loss.bytes.to_le_bytes());
            Kind::SkipData
        }
    };
    put(81, &[kind as u8]);
    bytes.extend_from_slice(&image);
}

fn wide(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Reads a record; none where it refers to what is not there, or has a value that nothing has.
pub(crate) fn decode(image: &[u8; RECORD_BYTES], references: &References) -> Option<FlowRecord> {
    let number = |at: usize| field::<8>(image, at).map(u64::from_le_bytes);
    let place = |at: usize| field::<4>(image, at).map(u32::from_le_bytes);
    let short = |at: usize| field::<2>(image, at).map(u16::from_le_bytes);
    let [protocol, kind, tcp_flags, class, reason, direction, path] = field::<7>(image, 80)?;
    let observation = match kind {
        2 => Observation::NoData,
        3 => Observation::SkipData(Loss { records: number(0)?, packets: number(32)?, bytes: number(40)? }),
        0 | 1 => Observation::Traffic(Traffic {
            src: address(image, 0, kind)?,
            dst: address(image, 16, kind)?,
            src_port: short(76)?,
            dst_port: short(78)?,
            protocol,
            packets: number(32)?,
            bytes: number(40)?,
            drop_reason: match reason.checked_sub(1) {
                None => None,
                Some(place) => Some(*DropReason::ALL.get(usize::from(place))?),
            },
            tcp_flags,
            direction: *Direction::ALL.get(usize::from(direction))?,
            traffic_path: (path != 0).then_some(path),
            class: TrafficClass::from_number(class)?,
        }),
        _ => return None,
    };
    Some(FlowRecord {
        interface: references.interface(place(64)?)??,
        start: number(48)?,
        end: number(56)?,
        observation,
        next_hop: references.interface(place(68)?)?,
        src_service: references.service(short(72)?)?,
        dst_service: references.service(short(74)?)?,
    })
}

fn field<const N: usize>(image: &[u8; RECORD_BYTES], at: usize) -> Option<[u8; N]> {
    image.get(at..)?.first_chunk().copied()
}

fn address(image: &[u8; RECORD_BYTES], at: usize, kind: u8) -> Option<IpAddr> {
    if kind == Kind::Ipv4 as u8 {
        Some(IpAddr::V4(Ipv4Addr::from(field::<4>(image, at)?)))
    } else {
        Some(IpAddr::V6(Ipv6Addr::from(field::<16>(image, at)?)))
    }
}
