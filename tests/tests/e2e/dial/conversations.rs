//! What goes over dialed connections, and what the flow log says of it.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::thread;

use enid_api::dial::wire::Protocol;
use enid_flowlog::Direction;
use enid_model::TrafficClass;
use enid_testbed::traffic::{accept, send_bytes, tcp_listen, udp};
use enid_testbed::{DEADLINE, HostOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::dialer;
use crate::ledger::{assert_closed, counters, flush, named, records, to_port, total};
use crate::networks::{host, host_as, inside, ipv4, ipv6};

#[test]
fn all_packets_of_a_dialed_connection_are_of_its_class() {
    let host = host();
    let (web, peer) = (host.create("web", "red/a"), host.create("peer", "red/b"));
    let in_peer = inside(&peer);
    for (number, class) in TrafficClass::ALL.iter().enumerate() {
        let port = 8000 + u16::try_from(number).unwrap();
        let of_class = dialer(&host, "web").class(*class);
        for (own, address) in [(ipv4(&web), ipv4(&peer)), (ipv6(&web), ipv6(&peer))] {
            let listener = tcp_listen(&in_peer, address, port);
            let dialed = host.wait(of_class.dial(&address.to_string(), port, Protocol::Tcp)).unwrap();
            let (far, from) = accept(&listener);
            assert_eq!((dialed.local, dialed.remote), (from, SocketAddr::new(address, port)));
            assert_eq!(dialed.local.ip(), own);
            assert_eq!(dialed.eni, web.eni.as_ref().unwrap().id);
            send_bytes(dialed.socket.into(), far, 10_000 * (number + 1));

            let far = udp(&in_peer, address, port);
            let near = host.wait(of_class.connect_udp(&address.to_string(), port)).unwrap();
            host.wait(near.send(b"a question")).unwrap();
            let mut text = [0; 32];
            let (length, from) = far.recv_from(&mut text).unwrap();
            assert_eq!((&text[..length], from), (&b"a question"[..], near.local_addr().unwrap()));
            far.send_to(b"an answer", from).unwrap();
            assert_eq!(host.wait(near.recv(&mut text)).unwrap(), 9);
        }
    }
    flush(&host);
    assert_closed(&host);
    let records = records(&host);
    let counted = counters(&host, "web");
    for (number, class) in TrafficClass::ALL.iter().enumerate() {
        let port = 8000 + u16::try_from(number).unwrap();
        let mut sum = (0, 0);
        for protocol in [6, 17] {
            let any = total(&records, "web", Direction::Egress, to_port(protocol, port));
            let its = total(&records, "web", Direction::Egress, |record| {
                to_port(protocol, port)(record) && record.traffic_class == Some(*class)
            });
            // The first packet, which has no data, included.
            assert_eq!(its, any, "{class:?}");
            sum = (sum.0 + its.0, sum.1 + its.1);
        }
        assert!(sum.1 > 2 * 10_000 * (number as u64 + 1));
        // Nothing else has gone out in the class: exactly this.
        assert_eq!(named(&counted.egress.clone().unwrap(), class.as_str()), sum, "{class:?}");
        let back = total(&records, "web", Direction::Ingress, |record| {
            record.srcport == Some(port) && record.traffic_class == Some(*class)
        });
        assert_eq!(named(&counted.ingress.clone().unwrap(), class.as_str()), back, "{class:?}");
        // The peer's side of it is its application's.
        let theirs = total(&records, "peer", Direction::Ingress, |record| {
            record.dstport == Some(port) && record.traffic_class != Some(TrafficClass::Application)
        });
        assert_eq!(theirs, (0, 0));
    }
}

#[test]
fn a_tokio_stream_works_and_outlives_the_daemon() {
    let mut host = host_as(&HostOptions::default());
    host.create("web", "red/a");
    let peer = host.create("peer", "red/b");
    let listener = tcp_listen(&inside(&peer), ipv4(&peer), 8000);
    let dialer = dialer(&host, "web").class(TrafficClass::Logs);
    let mut stream = host.wait(dialer.connect(&ipv4(&peer).to_string(), 8000)).unwrap();
    let (mut far, _) = accept(&listener);
    host.restart_daemon();
    let echo = thread::spawn(move || {
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        far.write_all(text.as_bytes()).unwrap();
    });
    host.wait(stream.write_all(b"said after the restart")).unwrap();
    host.wait(stream.shutdown()).unwrap();
    let mut text = String::new();
    host.wait(stream.read_to_string(&mut text)).unwrap();
    assert_eq!(text, "said after the restart");
    echo.join().unwrap();
    // The same dialer finds the new daemon, and an old connection is still of its class.
    host.wait(dialer.connect(&ipv4(&peer).to_string(), 8000)).unwrap();
    drop(accept(&listener));
    flush(&host);
    assert_closed(&host);
    assert_eq!(named(&counters(&host, "web").egress.unwrap(), "application"), (0, 0));
}

#[test]
fn a_socket_is_as_from_socket_and_connect() {
    let host = host();
    host.create("web", "red/a");
    let peer = host.create("peer", "red/b");
    let listener = tcp_listen(&inside(&peer), ipv4(&peer), 8000);
    let dialed = host.wait(dialer(&host, "web").dial(&ipv4(&peer).to_string(), 8000, Protocol::Tcp)).unwrap();
    let (mut far, _) = accept(&listener);
    let mut near = std::net::TcpStream::from(dialed.socket);
    near.set_read_timeout(Some(DEADLINE)).unwrap();
    // It blocks: this waits, in place of failing at once.
    thread::scope(|scope| {
        let read = scope.spawn(|| {
            let mut bytes = [0; 4];
            near.read_exact(&mut bytes).map(|()| bytes)
        });
        far.write_all(b"late").unwrap();
        assert_eq!(&read.join().unwrap().unwrap(), b"late");
    });
}

#[test]
fn many_requests_of_one_dialer_at_once() {
    let host = host();
    host.create("web", "red/a");
    let peer = host.create("peer", "red/b");
    let listener = tcp_listen(&inside(&peer), ipv6(&peer), 8000);
    let dialer = dialer(&host, "web").class(TrafficClass::ImagePull);
    let to = ipv6(&peer).to_string();
    let accepting = thread::spawn(move || (0..100).map(|_| accept(&listener)).collect::<Vec<_>>().len());
    let streams = host.wait(async {
        let mut dials = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (dialer, to) = (dialer.clone(), to.clone());
            dials.spawn(async move { dialer.connect(&to, 8000).await.unwrap() });
        }
        dials.join_all().await
    });
    assert_eq!(accepting.join().unwrap(), 100);
    let ports: std::collections::HashSet<_> =
        streams.iter().map(|stream| stream.local_addr().unwrap().port()).collect();
    assert_eq!(ports.len(), 100);
}
