//! The policy is in force before the first packet, and at every moment after: while rules change, and while the daemon is
//! away.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use enid::ForwardingMode;
use enid_api::v1::{CreateTaskRequest, Task};
use enid_testbed::namespace::{self, inside as run_inside};
use enid_testbed::traffic::udp;
use enid_testbed::{DEADLINE, DaemonKind, Host, HostOptions, wait_until};

use super::lab::{self, Rules, create, member, set_entries, set_rules};
use crate::ledger::assert_closed;
use crate::networks::{inside, ipv4};

super::both_ways!(
    rules_are_in_force_before_the_first_packet,
    no_moment_is_without_rules_while_the_daemon_is_away,
    no_moment_is_without_rules_while_they_change,
);

const FORBIDDEN: u16 = 5000;
const ALLOWED: u16 = 5001;

/// Sockets for both ports on an address, or on all.
fn sockets(namespace: &enid_netns::Namespace, address: std::net::IpAddr) -> [UdpSocket; 2] {
    [FORBIDDEN, ALLOWED].map(|port| udp(namespace, address, port))
}

#[track_caller]
fn assert_nothing_came(socket: &UdpSocket) {
    socket.set_nonblocking(true).unwrap();
    let mut datagram = [0; 16];
    let came = socket.recv(&mut datagram);
    assert!(came.is_err(), "{datagram:?} came to the forbidden port");
}

/// Sends to both ports of an address again and again, as soon as it can, until it is told to stop.
fn flood(socket: &UdpSocket, to: std::net::IpAddr, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        for port in [FORBIDDEN, ALLOWED] {
            // There may be no way yet.
            let _ = socket.send_to(&[7], SocketAddr::new(to, port));
        }
        thread::yield_now();
    }
}

fn rules_are_in_force_before_the_first_packet(forwarding: ForwardingMode) {
    let host = lab::host(forwarding);
    let open = create(&host, "open", "a", &["open"]);
    set_rules(&host, "target", Rules::Ingress, &["udp:5001:10.5.0.0/24"]);
    set_rules(&host, "target", Rules::Egress, &["udp:5001:10.5.0.0/24"]);
    let own = sockets(&inside(&open), ipv4(&open));
    let sender = udp(&inside(&open), ipv4(&open), 6000);
    for round in 0..5 {
        let address = std::net::Ipv4Addr::new(10, 5, 0, 100 + round);
        let path = host.folder().join(format!("adopted-{round}"));
        let adopted = namespace::create(&path);
        // Both are there before the ENI is: its first packet, either way, finds them.
        let [forbidden, allowed] = sockets(&adopted, std::net::Ipv4Addr::UNSPECIFIED.into());
        let from_within = udp(&adopted, std::net::Ipv4Addr::UNSPECIFIED.into(), 6000);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| flood(&sender, address.into(), &stop));
            scope.spawn(|| flood(&from_within, ipv4(&open), &stop));
            let request = CreateTaskRequest {
                netns: Some(path.display().to_string()),
                ipv4: Some(address.to_string()),
                ..member(&format!("target-{round}"), "a", &["target"])
            };
            let created = host.create_as(&request);
            let arrived = |socket: &UdpSocket| (0..50).all(|_| socket.recv(&mut [0]).is_ok());
            let both_arrived = created.is_ok() && arrived(&allowed) && arrived(&own[1]);
            stop.store(true, Ordering::Relaxed);
            assert!(both_arrived, "{created:?}");
        });
        assert_nothing_came(&forbidden);
        assert_nothing_came(&own[0]);
        host.delete(&format!("target-{round}"));
        own[1].set_nonblocking(true).unwrap();
        while own[1].recv(&mut [0]).is_ok() {}
        own[1].set_nonblocking(false).unwrap();
        enid_netns::unmount(&path).unwrap();
    }
    assert_closed(&host);
}

/// One that sends, and one that is sent to.
struct Watched {
    open: Task,
    target: Task,
}

impl Watched {
    #[track_caller]
    fn new(host: &Host) -> Self {
        let open = create(host, "open", "a", &["open"]);
        let target = create(host, "target", "b", &["target"]);
        set_rules(host, "target", Rules::Ingress, &["udp:5001:10.5.0.0/24"]);
        Self { open, target }
    }

    /// While `work` is done, sends new flows to both ports: of one each arrives, of the other none.
    #[track_caller]
    fn while_sending(&self, work: impl FnOnce()) {
        let [forbidden, allowed] = sockets(&inside(&self.target), ipv4(&self.target));
        let (done, sent) = (AtomicBool::new(false), AtomicU32::new(0));
        thread::scope(|scope| {
            let sending = scope.spawn(|| {
                run_inside(&inside(&self.open), || {
                    let mut number = 0_u32;
                    while !done.load(Ordering::Relaxed) {
                        number += 1;
                        // A port of its own each time: nothing but a rule can let it through.
                        let socket = UdpSocket::bind(SocketAddr::new(ipv4(&self.open), 0)).unwrap();
                        for port in [FORBIDDEN, ALLOWED] {
                            socket
                                .send_to(&number.to_be_bytes(), SocketAddr::new(ipv4(&self.target), port))
                                .unwrap();
                        }
                        let mut came = [0; 4];
                        let heard = allowed.recv(&mut came);
                        assert!(
                            heard.is_ok() && came == number.to_be_bytes(),
                            "datagram {number}: {heard:?}"
                        );
                        sent.store(number, Ordering::Relaxed);
                    }
                });
            });
            assert!(wait_until(DEADLINE, || sent.load(Ordering::Relaxed) > 10 || sending.is_finished()));
            let before = sent.load(Ordering::Relaxed);
            work();
            assert!(
                wait_until(DEADLINE, || sent.load(Ordering::Relaxed) > before + 10 || sending.is_finished())
            );
            done.store(true, Ordering::Relaxed);
            sending.join().expect("each datagram that may pass passes");
        });
        assert_nothing_came(&forbidden);
    }
}

fn no_moment_is_without_rules_while_the_daemon_is_away(forwarding: ForwardingMode) {
    let options = HostOptions { daemon: DaemonKind::Process, forwarding, ..Default::default() };
    let mut host = lab::host_as(&options);
    let watched = Watched::new(&host);
    watched.while_sending(|| {
        for round in 0..4 {
            if round % 2 == 0 {
                host.kill_daemon();
            } else {
                host.stop_daemon();
            }
            host.start_daemon();
        }
    });
    assert_closed(&host);
}

fn no_moment_is_without_rules_while_they_change(forwarding: ForwardingMode) {
    let host = lab::host(forwarding);
    let watched = Watched::new(&host);
    set_entries(&host, &["10.5.0.0/16"]);
    watched.while_sending(|| {
        for round in 0..30_u8 {
            // Each lets the same through, and not by the same.
            for rule in ["udp:5001:sg=open", "udp:5001-5002:0.0.0.0/0", "udp:5001:pl=trusted"] {
                set_rules(&host, "target", Rules::Ingress, &[rule]);
            }
            set_entries(&host, &["10.5.0.0/24", &format!("192.0.2.{round}/32")]);
            // A group that nobody is in.
            set_rules(&host, "second", Rules::Ingress, &[&format!("tcp:{}:::/0", 1 + u16::from(round))]);
        }
    });
    assert_closed(&host);
}
