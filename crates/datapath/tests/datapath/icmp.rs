//! ICMP: requests and their replies, and errors, which pass with the flow whose packet they carry.

use std::net::IpAddr;

use enid_datapath::{Forwarding, Reason};

use crate::frame::{ACK, Ipv4, Ipv6, error, fragment, from_mac, icmp, options, packet, tcp, udp};
use crate::host::in_host;
use crate::policy;
use crate::vpc::{Nic, Seen, Vpc, both_ways};

/// The protocol of ICMP for an address, echo request and reply, destination unreachable, packet too big with its code.
struct Icmp {
    protocol: u8,
    request: u8,
    reply: u8,
    unreachable: u8,
    too_big: (u8, u8),
}

fn of(address: IpAddr) -> Icmp {
    if address.is_ipv4() {
        Icmp { protocol: 1, request: 8, reply: 0, unreachable: 3, too_big: (3, 4) }
    } else {
        Icmp { protocol: 58, request: 128, reply: 129, unreachable: 1, too_big: (2, 0) }
    }
}

const PING: &[&str] = &["icmp:8/0:0.0.0.0/0", "icmpv6:128/0:::/0"];
const REMOTES: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

fn remotes() -> [IpAddr; 2] {
    REMOTES.map(|address| address.parse().unwrap())
}

/// What a router far away says to an ENI.
fn from_router(nic: &Nic, remote: IpAddr, message: &[u8]) -> Vec<u8> {
    let router = if remote.is_ipv4() { "198.51.100.1" } else { "2001:db8:ffff::1" };
    packet(router.parse().unwrap(), nic.address_like(remote), of(remote).protocol, message)
}

#[test]
fn replies_pass_to_who_has_asked() {
    both_ways(|way| {
        let vpc = Vpc::new(way);
        let (out, into) = (policy::group(&vpc.datapath, &[], PING), policy::group(&vpc.datapath, PING, &[]));
        let (client, server) = (vpc.add(1, &[out]), vpc.add(2, &[into]));
        for address in server.addresses() {
            let Icmp { protocol, request, reply, unreachable, .. } = of(address);
            let ask = |kind| vpc.carry(&client, &server, &client.packet(address, protocol, &icmp(kind, 56)));
            let answer = |kind| {
                let frame = packet(address, client.address_like(address), protocol, &icmp(kind, 56));
                vpc.carry(&server, &client, &from_mac(frame, server.mac))
            };
            let unasked = [server.kept_in(Reason::NoRule)];
            assert_eq!(answer(reply), unasked);
            for _ in 0..3 {
                assert_eq!(ask(request), [client.sent(), server.got()]);
                assert_eq!(answer(reply), [server.sent(), client.got()]);
            }
            // Having been asked lets nothing else out, and the client may not reply.
            assert_eq!(answer(request), unasked);
            assert_eq!(answer(unreachable), unasked, "it carries nothing");
            assert_eq!(ask(reply), [client.kept_in(Reason::NoRule)]);
            assert_eq!(answer(reply), [server.sent(), client.got()]);
        }
    });
}

/// Requests are for the rules of now, each of them.
#[test]
fn a_request_does_not_outlive_its_rule() {
    both_ways(|way| {
        let vpc = Vpc::new(way);
        let (out, into) = (policy::group(&vpc.datapath, &[], PING), policy::group(&vpc.datapath, PING, &[]));
        let (client, server) = (vpc.add(1, &[out]), vpc.add(2, &[into]));
        for address in server.addresses() {
            let Icmp { protocol, request, reply, .. } = of(address);
            let ask = || vpc.carry(&client, &server, &client.packet(address, protocol, &icmp(request, 8)));
            let answer = || {
                let frame = packet(address, client.address_like(address), protocol, &icmp(reply, 8));
                vpc.carry(&server, &client, &from_mac(frame, server.mac))
            };
            assert_eq!(ask(), [client.sent(), server.got()]);
            policy::change(&vpc.datapath, out, &[], &[]);
            assert_eq!(ask(), [client.kept_in(Reason::NoRule)]);
            assert_eq!(answer(), [server.sent(), client.got()], "of the first");
            policy::change(&vpc.datapath, out, &[], PING);
        }
    });
}

/// A client that may send to a port, and a server that may be sent to there: nothing else.
struct Udp {
    vpc: Vpc,
    client: Nic,
    server: Nic,
}

impl Udp {
    fn new(way: Forwarding) -> Self {
        let vpc = Vpc::new(way);
        let dns = &["udp:53:0.0.0.0/0", "udp:53:::/0"];
        let (out, into) = (policy::group(&vpc.datapath, &[], dns), policy::group(&vpc.datapath, dns, &[]));
        let (client, server) = (vpc.add(1, &[out]), vpc.add(2, &[into]));
        Self { vpc, client, server }
    }

    fn question(&self, to: IpAddr, port: u16) -> Vec<u8> {
        self.client.packet(to, 17, &udp(port, 53, 100))
    }

    /// The server complains about a packet.
    fn complain(&self, address: IpAddr, code: u8, about: &[u8]) -> Vec<Seen> {
        let Icmp { protocol, unreachable, .. } = of(address);
        let message = error(unreachable, code, about);
        let frame = packet(address, self.client.address_like(address), protocol, &message);
        self.vpc.carry(&self.server, &self.client, &from_mac(frame, self.server.mac))
    }
}

#[test]
fn errors_pass_with_the_flow_that_they_are_about() {
    both_ways(|way| {
        let talk = Udp::new(way);
        let Udp { vpc, client, server } = &talk;
        for address in server.addresses() {
            let question = talk.question(address, 4000);
            let unknown = [server.kept_in(Reason::NoRule)];
            assert_eq!(talk.complain(address, 1, &question), unknown, "nobody has asked");
            assert_eq!(vpc.carry(client, server, &question), [client.sent(), server.got()]);
            for _ in 0..2 {
                assert_eq!(talk.complain(address, 1, &question), [server.sent(), client.got()]);
            }
            assert_eq!(talk.complain(address, 1, &talk.question(address, 4001)), unknown, "another port");
            // The packet that it carries is the other way round.
            let answer = packet(address, client.address_like(address), 17, &udp(53, 4000, 0));
            assert_eq!(talk.complain(address, 1, &answer), unknown);
            // The flow is none the worse for it.
            assert_eq!(vpc.carry(client, server, &question), [client.sent(), server.got()]);
        }
    });
}

/// The client may complain of an answer as well: the flow that it is about is the answer's.
#[test]
fn errors_pass_in_both_directions() {
    both_ways(|way| {
        let Udp { vpc, client, server } = &Udp::new(way);
        for address in server.addresses() {
            let Icmp { protocol, unreachable, .. } = of(address);
            let question = client.packet(address, 17, &udp(4000, 53, 0));
            let answer = packet(address, client.address_like(address), 17, &udp(53, 4000, 0));
            let answer = from_mac(answer, server.mac);
            let complaint = client.packet(address, protocol, &error(unreachable, 3, &answer));
            let complain = || vpc.carry(client, server, &complaint);
            assert_eq!(vpc.carry(client, server, &question), [client.sent(), server.got()]);
            assert_eq!(complain(), [client.kept_in(Reason::NoRule)], "there was no answer yet");
            assert_eq!(vpc.carry(server, client, &answer), [server.sent(), client.got()]);
            assert_eq!(complain(), [client.sent(), server.got()]);
        }
    });
}

/// Nobody else of the VPC may use the flows of others to get past its own rules.
#[test]
fn a_third_enis_errors_are_judged_by_its_own_rules() {
    both_ways(|way| {
        let Udp { vpc, client, server } = &Udp::new(way);
        let third = vpc.add(3, &[]);
        for address in server.addresses() {
            let Icmp { protocol, unreachable, .. } = of(address);
            let question = client.packet(address, 17, &udp(4000, 53, 0));
            assert_eq!(vpc.carry(client, server, &question), [client.sent(), server.got()]);
            let to = client.address_like(address);
            let complaint = third.packet(to, protocol, &error(unreachable, 1, &question));
            assert_eq!(vpc.carry(&third, client, &complaint), [third.kept_in(Reason::NoRule)]);
            // Where it may send, the client knows that it is not on the way of that flow.
            let out = policy::group(&vpc.datapath, &[], &["icmp:all:0.0.0.0/0", "icmpv6:all:::/0"]);
            vpc.datapath.open_eni(&third.settings(&[out])).unwrap();
            let refused = [third.sent(), client.kept_out(Reason::NoRule)];
            assert_eq!(vpc.carry(&third, client, &complaint), refused);
            let strange = client.packet(address, 17, &udp(4001, 53, 0));
            let complaint = third.packet(to, protocol, &error(unreachable, 1, &strange));
            assert_eq!(vpc.carry(&third, client, &complaint), refused);
            vpc.datapath.open_eni(&third.settings(&[])).unwrap();
        }
    });
}

#[test]
fn errors_from_outside_pass_with_their_flow() {
    in_host(|| {
        let Udp { vpc, client, .. } = &Udp::new(Forwarding::Direct);
        for remote in remotes() {
            let Icmp { unreachable, .. } = of(remote);
            let question = client.packet(remote, 17, &udp(4000, 53, 0));
            let complaint = from_router(client, remote, &error(unreachable, 0, &question));
            assert_eq!(vpc.arrive(client, &complaint).seen, [client.kept_out(Reason::NoRule)]);
            assert_eq!(vpc.send(client, &question).seen, [client.sent()]);
            assert_eq!(vpc.arrive(client, &complaint).seen, [client.got()]);
            // Cut short before its ports, what it carries says nothing of the flow.
            let ports = if remote.is_ipv4() { 20 } else { 40 };
            for carried in [ports + 4, ports + 3, ports, ports - 1, 0] {
                let message = error(unreachable, 0, &question[..14 + carried]);
                let seen = vpc.arrive(client, &from_router(client, remote, &message)).seen;
                let is_enough = carried == ports + 4;
                let expected = if is_enough { client.got() } else { client.kept_out(Reason::NoRule) };
                assert_eq!(seen, [expected], "{carried}");
            }
        }
    });
}

/// Without them nothing that is too big for the way would ever arrive: no rule stops what comes from a router on it.
#[test]
fn packet_too_big_always_arrives_from_outside() {
    both_ways(|way| {
        let vpc = Vpc::new(way);
        let nic = vpc.add(1, &[]);
        for remote in remotes() {
            let Icmp { unreachable, too_big, .. } = of(remote);
            let own = nic.packet(remote, 6, &tcp(4000, 443, ACK, 1000));
            let others = packet(remote, nic.address_like(remote), 6, &tcp(443, 4000, ACK, 1000));
            let told = error(too_big.0, too_big.1, &own);
            let seen = |message: &[u8]| vpc.arrive(&nic, &from_router(&nic, remote, message)).seen;
            let refused = [nic.kept_out(Reason::NoRule)];
            // About a packet of which nothing is known here any more.
            assert_eq!(seen(&told), [nic.got()]);
            assert_eq!(vpc.tell(&nic, &from_router(&nic, remote, &told)).seen, [nic.got()]);
            assert_eq!(seen(&error(too_big.0, too_big.1, &others)), refused, "not its own packet");
            assert_eq!(seen(&error(unreachable, 1, &own)), refused, "another error");
        }
    });
}

/// A task that says so must have got the packet: else it would get anything to anybody, and cut anybody's path MTU.
#[test]
fn packet_too_big_from_a_task_is_as_any_error() {
    both_ways(|way| {
        let talk = Udp::new(way);
        let Udp { vpc, client, server } = &talk;
        let icmp = &["icmp:all:0.0.0.0/0", "icmpv6:all:::/0"];
        let liar = vpc.add(3, &[policy::group(&vpc.datapath, &[], icmp)]);
        for address in server.addresses() {
            let Icmp { protocol, too_big, .. } = of(address);
            let to = client.address_like(address);
            let question = talk.question(address, 4000);
            let from_liar = || {
                let about_liar = client.packet(liar.address_like(address), 17, &udp(4000, 53, 600));
                let about_outside = client.packet(of_family(remotes(), address), 17, &udp(4000, 53, 600));
                for about in [&question, &about_liar, &about_outside] {
                    let frame = liar.packet(to, protocol, &error(too_big.0, too_big.1, about));
                    let refused = [liar.sent(), client.kept_out(Reason::NoRule)];
                    assert_eq!(vpc.carry(&liar, client, &frame), refused);
                }
            };
            let from_server = || {
                let frame = server.packet(to, protocol, &error(too_big.0, too_big.1, &question));
                vpc.carry(server, client, &frame)
            };
            from_liar();
            assert_eq!(from_server(), [server.kept_in(Reason::NoRule)], "nobody has asked");
            assert_eq!(vpc.carry(client, server, &question), [client.sent(), server.got()]);
            from_liar();
            assert_eq!(from_server(), [server.sent(), client.got()]);
        }
    });
}

/// The address of the family of another.
fn of_family(addresses: [IpAddr; 2], other: IpAddr) -> IpAddr {
    addresses[usize::from(other.is_ipv6())]
}

/// What the VPC's router itself has to say, it says about a packet of the task's.
#[test]
fn errors_of_the_router_arrive() {
    in_host(|| {
        let vpc = Vpc::new(Forwarding::Direct);
        let nic = vpc.add(1, &[]);
        for remote in remotes() {
            let Icmp { unreachable, request, too_big, .. } = of(remote);
            let own = nic.packet(remote, 17, &udp(4000, 53, 0));
            for (kind, code) in [(unreachable, 0), (unreachable, 1), too_big, (11, 0)] {
                let kind = if kind == 11 && remote.is_ipv6() { 3 } else { kind };
                let message = from_router(&nic, remote, &error(kind, code, &own));
                assert_eq!(vpc.tell(&nic, &message).seen, [nic.got()]);
            }
            // It may not begin anything.
            let ping = from_router(&nic, remote, &icmp(request, 8));
            assert_eq!(vpc.tell(&nic, &ping).seen, [nic.kept_out(Reason::NoRule)]);
        }
    });
}

/// An error carries a fragment: a first one has ports, and of IPv6 a header before them.
#[test]
fn errors_about_fragments_find_their_flow() {
    in_host(|| {
        let Udp { vpc, client, .. } = &Udp::new(Forwarding::Direct);
        let [ipv4, ipv6] = remotes();
        let (IpAddr::V4(to4), IpAddr::V6(to6)) = (ipv4, ipv6) else { panic!("one of each") };
        let datagram = udp(4000, 53, 64);
        let first4 =
            Ipv4 { source: client.ipv4, destination: to4, protocol: 17, fragment: 0x2000, ..Ipv4::default() };
        let extensions = vec![(44, fragment(0, true))];
        let first6 =
            Ipv6 { source: client.ipv6, destination: to6, protocol: 17, extensions, ..Ipv6::default() };
        for (remote, first) in [(ipv4, first4.frame(&datagram)), (ipv6, first6.frame(&datagram))] {
            let first = from_mac(first, client.mac);
            let complaint = from_router(client, remote, &error(of(remote).unreachable, 0, &first));
            assert_eq!(vpc.arrive(client, &complaint).seen, [client.kept_out(Reason::NoRule)]);
            assert_eq!(vpc.send(client, &first).seen, [client.sent()]);
            assert_eq!(vpc.arrive(client, &complaint).seen, [client.got()]);
        }
    });
}

/// A buffer of more than 64 KiB states its length in a hop-by-hop header, which an error about it carries.
#[test]
fn errors_about_jumbograms_find_their_flow() {
    in_host(|| {
        let Udp { vpc, client, .. } = &Udp::new(Forwarding::Direct);
        let IpAddr::V6(to) = remotes()[1] else { panic!("an IPv6 address") };
        let datagram = udp(4000, 53, 64);
        let jumbogram =
            Ipv6 { source: client.ipv6, destination: to, protocol: 17, ..Ipv6::default() }.frame(&datagram);
        let extensions = vec![(0, options(8)), (44, fragment(0, true))];
        let both = Ipv6 { source: client.ipv6, destination: to, protocol: 17, extensions, ..Ipv6::default() };
        let extensions = vec![(0, options(8))];
        let buffer =
            Ipv6 { source: client.ipv6, destination: to, protocol: 17, extensions, ..Ipv6::default() };
        let unreachable = of(to.into()).unreachable;
        let complain = |about: &[u8]| {
            vpc.arrive(client, &from_router(client, to.into(), &error(unreachable, 0, about))).seen
        };
        for about in [buffer.frame(&datagram), both.frame(&datagram)] {
            assert_eq!(complain(&about), [client.kept_out(Reason::NoRule)]);
        }
        assert_eq!(vpc.send(client, &from_mac(jumbogram, client.mac)).seen, [client.sent()]);
        for about in [buffer.frame(&datagram), both.frame(&datagram)] {
            assert_eq!(complain(&about), [client.got()]);
            // Cut short within the header.
            assert_eq!(complain(&about[..14 + 40 + 7]), [client.kept_out(Reason::NoRule)]);
        }
    });
}
