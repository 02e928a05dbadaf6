//! A TCP connection's life, by the kernel's way and straight between two ENIs: only the client's egress and the server's
//! ingress are open, so that everything else passes by the connection's state alone, or not at all.

use std::net::IpAddr;
use std::time::Duration;

use enid_datapath::{EniSettings, Forwarding, Reason};
use enid_model::SecurityGroupId;

use crate::frame::{ACK, FIN, PSH, RST, SYN, from_mac, packet, tcp};
use crate::host::in_host;
use crate::policy;
use crate::vpc::{Nic, Seen, Vpc, both_ways};

const PORTS: (u16, u16) = (40_000, 443);

/// A client and a server on one host.
struct Connection {
    vpc: Vpc,
    client: Nic,
    server: Nic,
    /// The client's, and the server's.
    groups: [SecurityGroupId; 2],
    ports: (u16, u16),
}

impl Connection {
    fn new(forwarding: Forwarding, times: impl Fn(EniSettings) -> EniSettings) -> Self {
        let vpc = Vpc::new(forwarding);
        let datapath = &vpc.datapath;
        let https = &["tcp:443:10.0.0.0/16", "tcp:443:fd00::/8"];
        let groups = [policy::group(datapath, &[], https), policy::group(datapath, https, &[])];
        let [client, server] = [Nic::nth(1), Nic::nth(2)];
        vpc.join(&client, &times(client.settings(&groups[..1])));
        vpc.join(&server, &times(server.settings(&groups[1..])));
        Self { vpc, client, server, groups, ports: PORTS }
    }

    /// Gives the client and the server other idle times.
    fn set(&self, client: impl Fn(EniSettings) -> EniSettings, server: impl Fn(EniSettings) -> EniSettings) {
        let settings = [
            client(self.client.settings(&self.groups[..1])),
            server(self.server.settings(&self.groups[1..])),
        ];
        for settings in settings {
            self.vpc.datapath.open_eni(&settings).unwrap();
        }
        // Flows that there are have theirs from their next decision on.
        self.vpc.datapath.advance_epoch().unwrap();
    }

    /// The client sends.
    fn ask(&self, to: IpAddr, flags: u8, payload: usize) -> Vec<Seen> {
        let segment = tcp(self.ports.0, self.ports.1, flags, payload);
        self.vpc.carry(&self.client, &self.server, &self.client.packet(to, 6, &segment))
    }

    /// The server sends, from that address of its own.
    fn answer(&self, from: IpAddr, flags: u8, payload: usize) -> Vec<Seen> {
        let segment = tcp(self.ports.1, self.ports.0, flags, payload);
        let frame = packet(from, self.client.address_like(from), 6, &segment);
        self.vpc.carry(&self.server, &self.client, &from_mac(frame, self.server.mac))
    }

    fn asked(&self) -> Vec<Seen> {
        vec![self.client.sent(), self.server.got()]
    }

    fn answered(&self) -> Vec<Seen> {
        vec![self.server.sent(), self.client.got()]
    }

    fn open(&self, server: IpAddr) {
        assert_eq!(self.ask(server, SYN, 0), self.asked());
        assert_eq!(self.answer(server, SYN | ACK, 0), self.answered());
        assert_eq!(self.ask(server, ACK, 0), self.asked());
    }

    /// What the server is told when it sends and may not.
    fn no_answer(&self, reason: Reason) -> Vec<Seen> {
        vec![self.server.kept_in(reason)]
    }
}

#[test]
fn a_connection_opens_lives_and_closes() {
    both_ways(|way| {
        let connection = Connection::new(way, |settings| settings);
        for server in connection.server.addresses() {
            // Without a connection there is nothing to answer.
            assert_eq!(connection.answer(server, ACK, 0), connection.no_answer(Reason::NoRule));
            connection.open(server);
            assert_eq!(connection.ask(server, ACK | PSH, 1000), connection.asked());
            assert_eq!(connection.answer(server, ACK | PSH, 3000), connection.answered());
            // Half closed, the other half goes on.
            assert_eq!(connection.ask(server, FIN | ACK, 0), connection.asked());
            assert_eq!(connection.answer(server, ACK, 2000), connection.answered());
            assert_eq!(connection.ask(server, ACK, 0), connection.asked());
            assert_eq!(connection.answer(server, FIN | ACK, 0), connection.answered());
            // The last acknowledgement, and what was delayed on its way.
            assert_eq!(connection.ask(server, ACK, 0), connection.asked());
            assert_eq!(connection.answer(server, FIN | ACK, 0), connection.answered());
        }
    });
}

#[test]
fn a_closed_connection_is_forgotten_by_its_time() {
    both_ways(|way| {
        let closing = Duration::from_millis(50);
        let times = |settings| EniSettings { tcp_closing: closing, ..settings };
        let mut connection = Connection::new(way, times);
        for server in connection.server.addresses() {
            for reset in [false, true] {
                connection.ports.0 += 1;
                connection.open(server);
                if reset {
                    assert_eq!(connection.answer(server, RST, 0), connection.answered());
                } else {
                    assert_eq!(connection.answer(server, FIN | ACK, 0), connection.answered());
                    Vpc::idle(closing);
                    // One side alone does not close it.
                    assert_eq!(connection.answer(server, ACK, 10), connection.answered());
                    assert_eq!(connection.ask(server, FIN | ACK, 0), connection.asked());
                }
                Vpc::idle(closing);
                let late = connection.no_answer(Reason::ClosedConnection);
                for flags in [ACK, FIN | ACK, RST] {
                    assert_eq!(connection.answer(server, flags, 10), late);
                }
                // The client's rules still let it open another on the same ports.
                connection.open(server);
                assert_eq!(connection.answer(server, ACK, 10), connection.answered());
            }
        }
    });
}

/// Each phase has its own time, and only its own.
#[test]
fn idle_times_are_those_of_the_phase() {
    both_ways(|way| {
        let short = Duration::from_millis(50);
        let mut connection = Connection::new(way, |settings| settings);
        let opening = |settings| EniSettings { tcp_opening: short, ..settings };
        let established = |settings| EniSettings { tcp_established: short, ..settings };
        let closed = connection.no_answer(Reason::ClosedConnection);
        let server: IpAddr = connection.server.ipv4.into();
        // Opened, but not established: the server has not answered, or the client has not acknowledged.
        for answers in [false, true] {
            for (times, is_forgotten) in [(Times(&opening), true), (Times(&established), false)] {
                connection.ports.0 += 1;
                connection.set(|settings| settings, |settings| settings);
                assert_eq!(connection.ask(server, SYN, 0), connection.asked());
                if answers {
                    assert_eq!(connection.answer(server, SYN | ACK, 0), connection.answered());
                }
                connection.set(times.0, times.0);
                Vpc::idle(short);
                let expected = if is_forgotten { closed.clone() } else { connection.answered() };
                assert_eq!(connection.answer(server, ACK, 0), expected, "{answers}");
            }
        }
        for (times, is_forgotten) in [(Times(&opening), false), (Times(&established), true)] {
            connection.ports.0 += 1;
            connection.set(|settings| settings, |settings| settings);
            connection.open(server);
            connection.set(times.0, times.0);
            Vpc::idle(short);
            let expected = if is_forgotten { closed.clone() } else { connection.answered() };
            assert_eq!(connection.answer(server, ACK, 0), expected);
        }
    });
}

/// Settings with other idle times.
struct Times<'a>(&'a dyn Fn(EniSettings) -> EniSettings);

/// An ENI that allows less forgets a connection by its own time, whatever the other allows.
#[test]
fn each_eni_has_idle_times_of_its_own() {
    both_ways(|way| {
        let short = Duration::from_millis(50);
        let mut connection = Connection::new(way, |settings| settings);
        let server: IpAddr = connection.server.ipv4.into();
        let (client, other) = (connection.client, connection.server);
        let forgetful = |settings| EniSettings { tcp_established: short, ..settings };
        let mindful = |settings: EniSettings| settings;

        connection.set(forgetful, mindful);
        connection.open(server);
        Vpc::idle(short);
        let reason = Reason::ClosedConnection;
        assert_eq!(connection.answer(server, ACK, 10), [other.sent(), client.kept_out(reason)]);

        connection.set(mindful, forgetful);
        connection.ports.0 += 1;
        connection.open(server);
        Vpc::idle(short);
        assert_eq!(connection.answer(server, ACK, 10), [other.kept_in(reason)]);
    });
}

/// A SYN begins a connection, whoever else's ports it names: state does not let it through.
#[test]
fn a_syn_is_for_the_rules_to_judge() {
    both_ways(|way| {
        let connection = Connection::new(way, |settings| settings);
        for server in connection.server.addresses() {
            connection.open(server);
            assert_eq!(connection.answer(server, SYN, 0), connection.no_answer(Reason::NoRule));
            // The connection is none the worse for it.
            assert_eq!(connection.answer(server, ACK, 10), connection.answered());
            // Sent again by who opened it, it is only that.
            assert_eq!(connection.ask(server, SYN, 0), connection.asked());
            assert_eq!(connection.answer(server, ACK, 10), connection.answered());
        }
    });
}

#[test]
fn a_syn_on_a_closed_connection_is_judged_by_the_rules_of_now() {
    both_ways(|way| {
        let connection = Connection::new(way, |settings| settings);
        let (vpc, client) = (&connection.vpc, &connection.client);
        let server = connection.server.ipv4.into();
        connection.open(server);
        assert_eq!(connection.ask(server, RST, 0), connection.asked());
        policy::change(&vpc.datapath, connection.groups[0], &[], &[]);
        // What was on its way may still arrive, a connection on the same ports may not begin.
        assert_eq!(connection.answer(server, ACK, 0), connection.answered());
        assert_eq!(connection.ask(server, SYN, 0), [client.kept_in(Reason::NoRule)]);
        assert_eq!(connection.ask(server, ACK, 0), connection.asked());
    });
}

/// Established or half closed, a connection lends its ports to no other: that one needs a rule of its own.
#[test]
fn a_syn_on_an_established_connection_is_judged_by_the_rules_of_now() {
    both_ways(|way| {
        let connection = Connection::new(way, |settings| settings);
        let (vpc, client, server) = (&connection.vpc, &connection.client, &connection.server);
        let https = &["tcp:443:10.0.0.0/16", "tcp:443:fd00::/8"];
        for address in server.addresses() {
            connection.open(address);
            policy::change(&vpc.datapath, connection.groups[1], &[], &[]);
            let refused = [client.sent(), server.kept_out(Reason::NoRule)];
            assert_eq!(connection.ask(address, SYN, 0), refused);
            // The connection is none the worse for it.
            assert_eq!(connection.ask(address, ACK, 10), connection.asked());
            assert_eq!(connection.answer(address, ACK, 10), connection.answered());
            assert_eq!(connection.answer(address, FIN | ACK, 0), connection.answered());
            assert_eq!(connection.ask(address, SYN, 0), refused);
            assert_eq!(connection.ask(address, ACK, 10), connection.asked());
            policy::change(&vpc.datapath, connection.groups[0], &[], &[]);
            assert_eq!(connection.ask(address, SYN, 0), [client.kept_in(Reason::NoRule)]);
            assert_eq!(connection.ask(address, ACK, 10), connection.asked());
            policy::change(&vpc.datapath, connection.groups[0], &[], https);
            policy::change(&vpc.datapath, connection.groups[1], https, &[]);
        }
    });
}

/// What is sent again because it was not answered needs no rule that is gone since.
#[test]
fn a_repeated_syn_outlives_its_rule() {
    both_ways(|way| {
        let connection = Connection::new(way, |settings| settings);
        for address in connection.server.addresses() {
            assert_eq!(connection.ask(address, SYN, 0), connection.asked());
        }
        for group in connection.groups {
            policy::change(&connection.vpc.datapath, group, &[], &[]);
        }
        for address in connection.server.addresses() {
            assert_eq!(connection.ask(address, SYN, 0), connection.asked());
            assert_eq!(connection.answer(address, SYN | ACK, 0), connection.answered());
            assert_eq!(connection.ask(address, SYN, 0), connection.asked());
            assert_eq!(connection.ask(address, ACK, 0), connection.asked());
        }
    });
}

/// With a peer beyond the uplink there is the kernel's way only.
#[test]
fn a_connection_with_the_outside() {
    in_host(|| {
        let vpc = Vpc::new(Forwarding::Direct);
        let out = policy::group(&vpc.datapath, &[], &["tcp:443:192.0.2.0/24", "tcp:443:2001:db8::/32"]);
        let into = policy::group(&vpc.datapath, &["tcp:22:192.0.2.0/24", "tcp:22:2001:db8::/32"], &[]);
        let nic = vpc.add(1, &[out, into]);
        for remote in ["192.0.2.1", "2001:db8::1"].map(|address| address.parse::<IpAddr>().unwrap()) {
            let sends = |ports: (u16, u16), flags| {
                vpc.send(&nic, &nic.packet(remote, 6, &tcp(ports.0, ports.1, flags, 0))).seen
            };
            let comes = |ports: (u16, u16), flags| {
                let segment = tcp(ports.0, ports.1, flags, 0);
                vpc.arrive(&nic, &packet(remote, nic.address_like(remote), 6, &segment)).seen
            };
            assert_eq!(comes((443, 5000), SYN | ACK), [nic.kept_out(Reason::NoRule)]);
            assert_eq!(sends((5000, 443), SYN), [nic.sent()]);
            assert_eq!(comes((443, 5000), SYN | ACK), [nic.got()]);
            assert_eq!(sends((5000, 443), ACK), [nic.sent()]);
            assert_eq!(comes((443, 5000), SYN), [nic.kept_out(Reason::NoRule)]);

            assert_eq!(sends((22, 6000), SYN | ACK), [nic.kept_in(Reason::NoRule)]);
            assert_eq!(comes((6000, 22), SYN), [nic.got()]);
            assert_eq!(sends((22, 6000), SYN | ACK), [nic.sent()]);
            assert_eq!(comes((6000, 22), ACK), [nic.got()]);
            assert_eq!(sends((22, 6000), FIN | ACK), [nic.sent()]);
            assert_eq!(comes((6000, 22), FIN | ACK), [nic.got()]);
            assert_eq!(sends((22, 6000), SYN), [nic.kept_in(Reason::NoRule)]);
            assert_eq!(sends((22, 6001), ACK), [nic.kept_in(Reason::NoRule)], "another port");
        }
    });
}
