//! Slots: whose packets are counted, passed on, dropped.

use enid_datapath::{Bucket, Count, DatapathError, Ledgers};

use crate::case::{Case, Fixture};
use crate::frame::{ACK, Ipv4, Ipv6, SYN, ethernet, icmp, tcp};
use crate::host::{device, eni, in_host};
use crate::policy;
use crate::records::{BOTH, Place, Snapshot};
use crate::run::{Arrival, Gso, Verdict, repeat};

#[test]
fn a_stranger_is_dropped_uncounted() {
    in_host(|| {
        let fixture = Fixture::new();
        let frame = Ipv4::default().frame(&tcp(1, 2, SYN, 0));
        // One in a slot of nobody's, one in the slot of the ENI that is open.
        for number in [eni(1_000_002), eni(1_000_017)] {
            device(number);
            for program in [fixture.datapath.from_eni(), fixture.datapath.to_eni()] {
                let gso = Gso::default();
                let arrival = Arrival { frame: &frame, gso, eni: number.get(), received_by: 0 };
                assert_eq!(repeat(program, arrival, 1), Verdict::Drop);
            }
            assert!(matches!(fixture.datapath.ledgers(number), Err(DatapathError::UnknownEni(_))));
        }
        assert_eq!(fixture.ledgers(), Ledgers::default());
        assert!(Snapshot::take(&fixture.datapath).records.is_empty());
    });
}

#[test]
fn a_closed_eni_counts_what_it_drops() {
    in_host(|| {
        let fixture = Fixture::new();
        let frame = Ipv4::default().frame(&tcp(1, 2, ACK, 60));
        assert_eq!(fixture.send(&frame), Verdict::Pass);
        fixture.datapath.close_eni(fixture.eni).unwrap();
        for direction in BOTH {
            let place = Place::Bucket(Bucket::Closed);
            fixture.check(&Case::new(direction, frame.clone(), place, 100));
            fixture.check(&Case::new(direction, ethernet(0x0806, &[0; 28]), place, 28));
            // Whatever it is, well-formed or not.
            let metadata = Ipv4 { destination: [169, 254, 169, 254].into(), ..Ipv4::default() };
            fixture.check(&Case::new(direction, metadata.frame(&[1; 9]), place, 29));
            let discovery = Ipv6 { protocol: 58, ..Ipv6::default() }.frame(&icmp(134, 8));
            fixture.check(&Case::new(direction, discovery, place, 56));
        }
        let group = policy::open(&fixture.datapath);
        fixture.datapath.open_eni(&crate::host::settings(fixture.eni, &[group])).unwrap();
        assert_eq!(fixture.send(&frame), Verdict::Pass);
        let egress = fixture.ledgers().egress;
        assert_eq!(egress.buffers, 6, "a reopened ENI keeps its ledgers");
        assert_eq!(egress.wire(), Count { packets: 6, bytes: 413 });
    });
}

#[test]
fn a_slot_is_one_enis_at_a_time() {
    in_host(|| {
        let fixture = Fixture::new();
        let datapath = &fixture.datapath;
        let (first, second) = (fixture.eni, eni(1_000_017));
        device(second);
        fixture.send(&Ipv4::default().frame(&tcp(1, 2, SYN, 0)));

        assert!(datapath.is_free(first).unwrap());
        assert!(!datapath.is_free(second).unwrap());
        let taken = datapath.open_eni(&crate::host::settings(second, &[])).unwrap_err();
        assert!(
            matches!(taken, DatapathError::SlotTaken { number, holder } if number == second && holder == first.get())
        );
        assert!(matches!(datapath.close_eni(second), Err(DatapathError::UnknownEni(_))));
        datapath.remove_eni(second).unwrap();
        assert_eq!(datapath.enis().unwrap(), [first]);

        datapath.close_eni(first).unwrap();
        assert_eq!(datapath.enis().unwrap(), [first]);
        datapath.remove_eni(first).unwrap();
        datapath.remove_eni(first).unwrap();
        assert_eq!(datapath.enis().unwrap(), []);
        assert!(datapath.is_free(second).unwrap());
        datapath.open_eni(&crate::host::settings(second, &[])).unwrap();
        assert_eq!(datapath.ledgers(second).unwrap(), Ledgers::default(), "a new ENI begins at zero");
        assert!(datapath.ledgers(first).is_err());
    });
}
