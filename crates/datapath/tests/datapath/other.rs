//! What is not IP.

use enid_datapath::Bucket;

use crate::case::{Case, Fixture};
use crate::frame::{Ipv4, SYN, ethernet, tcp};
use crate::host::in_host;
use crate::records::{BOTH, Place};

#[test]
fn other_frames_and_tagged_ones_are_not_ip() {
    in_host(|| {
        let fixture = Fixture::new();
        let inner = &Ipv4::default().frame(&tcp(1, 2, SYN, 0))[12..];
        let tag = [&[0, 7], inner].concat();
        for direction in BOTH {
            for ether_type in [0x8100, 0x88a8, 0x88cc, 0x0027, 0x8847, 0x86de, 0x0801] {
                let frame = ethernet(ether_type, &tag);
                let place = Place::Bucket(Bucket::NotIp);
                fixture.check(&Case::new(direction, frame, place, tag.len()));
            }
        }
    });
}
