//! Loading, pinning, taking over what is pinned.

use std::collections::HashMap;
use std::path::Path;

use enid_datapath::{Count, Datapath, DatapathConfig, DatapathError, FlowReading};

use crate::case::Fixture;
use crate::frame::{Ipv4, SYN, tcp};
use crate::host::{BPF, config, in_host, load};
use crate::records::{Tuple, count};

#[test]
fn a_later_daemon_takes_over_flows_and_ledgers() {
    in_host(|| {
        let first = Fixture::new();
        first.send(&Ipv4::default().frame(&tcp(1, 2, SYN, 0)));
        first.datapath.advance_interval().unwrap();
        let (ledgers, flows, interval) = (first.ledgers(), first.flows(), first.datapath.interval());
        let eni = first.eni;
        drop(first.datapath);

        let second = Fixture { datapath: load(1024), eni };
        assert_eq!(second.datapath.enis().unwrap(), [eni]);
        assert_eq!(second.datapath.interval(), interval);
        assert_eq!(second.ledgers(), ledgers);
        let counts = |flows: &HashMap<Tuple, FlowReading>| -> HashMap<Tuple, Count> {
            flows.iter().map(|(tuple, flow)| (*tuple, count(flow))).collect()
        };
        assert_eq!(counts(&second.flows()), counts(&flows));
        second.send(&Ipv4::default().frame(&tcp(1, 2, SYN, 0)));
        assert_eq!(second.flows().len(), 1);
        second.assert_closes();
    });
}

#[test]
fn pins_of_another_shape_are_refused() {
    in_host(|| {
        drop(load(1024));
        let error = Datapath::load(&config(2048)).unwrap_err();
        assert!(
            matches!(
                &error,
                DatapathError::Incompatible { what: "capacity", found: 1024, expected: 2048, .. }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("/sys/fs/bpf/enid/FLOWS"), "{error}");
        Datapath::unpin(Path::new(&format!("{BPF}/enid"))).unwrap();
        Datapath::unpin(Path::new(&format!("{BPF}/enid"))).unwrap();
        assert!(!Path::new(&format!("{BPF}/enid")).exists());
        drop(load(2048));
    });
}

/// As a daemon of another time may have left them: what is in them is nothing that this one could read.
#[test]
fn pins_with_values_of_another_size_are_refused() {
    for (name, found, expected) in [("FLOWS", 80_u32, 88), ("FLOW_COUNTS", 16, 24), ("FLOWS_DELETED", 8, 16)]
    {
        in_host(move || {
            let directory = format!("{BPF}/enid");
            std::fs::create_dir(&directory).unwrap();
            let shape = match name {
                "FLOWS" => "type hash key 44 entries 1024 flags 1",
                _ => "type array key 4 entries 16",
            };
            let pin = format!("{directory}/{name}");
            crate::host::command(&format!("bpftool map create {pin} {shape} value {found} name {name}"));
            let error = Datapath::load(&config(1024)).unwrap_err();
            let DatapathError::Incompatible { what, found: was, expected: wanted, path } = &error else {
                panic!("{error}");
            };
            assert_eq!((*what, *was, *wanted), ("value size", found, expected), "{error}");
            assert_eq!(path, Path::new(&pin));
            Datapath::unpin(Path::new(&directory)).unwrap();
            drop(load(1024));
        });
    }
}

#[test]
fn bad_configurations_are_refused() {
    in_host(|| {
        let mut wrong = config(1024);
        wrong.eni_capacity = 1000;
        assert!(matches!(Datapath::load(&wrong), Err(DatapathError::Capacity { value: 1000, .. })));
        let wrong = config(0);
        assert!(matches!(Datapath::load(&wrong), Err(DatapathError::Capacity { value: 0, .. })));
        let elsewhere = DatapathConfig::new(std::env::temp_dir());
        assert!(matches!(Datapath::load(&elsewhere), Err(DatapathError::NotBpfFileSystem { .. })));
    });
}

#[test]
fn maps_have_types_for_bpftool() {
    in_host(|| {
        let fixture = Fixture::new();
        fixture.send(&Ipv4::default().frame(&tcp(1, 2, SYN, 0)));
        let dump = crate::host::command(&format!("bpftool map dump pinned {BPF}/enid/FLOWS"));
        for word in ["\"source_port\"", "\"windows\"", "\"packets\""] {
            assert!(dump.contains(word), "{dump}");
        }
    });
}
