//! tshark, which reads IPFIX out of a capture.

use std::process::Command;

use serde_json::Value;

use crate::process::output;
use crate::records::Seen;

/// What carries the messages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Carrier {
    Udp,
    Tcp,
}

/// What tshark shows.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) flows: Vec<Seen>,
    /// What it finds wrong: gaps in sequences, malformed sets.
    pub(crate) warnings: Vec<String>,
}

/// Shows messages, in a capture with the least around them.
pub(crate) fn read(carrier: Carrier, messages: &[Vec<u8>]) -> Shown {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), capture(carrier, messages)).unwrap();
    let decode = match carrier {
        Carrier::Udp => "udp.port==4739,cflow",
        Carrier::Tcp => "tcp.port==4739,cflow",
    };
    let text = output(
        Command::new("tshark").arg("-r").arg(file.path()).args(["-d", decode, "-T", "json"]).env("TZ", "UTC"),
    );
    let packets: Value = serde_json::from_str(&text).unwrap();
    let mut shown = Shown { flows: Vec::new(), warnings: Vec::new() };
    assert_eq!(packets.as_array().unwrap().len(), messages.len());
    shown.add(&packets);
    shown.flows.sort();
    shown
}

impl Shown {
    /// Adds what is in a part of the tree.
    fn add(&mut self, value: &Value) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.add(value)),
            Value::Object(values) => {
                if values.contains_key("cflow.packets") {
                    self.flows.push(flow(value));
                }
                if let Some(warning) = values.get("_ws.expert.message") {
                    self.warnings.push(warning.to_string());
                }
                values.values().for_each(|value| self.add(value));
            }
            _ => {}
        }
    }
}

fn flow(flow: &Value) -> Seen {
    let text = |key: &str| flow[key].as_str().unwrap_or_else(|| panic!("{key} in {flow}"));
    let times = &flow["cflow.timedelta_tree"];
    let address = |ipv4: &str, ipv6: &str| flow[ipv4].as_str().unwrap_or_else(|| text(ipv6)).parse().unwrap();
    Seen {
        start: seconds(times["cflow.abstimestart"].as_str().unwrap()),
        end: seconds(times["cflow.abstimeend"].as_str().unwrap()),
        src: address("cflow.srcaddr", "cflow.srcaddrv6"),
        dst: address("cflow.dstaddr", "cflow.dstaddrv6"),
        src_port: text("cflow.srcport").parse().unwrap(),
        dst_port: text("cflow.dstport").parse().unwrap(),
        protocol: text("cflow.protocol").parse().unwrap(),
        packets: text("cflow.packets").parse().unwrap(),
        bytes: text("cflow.octets").parse().unwrap(),
        tcp_flags: u16::from_str_radix(text("cflow.tcpflags").trim_start_matches("0x"), 16).unwrap(),
        forwarding_status: Some(forwarding_status(&flow["Forwarding Status"])),
        is_egress: text("cflow.direction") == "1",
        interface: Some(text("cflow.if_name").to_owned()),
        task: Some(text("cflow.virtual_station_name").to_owned()),
    }
}

/// Two bits of status, and six of the reason, whose name depends on the status.
fn forwarding_status(status: &Value) -> u8 {
    let number = |value: &Value| value.as_str().unwrap().parse::<u8>().unwrap();
    let code = status.as_object().unwrap().iter().find(|(key, _)| key.ends_with("_code")).unwrap().1;
    number(&status["cflow.forwarding_status"]) << 6 | number(code)
}

/// Unix seconds of `Dec 14, 2014 04:06:50.000000000 UTC`.
fn seconds(time: &str) -> u64 {
    let clock = time.strip_prefix("Dec 14, 2014 ").and_then(|clock| clock.strip_suffix(".000000000 UTC"));
    crate::nfdump::seconds_of_day(clock.unwrap_or_else(|| panic!("{time}")))
}

/// A capture file (pcap, link type RAW): an IPv4 packet a message, from one port to 4739.
fn capture(carrier: Carrier, messages: &[Vec<u8>]) -> Vec<u8> {
    const RAW: u32 = 101;
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, u32::from(u16::MAX), RAW] {
        // The version is two numbers of 16 bits.
        let word = if word == 0x0002_0004 { word.rotate_left(16) } else { word };
        file.extend(word.to_le_bytes());
    }
    let mut sequence = 1_u32;
    for message in messages {
        let ports = [4740_u16.to_be_bytes(), 4739_u16.to_be_bytes()].concat();
        let (protocol, header) = match carrier {
            Carrier::Udp => {
                let length = u16::try_from(8 + message.len()).unwrap();
                (17, [ports.as_slice(), &length.to_be_bytes(), &[0; 2]].concat())
            }
            Carrier::Tcp => {
                let (offset, push_ack) = (0x50, 0x18);
                let rest = [0, 0, 0, 0, offset, push_ack, 0xff, 0xff, 0, 0, 0, 0];
                let header = [ports.as_slice(), &sequence.to_be_bytes(), &rest].concat();
                sequence += u32::try_from(message.len()).unwrap();
                (6, header)
            }
        };
        let length = u16::try_from(20 + header.len() + message.len()).unwrap();
        for word in [0, 0, u32::from(length), u32::from(length)] {
            file.extend(word.to_le_bytes());
        }
        let [high, low] = length.to_be_bytes();
        file.extend([0x45, 0, high, low, 0, 0, 0, 0, 64, protocol, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        file.extend(header);
        file.extend_from_slice(message);
    }
    file
}
