//! ARP and neighbour discovery: a task speaks for its own address and MAC alone, and never for a router.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enid_datapath::{Bucket, Direction, EniSettings, Forwarding, Reason};

use crate::frame::{ethernet, from_mac, icmp, options, packet};
use crate::host::in_host;
use crate::policy;
use crate::run::Verdict;
use crate::vpc::{Nic, Step, Vpc};

/// A host with one ENI, whose groups let nothing pass: neighbour discovery does not need them.
fn host(test: impl Fn(&Vpc, &Nic) + Send + 'static) {
    in_host(move || {
        let vpc = Vpc::new(Forwarding::Direct);
        let nic = vpc.add(1, &[]);
        test(&vpc, &nic);
    });
}

fn in_bucket(nic: &Nic, bucket: Bucket) -> Step {
    let verdict = if bucket.is_dropped() { Verdict::Drop } else { Verdict::Pass };
    Step { verdict, seen: vec![nic.bucket(Direction::Egress, bucket)] }
}

/// What an ARP packet says of its sender.
#[derive(Clone, Copy)]
struct Arp {
    operation: u8,
    mac: [u8; 6],
    address: Ipv4Addr,
}

impl Arp {
    fn frame(self) -> Vec<u8> {
        let kinds = [0, 1, 8, 0, 6, 4, 0, self.operation];
        let target = [10, 0, 0, 254];
        ethernet(0x0806, &[&kinds[..], &self.mac, &self.address.octets(), &[0; 6], &target].concat())
    }
}

#[test]
fn arp_is_said_for_the_own_address_alone() {
    host(|vpc, nic| {
        let own = Arp { operation: 1, mac: nic.mac, address: nic.ipv4 };
        let says = |arp: Arp| vpc.send(nic, &from_mac(arp.frame(), nic.mac));
        let (passes, spoofed) = (in_bucket(nic, Bucket::Arp), in_bucket(nic, Bucket::Spoofed));
        for operation in [1, 2] {
            assert_eq!(says(Arp { operation, ..own }), passes);
            // Before it takes an address (RFC 5227).
            assert_eq!(says(Arp { operation, address: Ipv4Addr::UNSPECIFIED, ..own }), passes);
            for stranger in [[10, 0, 0, 2], [10, 0, 0, 254], [255; 4]] {
                assert_eq!(says(Arp { operation, address: stranger.into(), ..own }), spoofed);
            }
            for at in 0..6 {
                let mut mac = nic.mac;
                mac[at] ^= 0x80;
                assert_eq!(says(Arp { operation, mac, ..own }), spoofed, "its sender");
                assert_eq!(vpc.send(nic, &from_mac(own.frame(), mac)), spoofed, "the frame's");
            }
        }
        // Not IPv4 over Ethernet, or not all there.
        let good = from_mac(own.frame(), nic.mac);
        for (at, byte) in [(15, 6), (16, 0x86), (17, 0xdd), (18, 8), (19, 16)] {
            let mut frame = good.clone();
            frame[at] = byte;
            assert_eq!(vpc.send(nic, &frame), spoofed, "byte {at}");
        }
        for length in [15, 28, 41] {
            assert_eq!(vpc.send(nic, &good[..length]), spoofed, "{length} bytes");
        }
        // Padded, as a frame on a real wire is.
        assert_eq!(vpc.send(nic, &[&good[..], &[0; 18]].concat()), passes);
        // What the router says is believed.
        let arrives = vpc.tell(nic, &good[..40]);
        assert_eq!(arrives.seen, [nic.bucket(Direction::Ingress, Bucket::Arp)]);
    });
}

#[test]
fn an_eni_without_ipv4_has_no_arp() {
    in_host(|| {
        let vpc = Vpc::new(Forwarding::Direct);
        let nic = Nic::nth(1);
        vpc.join(&nic, &EniSettings { ipv4: None, ..nic.settings(&[]) });
        for address in [nic.ipv4, Ipv4Addr::BROADCAST] {
            let arp = Arp { operation: 1, mac: nic.mac, address };
            let seen = vpc.send(&nic, &from_mac(arp.frame(), nic.mac));
            assert_eq!(seen, in_bucket(&nic, Bucket::Spoofed), "{address}");
        }
    });
}

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;
const SOURCE_OPTION: u8 = 1;
const TARGET_OPTION: u8 = 2;

/// The address that follows from the ENI's MAC, 02:00:00:00:01:01.
const LINK_LOCAL: &str = "fe80::ff:fe00:101";
const ALL_NODES: &str = "ff02::1";
const ALL_ROUTERS: &str = "ff02::2";

fn address(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// A message with a target, and options with a MAC each.
fn message(kind: u8, target: Ipv6Addr, options: &[(u8, [u8; 6])]) -> Vec<u8> {
    let options = options.iter().flat_map(|(kind, mac)| [&[*kind, 1][..], mac].concat());
    [kind, 0, 0, 0, 0, 0, 0, 0].into_iter().chain(target.octets()).chain(options).collect()
}

fn frame(nic: &Nic, source: Ipv6Addr, destination: &str, message: &[u8]) -> Vec<u8> {
    let destination: IpAddr = destination.parse().unwrap();
    from_mac(packet(source.into(), destination, 58, message), nic.mac)
}

#[test]
fn solicitations_are_from_the_own_address_and_mac() {
    host(|vpc, nic| {
        let (passes, spoofed) = (in_bucket(nic, Bucket::NeighborDiscovery), in_bucket(nic, Bucket::Spoofed));
        let gateway = address("fe80::1");
        let other = [2, 0, 0, 0, 1, 2];
        let says = |source: Ipv6Addr, message: &[u8]| vpc.send(nic, &frame(nic, source, ALL_NODES, message));
        for source in [nic.ipv6, address(LINK_LOCAL)] {
            for options in [&[][..], &[(SOURCE_OPTION, nic.mac)], &[(14, other), (SOURCE_OPTION, nic.mac)]] {
                assert_eq!(says(source, &message(SOLICITATION, gateway, options)), passes, "{options:?}");
            }
            let lies = [&[(SOURCE_OPTION, other)][..], &[(14, other), (TARGET_OPTION, other)]];
            for options in lies {
                assert_eq!(says(source, &message(SOLICITATION, gateway, options)), spoofed, "{options:?}");
            }
        }
        for source in ["fd00:1::2", "fe80::1", "fe80::ff:fe00:102", "2001:db8::1"] {
            let asks = message(SOLICITATION, gateway, &[]);
            assert_eq!(says(address(source), &asks), spoofed, "{source}");
        }
        // Address detection asks for the own address from none.
        let nobody = Ipv6Addr::UNSPECIFIED;
        assert_eq!(says(nobody, &message(SOLICITATION, nic.ipv6, &[])), passes);
        assert_eq!(says(nobody, &message(SOLICITATION, address(LINK_LOCAL), &[])), passes);
        assert_eq!(says(nobody, &message(SOLICITATION, address("fd00:1::2"), &[])), spoofed);
        // The frame's own MAC.
        let good = frame(nic, nic.ipv6, ALL_NODES, &message(SOLICITATION, gateway, &[]));
        assert_eq!(vpc.send(nic, &from_mac(good, other)), spoofed);
    });
}

#[test]
fn advertisements_are_for_the_own_address_and_mac() {
    host(|vpc, nic| {
        let (passes, spoofed) = (in_bucket(nic, Bucket::NeighborDiscovery), in_bucket(nic, Bucket::Spoofed));
        let other = [2, 0, 0, 0, 1, 2];
        for source in [nic.ipv6, address(LINK_LOCAL)] {
            let says = |target: Ipv6Addr, options: &[(u8, [u8; 6])]| {
                vpc.send(nic, &frame(nic, source, "fe80::1", &message(ADVERTISEMENT, target, options)))
            };
            for target in [nic.ipv6, address(LINK_LOCAL)] {
                assert_eq!(says(target, &[]), passes);
                assert_eq!(says(target, &[(TARGET_OPTION, nic.mac)]), passes);
                assert_eq!(says(target, &[(TARGET_OPTION, other)]), spoofed);
                let many = [(14, other), (14, other), (14, other), (TARGET_OPTION, other)];
                assert_eq!(says(target, &many), spoofed, "the fourth option");
                let more = [(14, other), (14, other), (14, other), (14, other), (TARGET_OPTION, other)];
                assert_eq!(says(target, &more), spoofed, "more than are read");
            }
            for target in ["fd00:1::2", "fe80::1", "fd00:1::fe"] {
                assert_eq!(says(address(target), &[]), spoofed, "{target}");
            }
        }
        // An option without a length has no end.
        let mut endless = message(ADVERTISEMENT, nic.ipv6, &[(14, nic.mac)]);
        endless[25] = 0;
        assert_eq!(vpc.send(nic, &frame(nic, nic.ipv6, ALL_NODES, &endless)), spoofed);
        // Nor is one believed whose target is not there.
        let short = &message(ADVERTISEMENT, nic.ipv6, &[])[..20];
        assert_eq!(vpc.send(nic, &frame(nic, nic.ipv6, ALL_NODES, short)), spoofed);
    });
}

#[test]
fn no_task_is_a_router() {
    host(|vpc, nic| {
        let (passes, spoofed) = (in_bucket(nic, Bucket::NeighborDiscovery), in_bucket(nic, Bucket::Spoofed));
        let impersonates = in_bucket(nic, Bucket::Impersonation);
        for source in [nic.ipv6, address(LINK_LOCAL), address("fe80::1")] {
            for kind in [ROUTER_ADVERTISEMENT, REDIRECT] {
                for destination in [ALL_NODES, "fd00:1::2", "2001:db8::1"] {
                    let says = frame(nic, source, destination, &icmp(kind, 32));
                    assert_eq!(vpc.send(nic, &says), impersonates, "{kind} to {destination}");
                }
            }
        }
        // Asking for routers is anybody's right.
        for (source, options, expected) in [
            (nic.ipv6, &[][..], &passes),
            (Ipv6Addr::UNSPECIFIED, &[], &passes),
            (address(LINK_LOCAL), &[(SOURCE_OPTION, nic.mac)], &passes),
            (nic.ipv6, &[(SOURCE_OPTION, [2, 0, 0, 0, 1, 2])], &spoofed),
            (address("fd00:1::2"), &[], &spoofed),
        ] {
            let mut asks = message(ROUTER_SOLICITATION, Ipv6Addr::UNSPECIFIED, options);
            asks.drain(8..24);
            assert_eq!(&vpc.send(nic, &frame(nic, source, ALL_ROUTERS, &asks)), expected);
        }
    });
}

/// Reports have a router alert before them (RFC 2710, RFC 3810).
#[test]
fn listeners_report_from_their_own_address() {
    host(|vpc, nic| {
        let (passes, spoofed) = (in_bucket(nic, Bucket::NeighborDiscovery), in_bucket(nic, Bucket::Spoofed));
        for (source, expected) in [
            (address(LINK_LOCAL), &passes),
            (Ipv6Addr::UNSPECIFIED, &passes),
            (nic.ipv6, &passes),
            (address("fe80::1"), &spoofed),
        ] {
            for kind in [131, 132, 143] {
                let ip = crate::frame::Ipv6 {
                    source,
                    destination: address("ff02::16"),
                    extensions: vec![(0, options(8))],
                    protocol: 58,
                    payload_length: None,
                };
                let report = from_mac(ip.frame(&icmp(kind, 20)), nic.mac);
                assert_eq!(&vpc.send(nic, &report), expected, "{kind} from {source}");
            }
        }
    });
}

/// Whatever looks like discovery but leaves its link, is judged by rules.
#[test]
fn discovery_is_no_way_past_the_rules() {
    host(|vpc, nic| {
        let no_rule = [nic.kept_in(Reason::NoRule)];
        let open = policy::group(&vpc.datapath, &[], &["icmpv6:all:::/0"]);
        for kind in [131, 132, ROUTER_SOLICITATION, SOLICITATION, ADVERTISEMENT, 143] {
            let mut payload = message(kind, nic.ipv6, &[(14, nic.mac)]);
            payload.extend([0xee; 24]);
            // Its end is that of an option.
            payload[25] = 4;
            for destination in ["2001:db8::1", "fd00:1::2"] {
                let frame = frame(nic, nic.ipv6, destination, &payload);
                vpc.datapath.open_eni(&nic.settings(&[])).unwrap();
                assert_eq!(vpc.send(nic, &frame).seen, no_rule, "{kind} to {destination}");
                vpc.datapath.open_eni(&nic.settings(&[open])).unwrap();
                assert_eq!(vpc.send(nic, &frame).seen, [nic.sent()], "{kind} to {destination}");
            }
            vpc.datapath.open_eni(&nic.settings(&[])).unwrap();
            // Nor does it come in from elsewhere; the router's own does.
            let from_afar = packet("2001:db8::1".parse().unwrap(), nic.ipv6.into(), 58, &payload);
            assert_eq!(vpc.arrive(nic, &from_afar).seen, [nic.kept_out(Reason::NoRule)]);
            let own = [nic.bucket(Direction::Ingress, Bucket::NeighborDiscovery)];
            assert_eq!(vpc.tell(nic, &from_afar).seen, own);
        }
    });
}
