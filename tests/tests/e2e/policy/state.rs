//! Connections: their answers pass, they outlive their rules if they are tracked, and changes are in force at once.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use enid::ForwardingMode;
use enid_api::v1::Task;
use enid_testbed::traffic::{accept, ping, tcp_connect, tcp_listen, udp};
use enid_testbed::{DEADLINE, Host, wait_until};

use super::lab::{self, Rules, assert_cases, create, set_rules};
use super::probe::{Family, Tcp, Udp, V4, V6};
use crate::ledger::assert_closed;
use crate::networks::inside;

super::both_ways!(
    answers_pass_where_no_rule_lets_them,
    a_tracked_connection_outlives_its_rule,
    an_untracked_connection_ends_with_its_rule,
    a_tracked_answer_outlives_the_senders_rule,
    a_rule_is_in_force_when_its_update_returns,
    errors_about_a_flow_reach_its_sender,
);

struct Pair {
    host: Host,
    client: Task,
    server: Task,
}

impl Pair {
    #[track_caller]
    fn new(forwarding: ForwardingMode) -> Self {
        let host = lab::host(forwarding);
        let client = create(&host, "client", "a", &["second"]);
        let server = create(&host, "server", "b", &["target"]);
        Self { host, client, server }
    }

    #[track_caller]
    fn connect(&self, family: Family, port: u16) -> Connection {
        let to = SocketAddr::new(family.address(&self.server), port);
        let listener = tcp_listen(&inside(&self.server), to.ip(), port);
        let near = tcp_connect(&inside(&self.client), to);
        let (far, _) = accept(&listener);
        Connection { near, far }
    }
}

struct Connection {
    near: TcpStream,
    far: TcpStream,
}

impl Connection {
    /// Sends a byte there and one back.
    #[track_caller]
    fn goes_on(&mut self) {
        for round in 0..3_u8 {
            self.near.write_all(&[round]).unwrap();
            self.far.read_exact(&mut [0]).expect("it is still connected");
            self.far.write_all(&[round]).unwrap();
            self.near.read_exact(&mut [0]).expect("it is still connected");
        }
    }

    #[track_caller]
    fn is_cut(&mut self) {
        self.near.write_all(&[1]).unwrap();
        self.far.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
        let error = self.far.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    }
}

fn answers_pass_where_no_rule_lets_them(forwarding: ForwardingMode) {
    let pair = Pair::new(forwarding);
    // The server may send nothing of its own, and nobody may begin with the client.
    set_rules(&pair.host, "target", Rules::Ingress, &["all:10.5.0.0/16", "all:fd00:e::/56"]);
    set_rules(&pair.host, "target", Rules::Egress, &[]);
    for family in [V4, V6] {
        pair.connect(family, 80).goes_on();
        assert!(ping(&inside(&pair.client), family.address(&pair.server), 3, 56));
        let near = udp(&inside(&pair.client), family.address(&pair.client), 5000);
        let far = udp(&inside(&pair.server), family.address(&pair.server), 5001);
        for word in [b"one", b"two"] {
            near.send_to(word, far.local_addr().unwrap()).unwrap();
            let (length, peer) = far.recv_from(&mut [0; 8]).unwrap();
            assert_eq!((length, peer), (3, near.local_addr().unwrap()));
            far.send_to(word, peer).unwrap();
            assert_eq!(near.recv(&mut [0; 8]).unwrap(), 3);
        }
        // An answer is one to the same port.
        assert!(is_lost(&far, &near, 5002));
        assert_cases(&[(&pair.server, &pair.client, family, Udp(5003), false)]);
        assert_cases(&[(&pair.server, &pair.client, family, Tcp(5003), false)]);
    }
    assert_closed(&pair.host);
}

/// Whether what a socket sends to another port than that of `to` gets nowhere.
fn is_lost(from: &UdpSocket, to: &UdpSocket, port: u16) -> bool {
    let mut other = to.local_addr().unwrap();
    other.set_port(port);
    let namespace_of = to.try_clone().unwrap();
    namespace_of.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    from.send_to(b"lost", other).unwrap();
    let lost = namespace_of.recv(&mut [0; 8]).is_err();
    namespace_of.set_read_timeout(Some(DEADLINE)).unwrap();
    lost
}

fn a_tracked_connection_outlives_its_rule(forwarding: ForwardingMode) {
    let pair = Pair::new(forwarding);
    for (family, rule) in [(V4, "all:10.5.0.0/24"), (V6, "all:fd00:e::/64")] {
        set_rules(&pair.host, "target", Rules::Ingress, &[rule]);
        let mut connection = pair.connect(family, 8080);
        connection.goes_on();
        let near = udp(&inside(&pair.client), family.address(&pair.client), 5000);
        let far = udp(&inside(&pair.server), family.address(&pair.server), 5001);
        let datagram = || {
            near.send_to(b"there", far.local_addr().unwrap()).unwrap();
            far.recv(&mut [0; 8]).expect("its flow is tracked");
            far.send_to(b"back", near.local_addr().unwrap()).unwrap();
            near.recv(&mut [0; 8]).expect("its flow is tracked");
        };
        datagram();
        set_rules(&pair.host, "target", Rules::Ingress, &[]);
        assert_cases(&[
            (&pair.client, &pair.server, family, Tcp(8080), false),
            (&pair.client, &pair.server, family, Udp(8080), false),
        ]);
        connection.goes_on();
        datagram();
    }
    assert_closed(&pair.host);
}

fn an_untracked_connection_ends_with_its_rule(forwarding: ForwardingMode) {
    let pair = Pair::new(forwarding);
    for (family, rule) in [(V4, "tcp:8080:0.0.0.0/0"), (V6, "tcp:8080:::/0")] {
        // From everywhere, and everything may go out: the server does not track it.
        set_rules(&pair.host, "target", Rules::Ingress, &[rule, "udp:80:0.0.0.0/0"]);
        let mut connection = pair.connect(family, 8080);
        connection.goes_on();
        // Another rule that lets it through keeps it.
        set_rules(&pair.host, "target", Rules::Ingress, &[rule, "udp:81:0.0.0.0/0"]);
        connection.goes_on();
        set_rules(&pair.host, "target", Rules::Ingress, &["udp:81:0.0.0.0/0"]);
        connection.is_cut();
        assert_cases(&[(&pair.client, &pair.server, family, Tcp(8080), false)]);
        set_rules(&pair.host, "target", Rules::Ingress, &[rule]);
        pair.connect(family, 8080).goes_on();
    }
    assert_closed(&pair.host);
}

fn a_tracked_answer_outlives_the_senders_rule(forwarding: ForwardingMode) {
    let pair = Pair::new(forwarding);
    set_rules(&pair.host, "target", Rules::Ingress, &["tcp:8080:10.5.0.0/24"]);
    set_rules(&pair.host, "second", Rules::Egress, &["tcp:8080:10.5.1.0/24"]);
    let mut connection = pair.connect(V4, 8080);
    connection.goes_on();
    set_rules(&pair.host, "second", Rules::Egress, &[]);
    set_rules(&pair.host, "target", Rules::Egress, &[]);
    connection.goes_on();
    assert_cases(&[(&pair.client, &pair.server, V4, Tcp(8080), false)]);
    assert_closed(&pair.host);
}

fn a_rule_is_in_force_when_its_update_returns(forwarding: ForwardingMode) {
    let pair = Pair::new(forwarding);
    let far = udp(&inside(&pair.server), V4.address(&pair.server), 5001);
    let to = far.local_addr().unwrap();
    for round in 0..20_u16 {
        // A flow that was refused before, and a new one.
        for port in [6000, 7000 + round] {
            let near = udp(&inside(&pair.client), V4.address(&pair.client), port);
            set_rules(&pair.host, "target", Rules::Ingress, &[]);
            if port != 6000 || round == 0 {
                near.send_to(b"no", to).unwrap();
            }
            set_rules(&pair.host, "target", Rules::Ingress, &["udp:5001:10.5.0.0/24"]);
            near.send_to(b"yes", to).unwrap();
            let mut heard = [0; 8];
            let length = far.recv(&mut heard).expect("the rule is in force");
            assert_eq!(&heard[..length], b"yes", "round {round}");
        }
    }
    assert_closed(&pair.host);
}

fn errors_about_a_flow_reach_its_sender(forwarding: ForwardingMode) {
    let pair = Pair::new(forwarding);
    set_rules(&pair.host, "target", Rules::Ingress, &["all:10.5.0.0/16", "all:fd00:e::/56"]);
    set_rules(&pair.host, "target", Rules::Egress, &[]);
    set_rules(&pair.host, "second", Rules::Ingress, &[]);
    for family in [V4, V6] {
        // Nobody listens: the server's kernel says so, by ICMP, which no rule lets out or in.
        let near = udp(&inside(&pair.client), family.address(&pair.client), 5000);
        near.connect(SocketAddr::new(family.address(&pair.server), 9)).unwrap();
        near.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let told = || {
            let sent = near.send(b"anybody?");
            let refused = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionRefused;
            sent.as_ref().is_err_and(refused) || near.recv(&mut [0]).as_ref().is_err_and(refused)
        };
        assert!(wait_until(DEADLINE, told), "{family:?}");
    }
    assert_closed(&pair.host);
}
