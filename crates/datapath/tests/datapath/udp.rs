//! UDP between two ENIs: how a flow becomes a stream, and for how long it may then be idle.

use std::net::IpAddr;
use std::time::Duration;

use enid_datapath::{EniSettings, Forwarding, Reason};
use enid_model::SecurityGroupId;

use crate::frame::{from_mac, packet, udp};
use crate::host::in_host;
use crate::policy;
use crate::vpc::{Nic, Seen, Vpc, both_ways};

/// A client that may ask and a server that may be asked; answers pass by the flow's state alone.
struct Exchange {
    vpc: Vpc,
    client: Nic,
    server: Nic,
    groups: [SecurityGroupId; 2],
    port: u16,
}

impl Exchange {
    fn new(forwarding: Forwarding) -> Self {
        let vpc = Vpc::new(forwarding);
        let dns = &["udp:53:10.0.0.0/16", "udp:53:fd00::/8"];
        let groups = [policy::group(&vpc.datapath, &[], dns), policy::group(&vpc.datapath, dns, &[])];
        let (client, server) = (vpc.add(1, &groups[..1]), vpc.add(2, &groups[1..]));
        Self { vpc, client, server, groups, port: 5000 }
    }

    /// Gives both ENIs other idle times, from the next decision on.
    fn set(&self, times: impl Fn(EniSettings) -> EniSettings) {
        for (nic, group) in [&self.client, &self.server].into_iter().zip(self.groups) {
            self.vpc.datapath.open_eni(&times(nic.settings(&[group]))).unwrap();
        }
        self.vpc.datapath.advance_epoch().unwrap();
    }

    fn ask(&self, server: IpAddr) -> Vec<Seen> {
        let datagram = udp(self.port, 53, 100);
        self.vpc.carry(&self.client, &self.server, &self.client.packet(server, 17, &datagram))
    }

    fn answer(&self, server: IpAddr) -> Vec<Seen> {
        let frame = packet(server, self.client.address_like(server), 17, &udp(53, self.port, 1000));
        self.vpc.carry(&self.server, &self.client, &from_mac(frame, self.server.mac))
    }

    fn asked(&self) -> Vec<Seen> {
        vec![self.client.sent(), self.server.got()]
    }

    fn answered(&self) -> Vec<Seen> {
        vec![self.server.sent(), self.client.got()]
    }

    /// So many packets, question and answer in turn.
    fn run(&self, server: IpAddr, packets: usize) {
        for n in 0..packets {
            if n % 2 == 0 {
                assert_eq!(self.ask(server), self.asked());
            } else {
                assert_eq!(self.answer(server), self.answered());
            }
        }
    }
}

#[test]
fn only_what_was_asked_is_answered() {
    both_ways(|way| {
        let mut exchange = Exchange::new(way);
        for server in exchange.server.addresses() {
            exchange.port += 1;
            let unasked = [exchange.server.kept_in(Reason::NoRule)];
            assert_eq!(exchange.answer(server), unasked);
            exchange.run(server, 9);
            assert_eq!(exchange.ask(server), exchange.asked());
            exchange.port += 1;
            assert_eq!(exchange.answer(server), unasked, "another port");
        }
    });
}

#[test]
fn a_flow_becomes_a_stream_by_its_second_answer() {
    both_ways(|way| {
        let short = Duration::from_millis(50);
        let mut exchange = Exchange::new(way);
        for server in exchange.server.addresses() {
            for packets in 1..=6 {
                for stream_is_short in [false, true] {
                    exchange.port += 1;
                    exchange.set(|settings| settings);
                    exchange.run(server, packets);
                    exchange.set(|settings| {
                        if stream_is_short {
                            EniSettings { udp_stream: short, ..settings }
                        } else {
                            EniSettings { udp: short, ..settings }
                        }
                    });
                    Vpc::idle(short);
                    let is_stream = packets >= 4;
                    let expected = if is_stream == stream_is_short {
                        vec![exchange.server.kept_in(Reason::ClosedConnection)]
                    } else {
                        exchange.answered()
                    };
                    assert_eq!(exchange.answer(server), expected, "{packets} packets");
                }
            }
        }
    });
}

/// Asked again after a pause, it is a new exchange: one answer does not make it the stream that it was.
#[test]
fn after_a_pause_an_exchange_begins_anew() {
    both_ways(|way| {
        let short = Duration::from_millis(50);
        let exchange = Exchange::new(way);
        let server = exchange.server.ipv4.into();
        exchange.run(server, 6);
        exchange.set(|settings| EniSettings { udp_stream: short, ..settings });
        Vpc::idle(short);
        exchange.run(server, 2);
        Vpc::idle(short);
        assert_eq!(exchange.answer(server), exchange.answered(), "no stream yet");
        assert_eq!(exchange.ask(server), exchange.asked());
        assert_eq!(exchange.answer(server), exchange.answered());
        Vpc::idle(short);
        assert_eq!(exchange.answer(server), [exchange.server.kept_in(Reason::ClosedConnection)]);
    });
}

/// Any other protocol is tracked by its addresses.
#[test]
fn other_protocols_have_a_time_of_their_own() {
    in_host(|| {
        let short = Duration::from_millis(50);
        let vpc = Vpc::new(Forwarding::Direct);
        let group = policy::group(&vpc.datapath, &[], &["47:192.0.2.0/24"]);
        let nic = Nic::nth(1);
        vpc.join(&nic, &nic.settings(&[group]));
        let remote: IpAddr = "192.0.2.7".parse().unwrap();
        let sends = || vpc.send(&nic, &nic.packet(remote, 47, &[0; 20])).seen;
        let comes = || vpc.arrive(&nic, &packet(remote, nic.ipv4.into(), 47, &[0; 20])).seen;
        assert_eq!(comes(), [nic.kept_out(Reason::NoRule)]);
        assert_eq!(sends(), [nic.sent()]);
        assert_eq!(comes(), [nic.got()]);
        for settings in [
            EniSettings { udp: short, udp_stream: short, ..nic.settings(&[group]) },
            EniSettings { other: short, ..nic.settings(&[group]) },
        ] {
            vpc.datapath.open_eni(&settings).unwrap();
            vpc.datapath.advance_epoch().unwrap();
            Vpc::idle(short);
            let expected =
                if settings.other == short { nic.kept_out(Reason::ClosedConnection) } else { nic.got() };
            assert_eq!(comes(), [expected]);
        }
    });
}
