//! Changes of rules: new flows follow at once, tracked flows outlive their rule, untracked ones end with it.

use std::net::IpAddr;

use enid_datapath::{Forwarding, Reason};
use enid_model::SecurityGroupId;

use crate::frame::{ACK, SYN, from_mac, packet, tcp};
use crate::policy::{self, EVERYTHING};
use crate::vpc::{Nic, Seen, Vpc, both_ways};

const HTTPS: &[&str] = &["tcp:443:10.0.0.0/16", "tcp:443:fd00::/8"];
const NOTHING: &[&str] = &[];

/// A client and a server, with the rules of each: ingress, egress.
struct Talk {
    vpc: Vpc,
    client: Nic,
    server: Nic,
    groups: [SecurityGroupId; 2],
    port: u16,
}

type Rules<'a> = (&'a [&'a str], &'a [&'a str]);

impl Talk {
    fn new(forwarding: Forwarding, client: Rules<'_>, server: Rules<'_>) -> Self {
        let vpc = Vpc::new(forwarding);
        let group = |rules: Rules<'_>| policy::group(&vpc.datapath, rules.0, rules.1);
        let groups = [group(client), group(server)];
        let (client, server) = (vpc.add(1, &groups[..1]), vpc.add(2, &groups[1..]));
        Self { vpc, client, server, groups, port: 40_000 }
    }

    fn change(&self, who: usize, rules: Rules<'_>) {
        policy::change(&self.vpc.datapath, self.groups[who], rules.0, rules.1);
    }

    fn ask(&self, server: IpAddr, flags: u8) -> Vec<Seen> {
        let frame = self.client.packet(server, 6, &tcp(self.port, 443, flags, 0));
        self.vpc.carry(&self.client, &self.server, &frame)
    }

    fn answer(&self, server: IpAddr, flags: u8) -> Vec<Seen> {
        let frame = packet(server, self.client.address_like(server), 6, &tcp(443, self.port, flags, 0));
        self.vpc.carry(&self.server, &self.client, &from_mac(frame, self.server.mac))
    }

    fn asked(&self) -> Vec<Seen> {
        vec![self.client.sent(), self.server.got()]
    }

    fn answered(&self) -> Vec<Seen> {
        vec![self.server.sent(), self.client.got()]
    }

    /// Opens a connection on ports that were not used before.
    fn open(&mut self, server: IpAddr) {
        self.port += 1;
        assert_eq!(self.ask(server, SYN), self.asked());
        assert_eq!(self.answer(server, SYN | ACK), self.answered());
        self.goes_on(server);
    }

    fn goes_on(&self, server: IpAddr) {
        for _ in 0..2 {
            assert_eq!(self.ask(server, ACK), self.asked());
            assert_eq!(self.answer(server, ACK), self.answered());
        }
    }
}

#[test]
fn tracked_connections_outlive_their_rules() {
    both_ways(|way| {
        let mut talk = Talk::new(way, (NOTHING, HTTPS), (HTTPS, NOTHING));
        for server in talk.server.addresses() {
            talk.open(server);
            // An epoch in which nothing changed changes nothing.
            talk.change(0, (NOTHING, HTTPS));
            talk.goes_on(server);

            talk.change(1, (NOTHING, NOTHING));
            talk.goes_on(server);
            talk.port += 1;
            let refused = [talk.client.sent(), talk.server.kept_out(Reason::NoRule)];
            assert_eq!(talk.ask(server, SYN), refused);
            talk.port -= 1;

            talk.change(0, (NOTHING, NOTHING));
            talk.goes_on(server);
            talk.port += 2;
            assert_eq!(talk.ask(server, SYN), [talk.client.kept_in(Reason::NoRule)]);
            talk.port -= 2;
            talk.goes_on(server);

            talk.change(0, (NOTHING, HTTPS));
            talk.change(1, (HTTPS, NOTHING));
            talk.port += 2;
            talk.open(server);
        }
    });
}

/// Rules that let everything both ways and everywhere need no tracking: then nothing outlives them.
#[test]
fn untracked_connections_end_with_their_rules() {
    both_ways(|way| {
        let mut talk = Talk::new(way, (EVERYTHING, EVERYTHING), (EVERYTHING, EVERYTHING));
        for server in talk.server.addresses() {
            talk.open(server);
            let no_rule = Reason::NoRule;
            let (client, other) = (talk.client, talk.server);

            talk.change(0, (EVERYTHING, NOTHING));
            assert_eq!(talk.ask(server, ACK), [client.kept_in(no_rule)]);
            assert_eq!(talk.answer(server, ACK), talk.answered());
            talk.change(0, (NOTHING, EVERYTHING));
            assert_eq!(talk.ask(server, ACK), talk.asked());
            assert_eq!(talk.answer(server, ACK), [other.sent(), client.kept_out(no_rule)]);
            talk.change(1, (NOTHING, EVERYTHING));
            assert_eq!(talk.ask(server, ACK), [client.sent(), other.kept_out(no_rule)]);
            talk.change(1, (EVERYTHING, NOTHING));
            assert_eq!(talk.answer(server, ACK), [other.kept_in(no_rule)]);
            talk.change(0, (EVERYTHING, EVERYTHING));
            talk.change(1, (EVERYTHING, EVERYTHING));
            talk.goes_on(server);
        }
    });
}

/// One end of a connection may be tracked where the other is not.
#[test]
fn each_end_is_tracked_by_its_own_rules() {
    both_ways(|way| {
        let mut talk = Talk::new(way, (EVERYTHING, EVERYTHING), (HTTPS, NOTHING));
        for server in talk.server.addresses() {
            talk.open(server);
            // The server's end is tracked.
            talk.change(1, (NOTHING, NOTHING));
            talk.goes_on(server);
            // The client's is not.
            talk.change(0, (NOTHING, NOTHING));
            let (client, other) = (talk.client, talk.server);
            assert_eq!(talk.ask(server, ACK), [client.kept_in(Reason::NoRule)]);
            assert_eq!(talk.answer(server, ACK), [other.sent(), client.kept_out(Reason::NoRule)]);
            talk.change(0, (EVERYTHING, EVERYTHING));
            talk.goes_on(server);
            talk.change(1, (HTTPS, NOTHING));
        }
    });
}

#[test]
fn new_flows_follow_a_change_at_once() {
    both_ways(|way| {
        let mut talk = Talk::new(way, (NOTHING, NOTHING), (NOTHING, NOTHING));
        let server = talk.server.ipv4.into();
        let datapath = &talk.vpc.datapath;
        assert_eq!(talk.ask(server, SYN), [talk.client.kept_in(Reason::NoRule)]);
        // Not even a new epoch is needed.
        policy::set(datapath, talk.groups[0], NOTHING, HTTPS);
        let refused = [talk.client.sent(), talk.server.kept_out(Reason::NoRule)];
        assert_eq!(talk.ask(server, SYN), refused);
        assert_eq!(talk.ask(server, SYN), refused, "what its own ENI let through makes no connection");
        policy::set(datapath, talk.groups[1], HTTPS, NOTHING);
        assert_eq!(talk.ask(server, SYN), talk.asked());
        assert_eq!(talk.answer(server, SYN | ACK), talk.answered());
        talk.vpc.datapath.remove_group(talk.groups[0]).unwrap();
        talk.goes_on(server);
        talk.port += 1;
        assert_eq!(talk.ask(server, SYN), [talk.client.kept_in(Reason::NoRule)]);
    });
}

/// An ENI may change its groups; the data path is told by settings.
#[test]
fn groups_of_an_eni_are_merged_and_can_change() {
    both_ways(|way| {
        let mut talk = Talk::new(way, (NOTHING, NOTHING), (HTTPS, NOTHING));
        let server: IpAddr = talk.server.ipv4.into();
        let set = |talk: &Talk, groups: &[SecurityGroupId]| {
            talk.vpc.datapath.open_eni(&talk.client.settings(groups)).unwrap();
            talk.vpc.datapath.advance_epoch().unwrap();
        };
        let empty = talk.groups[0];
        let other = policy::group(&talk.vpc.datapath, NOTHING, HTTPS);
        assert_eq!(talk.ask(server, SYN), [talk.client.kept_in(Reason::NoRule)]);
        for groups in [&[empty, empty, empty, empty, other][..], &[other, empty], &[other]] {
            set(&talk, groups);
            talk.open(server);
        }
        set(&talk, &[]);
        talk.goes_on(server);
        talk.port += 1;
        assert_eq!(talk.ask(server, SYN), [talk.client.kept_in(Reason::NoRule)]);
    });
}
