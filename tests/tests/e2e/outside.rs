//! What is beyond a host: an exchange that it reaches by its default routes, and a server beyond that.

use std::net::IpAddr;

use enid_netns::Namespace;
use enid_testbed::namespace::{self, command};
use enid_testbed::traffic::ping;
use enid_testbed::{DEADLINE, Host, wait_until};

/// The server's addresses, IPv4 and IPv6.
pub(crate) const SERVER: [&str; 2] = ["198.51.100.2", "2001:db8:1::2"];
/// The exchange's, on the host's side.
pub(crate) const EXCHANGE: [&str; 2] = ["192.0.2.2", "2001:db8::2"];

/// Two links in a row: host — exchange — server.
pub(crate) struct Outside {
    exchange: Namespace,
    pub(crate) server: Namespace,
}

impl Outside {
    /// `near` is the MTU of the host's way out, `far` that of the link beyond it.
    #[track_caller]
    pub(crate) fn new(host: &Host, near: u32, far: u32) -> Self {
        let (exchange, server) = (create(host, "exchange"), create(host, "server"));
        link(host.namespace(), "wan", &host.folder().join("exchange"), "near", near);
        link(&exchange, "far", &host.folder().join("server"), "wan", far);
        address(host.namespace(), "wan", ["192.0.2.1/24", "2001:db8::1/64"]);
        address(&exchange, "near", ["192.0.2.2/24", "2001:db8::2/64"]);
        address(&exchange, "far", ["198.51.100.1/24", "2001:db8:1::1/64"]);
        address(&server, "wan", ["198.51.100.2/24", "2001:db8:1::2/64"]);
        let forwarding = ["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"];
        command(&exchange, &forwarding);
        for gateway in EXCHANGE {
            command(host.namespace(), &["ip", "route", "add", "default", "via", gateway]);
        }
        for gateway in ["198.51.100.1", "2001:db8:1::1"] {
            command(&server, &["ip", "route", "add", "default", "via", gateway]);
        }
        // Until the kernels know their own new addresses and each other's, packets wait or are lost.
        for server in SERVER {
            assert!(wait_until(DEADLINE, || ping(host.namespace(), parse(server), 1, 56)), "{server}");
        }
        Self { exchange, server }
    }

    /// Gives the host's way out another MTU.
    #[track_caller]
    pub(crate) fn set_near(&self, host: &Host, mtu: u32) {
        for (end, name) in [(host.namespace(), "wan"), (&self.exchange, "near")] {
            command(end, &["ip", "link", "set", name, "mtu", &mtu.to_string()]);
        }
    }
}

fn create(host: &Host, name: &str) -> Namespace {
    namespace::create(&host.folder().join(name))
}

fn link(near: &Namespace, name: &str, far: &std::path::Path, far_name: &str, mtu: u32) {
    let (far, mtu) = (far.display().to_string(), mtu.to_string());
    let far_end = ["peer", "name", far_name, "mtu", &mtu, "netns", &far];
    command(near, &[&["ip", "link", "add", name, "mtu", &mtu, "type", "veth"][..], &far_end].concat());
}

fn address(namespace: &Namespace, link: &str, addresses: [&str; 2]) {
    // Without link-local addresses that are sure to be its own, a link asks for no neighbour.
    command(namespace, &["sysctl", "-qw", &format!("net.ipv6.conf.{link}.accept_dad=0")]);
    command(namespace, &["ip", "addr", "add", addresses[0], "dev", link]);
    command(namespace, &["ip", "addr", "add", addresses[1], "dev", link, "nodad"]);
    command(namespace, &["ip", "link", "set", link, "up"]);
}

/// An address from its text.
pub(crate) fn parse(text: &str) -> IpAddr {
    text.parse().unwrap()
}
