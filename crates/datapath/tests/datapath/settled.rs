//! What the entries of a connection's two directions are after each of its packets: one phase, with the times of both
//! ENIs, and whether the next packet is decided or only counted.

use std::time::Duration;

use aya::Pod;
use aya::maps::{HashMap, Map, MapData};
use enid_abi::{EniSlot, FlowKey, FlowValue, Phase, map_name, slot_of};
use enid_datapath::{EniSettings, Forwarding};

use crate::frame::{ACK, FIN, SYN, tcp, udp};
use crate::host::{BPF, in_host};
use crate::policy;
use crate::vpc::{Nic, Vpc};

/// A map's bytes as what they are.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Plain<T>(T);

// SAFETY: keys, values and slots are integers without padding.
unsafe impl<T: Copy + 'static> Pod for Plain<T> {}

/// A client and a server, of which the server forgets sooner, but for UDP.
struct Pair {
    vpc: Vpc,
    client: Nic,
    server: Nic,
}

/// Whether packets of a direction are decided, or only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Decided,
    Counted,
}

use Next::{Counted, Decided};

impl Pair {
    fn new() -> Self {
        let vpc = Vpc::new(Forwarding::Direct);
        let all = &["all:10.0.0.0/16"];
        let (out, into) = (policy::group(&vpc.datapath, &[], all), policy::group(&vpc.datapath, all, &[]));
        let (client, server) = (Nic::nth(1), Nic::nth(2));
        let soon = Duration::from_secs;
        let udp = soon(60);
        vpc.join(&client, &EniSettings { udp, ..client.settings(&[out]) });
        let settings = server.settings(&[into]);
        let (tcp_opening, tcp_established, tcp_closing) = (soon(50), soon(400), soon(5));
        vpc.join(&server, &EniSettings { tcp_opening, tcp_established, tcp_closing, ..settings });
        Self { vpc, client, server }
    }

    fn send(&self, from: &Nic, to: &Nic, protocol: u8, payload: &[u8]) {
        let frame = from.packet(to.ipv4.into(), protocol, payload);
        assert_eq!(self.vpc.carry(from, to, &frame), [from.sent(), to.got()]);
    }

    /// The entry of what an ENI sends, as it is in the map.
    fn entry(&self, from: &Nic) -> Option<FlowValue> {
        let data = MapData::from_pin(format!("{BPF}/enid/{}", map_name::FLOWS)).unwrap();
        let flows: HashMap<_, Plain<FlowKey>, Plain<FlowValue>> =
            HashMap::try_from(Map::HashMap(data)).unwrap();
        let mut found = flows.iter().map(Result::unwrap).filter(|(key, _)| key.0.eni == from.number.get());
        let value = found.next().map(|(_, value)| value.0);
        assert!(found.next().is_none(), "two entries");
        value
    }

    fn slot(&self, nic: &Nic) -> EniSlot {
        let data = MapData::from_pin(format!("{BPF}/enid/{}", map_name::ENIS)).unwrap();
        let enis: aya::maps::Array<_, Plain<EniSlot>> = Map::Array(data).try_into().unwrap();
        let slot = enis.get(&slot_of(nic.number.get(), 15), 0).unwrap().0;
        assert!(slot.is_open(nic.number.get()));
        slot
    }

    /// Asserts that all entries that there are have this phase and its times, and what becomes of the next packet from
    /// the client, and from the server.
    #[track_caller]
    fn assert(&self, phase: Phase, next: [Next; 2]) {
        let idle = [&self.client, &self.server].map(|nic| self.slot(nic).idle[phase as usize]);
        let (shorter, longer) = (idle[0].min(idle[1]), idle[0].max(idle[1]));
        for (nic, next) in [&self.client, &self.server].into_iter().zip(next) {
            let Some(entry) = self.entry(nic) else {
                assert_eq!((nic.number, next), (self.server.number, Decided), "it has not sent yet");
                continue;
            };
            let expected = (phase as u8, shorter, longer);
            assert_eq!((entry.phase, entry.idle, entry.keep), expected, "{phase:?} of {}", nic.number);
            let found = if entry.epoch == 0 { Decided } else { Counted };
            assert_eq!(found, next, "{phase:?} of {}", nic.number);
        }
    }
}

#[test]
fn both_entries_of_tcp_keep_step() {
    in_host(|| {
        let pair = Pair::new();
        let ask = |flags| pair.send(&pair.client, &pair.server, 6, &tcp(4000, 443, flags, 0));
        let answer = |flags| pair.send(&pair.server, &pair.client, 6, &tcp(443, 4000, flags, 0));
        ask(SYN);
        pair.assert(Phase::Opening, [Decided, Decided]);
        answer(SYN | ACK);
        pair.assert(Phase::Opening, [Decided, Decided]);
        ask(ACK);
        // The server's next packet could only go on, so it is not decided for that.
        pair.assert(Phase::Established, [Counted, Counted]);
        answer(ACK);
        ask(ACK);
        pair.assert(Phase::Established, [Counted, Counted]);
        ask(FIN | ACK);
        pair.assert(Phase::Established, [Counted, Counted]);
        answer(FIN | ACK);
        pair.assert(Phase::Closing, [Counted, Counted]);
        ask(ACK);
        pair.assert(Phase::Closing, [Counted, Counted]);
        // Another connection on the same ports begins again.
        ask(SYN);
        pair.assert(Phase::Opening, [Decided, Decided]);
    });
}

#[test]
fn both_entries_of_udp_keep_step() {
    in_host(|| {
        let pair = Pair::new();
        let ask = || pair.send(&pair.client, &pair.server, 17, &udp(4000, 53, 8));
        let answer = || pair.send(&pair.server, &pair.client, 17, &udp(53, 4000, 8));
        ask();
        pair.assert(Phase::Udp, [Counted, Decided]);
        answer();
        // The client's next makes it a second request, the server's nothing else.
        pair.assert(Phase::UdpAnswered, [Decided, Counted]);
        ask();
        pair.assert(Phase::UdpAskedAgain, [Counted, Decided]);
        answer();
        pair.assert(Phase::UdpStream, [Counted, Counted]);
        ask();
        answer();
        pair.assert(Phase::UdpStream, [Counted, Counted]);
    });
}
