//! Frames that no protocol of the kernel sends, put onto an interface as they are: packet(7).

#![allow(
    clippy::missing_panics_doc,
    reason = "a step that fails panics, since a test wants to know where it failed"
)]

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use enid_netns::Namespace;

use crate::namespace::inside;
use crate::packet_socket::{self, length_of, set};

/// Sends frames by one interface.
#[derive(Debug)]
pub struct FrameSender {
    socket: OwnedFd,
    address: libc::sockaddr_ll,
}

/// How a buffer is to be cut: `struct virtio_net_hdr`, as a virtual machine hands it to its tap.
#[derive(Debug, Clone, Copy)]
pub struct Segmentation {
    /// `VIRTIO_NET_HDR_GSO_TCPV4` is 1, `…_TCPV6` 4, `…_UDP_L4` 5.
    pub kind: u8,
    /// All headers together, the Ethernet header among them.
    pub headers: u16,
    /// The payload of each segment.
    pub size: u16,
    /// Where the TCP or UDP header begins.
    pub transport: u16,
    /// Where in that its checksum is: 16 in TCP, 6 in UDP.
    pub checksum: u16,
}

impl FrameSender {
    /// Opens a sender at an interface of a namespace.
    pub fn open(namespace: &Namespace, interface: &str) -> Self {
        inside(namespace, || {
            let socket = packet_socket::open();
            set(&socket, libc::PACKET_VNET_HDR, &1_i32);
            Self { socket, address: packet_socket::address(interface, 0) }
        })
    }

    /// Sends a frame, from the Ethernet header on; one that is to be cut into segments, with their description.
    #[track_caller]
    pub fn send(&self, frame: &[u8], segmentation: Option<Segmentation>) {
        let mut message = vec![0; 10];
        if let Some(Segmentation { kind, headers, size, transport, checksum }) = segmentation {
            // VIRTIO_NET_HDR_F_NEEDS_CSUM.
            message[..2].copy_from_slice(&[1, kind]);
            for (place, value) in [(2, headers), (4, size), (6, transport), (8, checksum)] {
                message[place..place + 2].copy_from_slice(&value.to_ne_bytes());
            }
        }
        message.extend_from_slice(frame);
        let mut address = self.address;
        address.sll_protocol = u16::from_ne_bytes([frame[12], frame[13]]);
        // SAFETY: message and address are of the lengths that are given, and live until the call returns.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                message.as_ptr().cast(),
                message.len(),
                0,
                (&raw const address).cast(),
                length_of(&address),
            )
        };
        assert!(sent >= 0, "send a frame: {}", io::Error::last_os_error());
    }
}
