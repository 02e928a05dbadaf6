//! Traffic through namespaces. Every socket gives up at the deadline.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a step that fails panics, since a test wants to know where it failed"
)]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::thread;

use enid_netns::Namespace;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::DEADLINE;
use crate::namespace::{inside, output};

/// Opens a TCP listener inside a namespace.
pub fn tcp_listen(namespace: &Namespace, address: IpAddr, port: u16) -> TcpListener {
    let address = SocketAddr::new(address, port);
    let listener =
        inside(namespace, || TcpListener::bind(address)).unwrap_or_else(|e| panic!("{address}: {e}"));
    // Of accept(2) too: socket(7).
    set_socket_timeout(&listener, Timeout::Recv, Some(DEADLINE)).expect("set a timeout");
    listener
}

/// Connects from inside a namespace.
///
/// # Errors
/// Nobody is there, or refuses.
pub fn try_tcp_connect(namespace: &Namespace, to: SocketAddr) -> std::io::Result<TcpStream> {
    // Shorter than the deadline, since a test may want to see that nobody is there.
    let deadline = DEADLINE / 10;
    let stream = inside(namespace, || TcpStream::connect_timeout(&to, deadline))?;
    with_deadline(&stream);
    Ok(stream)
}

/// Connects from inside a namespace, to somebody who must be there.
#[track_caller]
pub fn tcp_connect(namespace: &Namespace, to: SocketAddr) -> TcpStream {
    try_tcp_connect(namespace, to).unwrap_or_else(|error| panic!("no connection to {to}: {error}"))
}

/// A connection that a listener gets.
#[track_caller]
pub fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let (stream, peer) = listener.accept().expect("nobody connected");
    with_deadline(&stream);
    (stream, peer)
}

fn with_deadline(stream: &TcpStream) {
    stream.set_read_timeout(Some(DEADLINE)).expect("set a timeout");
    stream.set_write_timeout(Some(DEADLINE)).expect("set a timeout");
}

/// Opens a UDP socket inside a namespace.
pub fn udp(namespace: &Namespace, address: IpAddr, port: u16) -> UdpSocket {
    let address = SocketAddr::new(address, port);
    let socket = inside(namespace, || UdpSocket::bind(address)).unwrap_or_else(|e| panic!("{address}: {e}"));
    socket.set_read_timeout(Some(DEADLINE)).expect("set a timeout");
    socket
}

/// Has the kernel cut what a UDP socket sends into datagrams of `size` bytes (`UDP_SEGMENT`, udp(7)).
pub fn segment(socket: &UdpSocket, size: u16) {
    let option = libc::c_int::from(size);
    let length = libc::socklen_t::try_from(size_of_val(&option)).expect("a small size");
    // SAFETY: the option is an int, as the kernel reads it, and lives until the call returns.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_UDP,
            libc::UDP_SEGMENT,
            (&raw const option).cast(),
            length,
        )
    };
    assert_eq!(set, 0, "UDP_SEGMENT: {}", std::io::Error::last_os_error());
}

/// Sends datagrams of `size` bytes and receives each, in order.
#[track_caller]
pub fn send_datagrams(from: &UdpSocket, to: &UdpSocket, count: usize, size: usize) {
    let destination = to.local_addr().expect("bound");
    let mut received = vec![0; size + 1];
    for number in 0..count {
        let datagram = pattern(number as u64, size);
        from.send_to(&datagram, destination).unwrap_or_else(|error| panic!("send to {destination}: {error}"));
        let length = to.recv(&mut received).unwrap_or_else(|error| panic!("datagram {number}: {error}"));
        assert!(received.get(..length) == Some(&datagram), "datagram {number} came changed, {length} bytes");
    }
}

/// Sends `size` bytes over a connection and checks that they come as they were sent; the sender ends the connection,
/// and the receiver sees that.
#[track_caller]
pub fn send_bytes(mut from: TcpStream, mut to: TcpStream, size: usize) {
    let bytes = pattern(size as u64, size);
    thread::scope(|scope| {
        let bytes = &bytes;
        scope.spawn(move || {
            from.write_all(bytes).expect("send");
            from.shutdown(std::net::Shutdown::Write).expect("end");
            // Until the receiver ends it too: then nothing is on the way.
            let rest = from.read(&mut [0]).expect("end");
            assert_eq!(rest, 0);
        });
        let mut received = Vec::with_capacity(size);
        to.read_to_end(&mut received).expect("receive");
        drop(to);
        assert_eq!(received.len(), size);
        assert!(received == *bytes, "the bytes came changed");
    });
}

/// A TCP transfer between two namespaces: the client sends `size` bytes.
#[track_caller]
pub fn transfer(client: &Namespace, server: &Namespace, to: SocketAddr, size: usize) {
    let listener = tcp_listen(server, to.ip(), to.port());
    let from = tcp_connect(client, to);
    let (to, _) = accept(&listener);
    send_bytes(from, to, size);
}

/// Pings, and says whether all `count` answers came.
pub fn ping(namespace: &Namespace, address: IpAddr, count: u32, size: u32) -> bool {
    pinged(namespace, address, count, size, "10")
}

/// Pings once, and says whether no answer came within a second.
pub fn no_ping(namespace: &Namespace, address: IpAddr) -> bool {
    !pinged(namespace, address, 1, 56, "1")
}

fn pinged(namespace: &Namespace, address: IpAddr, count: u32, size: u32, seconds: &str) -> bool {
    let (count, size, address) = (count.to_string(), size.to_string(), address.to_string());
    let arguments = ["ping", "-q", "-n", "-i", "0.01", "-w", seconds, "-c", &count, "-s", &size, &address];
    output(namespace, &arguments).status.success()
}

/// Bytes without a period (splitmix64), so that what is lost, doubled or moved is seen.
fn pattern(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
