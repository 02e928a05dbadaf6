//! Straight from ENI to ENI: receivers that go, addresses that pass to another, packets that are too large.

use std::net::IpAddr;

use enid_datapath::{Bucket, Direction, EniSettings, Forwarding, Reason};

use crate::frame::{ACK, SYN, tcp, udp};
use crate::host::{command, in_host};
use crate::policy;
use crate::run::{Gso, Verdict};
use crate::vpc::{Nic, Vpc, both_ways};

const ALL: &[&str] = &["all:10.0.0.0/16", "all:fd00::/8"];

/// A client that may ask, and a server that may be asked.
fn pair(way: Forwarding, server: impl Fn(EniSettings) -> EniSettings) -> (Vpc, Nic, Nic) {
    let vpc = Vpc::new(way);
    let (out, into) = (policy::group(&vpc.datapath, &[], ALL), policy::group(&vpc.datapath, ALL, &[]));
    let receiver = Nic::nth(2);
    let client = vpc.add(1, &[out]);
    vpc.join(&receiver, &server(receiver.settings(&[into])));
    (vpc, client, receiver)
}

#[test]
fn packets_go_straight_or_by_the_kernel() {
    both_ways(|way| {
        let (vpc, client, server) = pair(way, |settings| settings);
        for to in server.addresses() {
            for _ in 0..3 {
                let step = vpc.send(&client, &client.packet(to, 17, &udp(1, 53, 0)));
                match way {
                    Forwarding::Direct => {
                        assert_eq!(
                            (step.verdict, step.seen),
                            (Verdict::Deliver, vec![client.sent(), server.got()])
                        );
                    }
                    Forwarding::Kernel => {
                        assert_eq!((step.verdict, step.seen), (Verdict::Pass, vec![client.sent()]));
                    }
                }
            }
        }
    });
}

/// While flows lead to it: to a closed ENI nothing is delivered, by either way.
#[test]
fn a_closed_receiver_gets_nothing() {
    for is_removed in [false, true] {
        both_ways(move |way| {
            let (vpc, client, server) = pair(way, |settings| settings);
            let send = |to: IpAddr, port| vpc.send(&client, &client.packet(to, 17, &udp(port, 53, 0)));
            let to: IpAddr = server.ipv4.into();
            assert_ne!(send(to, 1).verdict, Verdict::Drop);
            vpc.datapath.close_eni(server.number).unwrap();
            let closed = server.bucket(Direction::Ingress, Bucket::Closed);
            assert_eq!(vpc.arrive(&server, &client.packet(to, 17, &udp(9, 53, 0))).seen, [closed]);
            if is_removed {
                vpc.datapath.remove_eni(server.number).unwrap();
            }
            // As long as the route is there.
            for port in [1, 2] {
                match way {
                    Forwarding::Direct => {
                        let step = send(to, port);
                        let expected = (Verdict::Drop, vec![client.kept_in(Reason::NoRoute)]);
                        assert_eq!((step.verdict, step.seen), expected);
                    }
                    Forwarding::Kernel if is_removed => {
                        assert_eq!(send(to, port).seen, [client.sent()]);
                        // It is nobody's any more, so that there is nobody to count it for.
                        let frame = client.packet(to, 17, &udp(port, 53, 0));
                        assert_eq!(vpc.run(&server, Direction::Ingress, &frame), Verdict::Drop);
                    }
                    Forwarding::Kernel => {
                        let frame = client.packet(to, 17, &udp(port, 53, 0));
                        assert_eq!(vpc.carry(&client, &server, &frame), [client.sent(), closed]);
                    }
                }
            }
            for address in server.addresses() {
                command(&format!("ip route replace unreachable {address}"));
                command(&format!("ip route flush {address} dev eni{}", server.number));
            }
            assert_eq!(send(to, 3).seen, [client.kept_in(Reason::NoRoute)]);
        });
    }
}

/// An address is another ENI's now: what flows to the former one were allowed, says nothing of it.
#[test]
fn who_takes_over_an_address_is_judged_by_its_own_rules() {
    both_ways(|way| {
        let (vpc, client, server) = pair(way, |settings| settings);
        let ask = |port, to: IpAddr| client.packet(to, 17, &udp(port, 53, 0));
        for to in server.addresses() {
            assert_eq!(vpc.carry(&client, &server, &ask(1, to)), [client.sent(), server.got()]);
        }
        vpc.datapath.close_eni(server.number).unwrap();
        command(&format!("ip link delete eni{}", server.number));
        // Nothing may come in to the next one, and nothing may leave it.
        let heir = Nic { ipv4: server.ipv4, ipv6: server.ipv6, ..Nic::nth(3) };
        vpc.join(&heir, &heir.settings(&[]));
        for to in heir.addresses() {
            let refused = [client.sent(), heir.kept_out(Reason::NoRule)];
            assert_eq!(vpc.carry(&client, &heir, &ask(1, to)), refused, "{way:?} {to}");
            let answer = heir.packet(client.address_like(to), 17, &udp(53, 1, 0));
            assert_eq!(vpc.carry(&heir, &client, &answer), [heir.kept_in(Reason::NoRule)], "{way:?} {to}");
        }
        // Once it lets them in, the flow goes there.
        let into = policy::group(&vpc.datapath, ALL, &[]);
        vpc.datapath.open_eni(&heir.settings(&[into])).unwrap();
        for to in heir.addresses() {
            for _ in 0..3 {
                assert_eq!(vpc.carry(&client, &heir, &ask(1, to)), [client.sent(), heir.got()]);
            }
            let answer = heir.packet(client.address_like(to), 17, &udp(53, 1, 0));
            assert_eq!(vpc.carry(&heir, &client, &answer), [heir.sent(), client.got()]);
        }
    });
}

/// Connections are of the ENI that had them, not of its address: the next one to have that begins anew.
#[test]
fn who_takes_over_an_address_inherits_no_connection() {
    both_ways(|way| {
        let vpc = Vpc::new(way);
        let (out, into) = (policy::group(&vpc.datapath, &[], ALL), policy::group(&vpc.datapath, ALL, &[]));
        let (client, server) = (vpc.add(1, &[out]), vpc.add(2, &[into]));
        let both = server.addresses();
        let ask = |nic: &Nic, to, port| vpc.carry(nic, &server, &nic.packet(to, 17, &udp(port, 53, 0)));
        let segment = |nic: &Nic, to, flags| nic.packet(to, 6, &tcp(1, 443, flags, 0));
        let answer = |nic: &Nic, to: IpAddr| {
            let frame = server.packet(nic.address_like(to), 17, &udp(53, 1, 0));
            vpc.carry(&server, nic, &frame)
        };
        let asked = |nic: &Nic| [nic.sent(), server.got()];
        for to in both {
            // One that is answered, and one that is not.
            assert_eq!(ask(&client, to, 1), asked(&client));
            assert_eq!(answer(&client, to), [server.sent(), client.got()]);
            assert_eq!(ask(&client, to, 1), asked(&client));
            assert_eq!(ask(&client, to, 2), asked(&client));
            assert_eq!(vpc.carry(&client, &server, &segment(&client, to, SYN)), asked(&client));
        }
        policy::change(&vpc.datapath, into, &[], &[]);
        for to in both {
            assert_eq!(ask(&client, to, 1), asked(&client), "its own go on");
        }

        vpc.datapath.close_eni(client.number).unwrap();
        command(&format!("ip link delete eni{}", client.number));
        let heir = Nic { ipv4: client.ipv4, ipv6: client.ipv6, ..Nic::nth(3) };
        vpc.join(&heir, &heir.settings(&[out]));
        for to in both {
            let refused = [heir.sent(), server.kept_out(Reason::NoRule)];
            for port in [1, 2, 3] {
                assert_eq!(ask(&heir, to, port), refused, "{port}");
            }
            for flags in [SYN, ACK] {
                assert_eq!(vpc.carry(&heir, &server, &segment(&heir, to, flags)), refused);
            }
            assert_eq!(answer(&heir, to), [server.kept_in(Reason::NoRule)]);
        }
        // What it is allowed to begin, it has answered.
        policy::change(&vpc.datapath, into, ALL, &[]);
        for to in both {
            for _ in 0..3 {
                assert_eq!(ask(&heir, to, 1), asked(&heir));
                assert_eq!(answer(&heir, to), [server.sent(), heir.got()]);
            }
        }
    });
}

/// Nor does an answer to the ENI that had the address before find its way to who asked that one.
#[test]
fn who_takes_over_an_address_answers_for_itself() {
    both_ways(|way| {
        let (vpc, client, server) = pair(way, |settings| settings);
        for to in server.addresses() {
            for port in [1, 2] {
                let frame = client.packet(to, 17, &udp(port, 53, 0));
                assert_eq!(vpc.carry(&client, &server, &frame), [client.sent(), server.got()]);
            }
        }
        vpc.datapath.close_eni(server.number).unwrap();
        command(&format!("ip link delete eni{}", server.number));
        let heir = Nic { ipv4: server.ipv4, ipv6: server.ipv6, ..Nic::nth(3) };
        let all = policy::group(&vpc.datapath, ALL, ALL);
        vpc.join(&heir, &heir.settings(&[all]));
        for to in heir.addresses() {
            let answer = heir.packet(client.address_like(to), 17, &udp(53, 1, 0));
            let refused = [heir.sent(), client.kept_out(Reason::NoRule)];
            assert_eq!(vpc.carry(&heir, &client, &answer), refused);
            // Asked, it may.
            let frame = client.packet(to, 17, &udp(2, 53, 0));
            assert_eq!(vpc.carry(&client, &heir, &frame), [client.sent(), heir.got()]);
            let answer = heir.packet(client.address_like(to), 17, &udp(53, 2, 0));
            assert_eq!(vpc.carry(&heir, &client, &answer), [heir.sent(), client.got()]);
        }
    });
}

/// What the receiver's link does not take goes to the kernel, which says so to the sender, or fragments it.
#[test]
fn packets_too_large_for_the_receiver_go_by_the_kernel() {
    in_host(|| {
        let small = |settings| EniSettings { mtu: 1500.try_into().unwrap(), ..settings };
        let (vpc, client, server) = pair(Forwarding::Direct, small);
        for (to, headers) in [(IpAddr::V4(server.ipv4), 28), (IpAddr::V6(server.ipv6), 48)] {
            let frame = |size: usize| client.packet(to, 17, &udp(1, 53, size - headers));
            for _ in 0..2 {
                for (size, expected) in
                    [(1500, Verdict::Deliver), (1501, Verdict::Pass), (100, Verdict::Deliver)]
                {
                    assert_eq!(vpc.send(&client, &frame(size)).verdict, expected, "{size}");
                }
                // The kernel may fragment, or send again what is smaller: the receiver takes it as the same flow.
                assert_eq!(vpc.carry(&client, &server, &frame(1501)), [client.sent(), server.got()]);
            }
        }
    });
}

/// A buffer is as large as its segments, which are what the link carries.
#[test]
fn buffers_are_as_large_as_their_segments() {
    in_host(|| {
        let small = |settings| EniSettings { mtu: 1500.try_into().unwrap(), ..settings };
        let (vpc, client, server) = pair(Forwarding::Direct, small);
        for (to, headers) in [(IpAddr::V4(server.ipv4), 40), (IpAddr::V6(server.ipv6), 60)] {
            let frame = client.packet(to, 6, &tcp(1, 443, ACK, 3000));
            for (segment, verdict) in
                [(1500 - headers, Verdict::Deliver), (1501 - headers, Verdict::Pass), (536, Verdict::Deliver)]
            {
                for segments in [3000_u32.div_ceil(segment), 0] {
                    let gso = Gso { size: segment, segments };
                    let step = vpc.step(&client, Direction::Egress, &frame, gso, 0);
                    assert_eq!(step.verdict, verdict, "{segment}");
                }
            }
        }
    });
}
