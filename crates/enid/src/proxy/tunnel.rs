//! Tunnels: what a CONNECT turns a connection into.

use std::pin::Pin;

use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedSender;

use super::idle::{Movement, Watched};
use super::server::{LONGEST, MOST_IDLE, Room};

/// Where tunnels go to be run: there are no more than connections.
pub(super) type Sender = UnboundedSender<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// Has a tunnel run as soon as the client was told that it may speak.
pub(super) fn open(request: Request<Incoming>, far: TcpStream, room: Room, tunnels: &Sender) {
    let tunnel = async move {
        let _room = room;
        let Ok(near) = hyper::upgrade::on(request).await else { return };
        let movement = Movement::new();
        let mut near = Watched::new(TokioIo::new(near), &movement);
        let mut far = far;
        tokio::select! {
            // Each direction ends by itself, and the other is told. How the ends break it off is their affair.
            _ = tokio::io::copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER, BUFFER) => {}
            () = movement.ceased(MOST_IDLE) => {}
            () = tokio::time::sleep(LONGEST) => {}
        }
    };
    // The proxy itself is what receives: it is there.
    let _ = tunnels.send(Box::pin(tunnel));
}

/// Bytes read at a time.
const BUFFER: usize = 64 * 1024;
