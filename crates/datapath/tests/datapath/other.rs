//! What is not IP.

use enid_datapath::{Bucket, Direction};

use crate::case::{Case, Fixture, Place};
use crate::frame::{Ipv4, SYN, ethernet, tcp};
use crate::host::in_host;

#[test]
fn arp_has_a_bucket() {
    in_host(|| {
        let fixture = Fixture::new();
        for direction in [Direction::Egress, Direction::Ingress] {
            for length in [28, 46, 1] {
                let frame = ethernet(0x0806, &vec![0; length]);
                fixture.check(&Case::new(direction, frame, Place::Bucket(Bucket::Arp), length));
            }
        }
    });
}

#[test]
fn other_frames_and_tagged_ones_are_not_ip() {
    in_host(|| {
        let fixture = Fixture::new();
        let inner = &Ipv4::default().frame(&tcp(1, 2, SYN, 0))[12..];
        let tag = [&[0, 7], inner].concat();
        for direction in [Direction::Egress, Direction::Ingress] {
            for ether_type in [0x8100, 0x88a8, 0x88cc, 0x0027, 0x8847, 0x86de, 0x0801] {
                let frame = ethernet(ether_type, &tag);
                let place = Place::Bucket(Bucket::NotIp);
                fixture.check(&Case::new(direction, frame, place, tag.len()));
            }
        }
    });
}
