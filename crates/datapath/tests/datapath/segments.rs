//! Segmented buffers count as the packets that they become.

use enid_datapath::{Bucket, Direction};

use crate::case::{Case, Fixture};
use crate::frame::{ACK, Ipv4, Ipv6, ethernet, options, tcp, udp};
use crate::host::in_host;
use crate::records::{BOTH, Place, Tuple};
use crate::run::Gso;

fn gso(size: u32, segments: u32) -> Gso {
    Gso { size, segments }
}

fn flow4(direction: Direction, ip: &Ipv4, ports: (u16, u16)) -> Place {
    let tuple = Tuple {
        direction,
        source: ip.source.into(),
        destination: ip.destination.into(),
        protocol: ip.protocol,
        ports,
    };
    Place::Flow(tuple, 0)
}

fn flow6(direction: Direction, ip: &Ipv6, ports: (u16, u16)) -> Place {
    let tuple = Tuple {
        direction,
        source: ip.source.into(),
        destination: ip.destination.into(),
        protocol: ip.protocol,
        ports,
    };
    Place::Flow(tuple, 0)
}

#[test]
fn each_segment_has_headers_of_its_own() {
    in_host(|| {
        let fixture = Fixture::new();
        for direction in BOTH {
            // 2,500 bytes in pieces of 1,000: 3 packets. The segments are given, or to be worked out.
            for segments in [3, 0] {
                let ip = Ipv4::default();
                let frame = ip.frame(&tcp(1, 2, ACK, 2500));
                let case = Case::new(direction, frame, flow4(direction, &ip, (1, 2)), 0);
                fixture.check(&case.segmented(gso(1000, segments), 3, 2500 + 3 * 40));

                let ip = Ipv4 { options: vec![1; 8], protocol: 17, ..Ipv4::default() };
                let frame = ip.frame(&udp(1, 2, 2500));
                let case = Case::new(direction, frame, flow4(direction, &ip, (1, 2)), 0);
                fixture.check(&case.segmented(gso(1000, segments), 3, 2500 + 3 * (28 + 8)));

                let ip = Ipv6 { extensions: vec![(60, options(16))], ..Ipv6::default() };
                let mut segment = tcp(1, 2, ACK, 12 + 2500);
                segment[12] = 0x80; // 12 bytes of options
                let frame = ip.frame(&segment);
                let case = Case::new(direction, frame, flow6(direction, &ip, (1, 2)), 0);
                fixture.check(&case.segmented(gso(1000, segments), 3, 2500 + 3 * (40 + 16 + 32)));
            }
            // Exactly full, a byte more, and less than one.
            for (payload, packets) in [(2000, 2), (2001, 3), (1, 1), (0, 1)] {
                let ip = Ipv4::default();
                let frame = ip.frame(&tcp(1, 3, ACK, payload));
                let case = Case::new(direction, frame, flow4(direction, &ip, (1, 3)), 0);
                fixture.check(&case.segmented(gso(1000, 0), packets, payload as u64 + packets * 40));
            }
        }
    });
}

#[test]
fn a_buffer_too_big_to_state_its_length_is_measured() {
    in_host(|| {
        let fixture = Fixture::new();
        for direction in BOTH {
            let ip = Ipv4 { total_length: Some(0), ..Ipv4::default() };
            let frame = ip.frame(&tcp(1, 2, ACK, 3000));
            let case = Case::new(direction, frame, flow4(direction, &ip, (1, 2)), 0);
            fixture.check(&case.segmented(gso(1000, 3), 3, 3000 + 3 * 40));

            let bare = Ipv6 { payload_length: Some(0), ..Ipv6::default() };
            let frame = bare.frame(&tcp(1, 2, ACK, 3000));
            let case = Case::new(direction, frame, flow6(direction, &bare, (1, 2)), 0);
            fixture.check(&case.segmented(gso(1000, 3), 3, 3000 + 3 * 60));

            // With the jumbo option, whose header the kernel takes out before it sends.
            let jumbo = Ipv6 {
                payload_length: Some(0),
                extensions: vec![(0, vec![0, 0xc2, 4, 0, 0, 0x0b, 0xd4])],
                ..Ipv6::default()
            };
            let frame = jumbo.frame(&tcp(1, 2, ACK, 3000));
            let case = Case::new(direction, frame.clone(), flow6(direction, &jumbo, (1, 2)), 0);
            fixture.check(&case.clone().segmented(gso(1000, 3), 3, 3000 + 3 * 60));
            // In a single packet it stays.
            fixture.check(&Case::new(direction, frame, case.place, 40 + 8 + 20 + 3000));
        }
    });
}

#[test]
fn segments_count_in_buckets_too() {
    in_host(|| {
        let fixture = Fixture::new();
        let ip = Ipv4 { destination: [169, 254, 1, 1].into(), ..Ipv4::default() };
        let frame = ip.frame(&tcp(1, 2, ACK, 2000));
        let case = Case::new(Direction::Egress, frame, Place::Bucket(Bucket::LinkLocal), 0);
        fixture.check(&case.segmented(gso(1000, 0), 2, 2080));

        let tagged = ethernet(0x8100, &[0; 2000]);
        let case = Case::new(Direction::Egress, tagged, Place::Bucket(Bucket::NotIp), 0);
        fixture.check(&case.segmented(gso(1000, 2), 2, 2000));
    });
}
