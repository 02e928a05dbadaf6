//! What user space reads and deletes: refusals, and how many flow entries an ENI has.

use enid_datapath::{Bucket, Count, Datapath, FlowReading, Reason};

use crate::case::Fixture;
use crate::frame::{Ipv4, SYN, tcp};
use crate::host::{BPF, command, in_host, settings};
use crate::records::count;

fn send(fixture: &Fixture, ports: std::ops::Range<u16>) {
    for port in ports {
        fixture.send(&Ipv4::default().frame(&tcp(port, 80, SYN, 0)));
    }
}

fn readings(read: impl Fn(&mut dyn FnMut(FlowReading))) -> Vec<FlowReading> {
    let mut readings = Vec::new();
    read(&mut |reading| readings.push(reading));
    readings
}

fn flows(datapath: &Datapath) -> Vec<FlowReading> {
    readings(|each| datapath.read_flows(each).unwrap())
}

fn refusals(datapath: &Datapath) -> Vec<FlowReading> {
    readings(|each| datapath.read_refusals(each).unwrap())
}

#[test]
fn the_entries_of_an_eni_are_those_made_less_those_deleted() {
    in_host(|| {
        let fixture = Fixture::new();
        let entries = || fixture.datapath.flow_entries(fixture.eni).unwrap();
        assert_eq!(entries(), 0);
        send(&fixture, 0..100);
        send(&fixture, 0..100);
        assert_eq!(entries(), 100);
        let keys: Vec<_> = flows(&fixture.datapath).iter().map(|flow| flow.key).collect();
        for _ in 0..2 {
            // What is not there any more is not counted again.
            fixture.datapath.delete_flows(&keys[..30]).unwrap();
            assert_eq!(entries(), 70);
        }
        // Deleted and not counted, as by a daemon that is killed in between.
        for key in &keys[50..60] {
            let words = [
                key.eni.to_ne_bytes(),
                (u32::from(key.destination_port) << 16 | u32::from(key.source_port)).to_ne_bytes(),
            ];
            let last = [key.protocol, key.direction, key.family, key.generation];
            let bytes = [&key.source[..], &key.destination[..], words.as_flattened(), &last].concat();
            let bytes: Vec<String> = bytes.iter().map(u8::to_string).collect();
            command(&format!("bpftool map delete pinned {BPF}/enid/FLOWS key {}", bytes.join(" ")));
        }
        assert_eq!((entries(), flows(&fixture.datapath).len()), (70, 60));
        fixture.datapath.recount_flows().unwrap();
        assert_eq!(entries(), 60);
        send(&fixture, 200..205);
        assert_eq!(entries(), 65);
        // Another ENI in the same slot begins anew.
        fixture.datapath.remove_eni(fixture.eni).unwrap();
        assert_eq!(entries(), 0);
    });
}

#[test]
fn refusals_are_read_and_go_when_they_rest() {
    in_host(|| {
        let fixture = Fixture::new();
        // Without a group nothing may pass.
        fixture.datapath.open_eni(&settings(fixture.eni, &[])).unwrap();
        fixture.datapath.advance_epoch().unwrap();
        send(&fixture, 1..4);
        send(&fixture, 1..3);
        let read = refusals(&fixture.datapath);
        assert_eq!(read.len(), 3);
        assert_eq!(flows(&fixture.datapath), []);
        for refusal in &read {
            assert_eq!((refusal.reason, refusal.target), (Some(Reason::NoRule), None));
            let packets = if refusal.source_port < 3 { 2 } else { 1 };
            assert_eq!(count(refusal), Count { packets, bytes: packets * 40 });
            assert!(!refusal.expired);
        }
        let ledger = fixture.ledgers().egress;
        assert_eq!(ledger.refused(Reason::NoRule), Count { packets: 5, bytes: 200 });
        assert_eq!((ledger.wire().packets, ledger.bucket(Bucket::Unrecorded).packets), (5, 0));

        // One more in the next interval, so that it rests later.
        fixture.datapath.advance_interval().unwrap();
        send(&fixture, 1..2);
        fixture.datapath.advance_interval().unwrap();
        let expired: Vec<_> =
            refusals(&fixture.datapath).into_iter().filter(|refusal| refusal.expired).collect();
        assert_eq!(expired.len(), 2);
        let keys: Vec<_> = expired.iter().map(FlowReading::entry).collect();
        fixture.datapath.delete_refusals(&keys).unwrap();
        fixture.datapath.delete_refusals(&keys).unwrap();
        let left = refusals(&fixture.datapath);
        assert_eq!(left.iter().map(|refusal| refusal.source_port).collect::<Vec<_>>(), [1]);
    });
}
