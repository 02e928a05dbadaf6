//! The socket of a capture: packet(7), with a ring that the kernel copies each buffer's headers into as it passes.
//!
//! Without a ring they would be read later, when a router on the packet's way may have changed them: a buffer that waits in
//! a socket shares its bytes with the one that goes on.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use enid_netns::Namespace;

use super::Way;
use crate::namespace::inside;
use crate::packet_socket::{self, ALL_PROTOCOLS, checked, length_of, set};

/// `TPACKET_V2`.
const VERSION: libc::c_int = 1;
/// `TP_STATUS_USER`: the frame is the reader's.
const IS_OURS: u32 = 1;
/// A frame of the ring: what the kernel says of a buffer, and as much of it as its headers can take. In bytes.
const FRAME: u32 = 512;
const FRAMES: u32 = 1 << 16;
const BLOCK: u32 = 1 << 16;
const RING: usize = (FRAMES * FRAME) as usize;
/// Where in `struct tpacket2_hdr` the buffer's length is, how much of it is here, and where.
const LENGTH: usize = 4;
const HERE: usize = 8;
const MAC: usize = 12;
/// Where `struct sockaddr_ll` is, behind that, and in it `sll_pkttype`.
const PACKET_TYPE: usize = 32 + 10;
/// `struct virtio_net_hdr`, in front of each buffer: flags, `gso_type`, `hdr_len`, `gso_size`, `csum_start`, `csum_offset`.
const VNET_HEADER: usize = 10;

/// A buffer, as the device has it.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) way: Way,
    /// The frame's beginning.
    pub(super) head: Vec<u8>,
    /// The frame's length.
    pub(super) length: usize,
    /// The payload of each segment; 0 of a buffer that is one packet.
    pub(super) segment_size: u16,
}

/// Sees all that passes an interface.
#[derive(Debug)]
pub(super) struct Socket {
    descriptor: OwnedFd,
    ring: NonNull<c_void>,
    /// The frame that comes next.
    next: u32,
}

// SAFETY: the ring is this value's alone, wherever that is.
unsafe impl Send for Socket {}

/// Waits for the socket to have something.
pub(super) struct Waiter(RawFd);

impl Socket {
    pub(super) fn open(namespace: &Namespace, interface: &str) -> Self {
        inside(namespace, || {
            let socket = packet_socket::open();
            set(&socket, libc::PACKET_VERSION, &VERSION);
            set(&socket, libc::PACKET_VNET_HDR, &1_i32);
            let request = libc::tpacket_req {
                tp_block_size: BLOCK,
                tp_block_nr: FRAMES * FRAME / BLOCK,
                tp_frame_size: FRAME,
                tp_frame_nr: FRAMES,
            };
            set(&socket, libc::PACKET_RX_RING, &request);
            // SAFETY: a new mapping, of the length that was asked for.
            let ring = unsafe {
                let access = libc::PROT_READ | libc::PROT_WRITE;
                libc::mmap(std::ptr::null_mut(), RING, access, libc::MAP_SHARED, socket.as_raw_fd(), 0)
            };
            assert_ne!(ring, libc::MAP_FAILED, "mmap: {}", io::Error::last_os_error());
            let ring = NonNull::new(ring).expect("a mapping");
            let address = packet_socket::address(interface, ALL_PROTOCOLS);
            // SAFETY: the address is of the length that is given, and lives until the call returns.
            let bound =
                unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length_of(&address)) };
            checked("bind", bound);
            Self { descriptor: socket, ring, next: 0 }
        })
    }

    /// The next buffer, if one waits.
    pub(super) fn next(&mut self) -> Option<Buffer> {
        // SAFETY: a frame of the ring: in bounds, and aligned to its size.
        let (frame, status) = unsafe {
            let frame = self.ring.cast::<u8>().add((self.next * FRAME) as usize);
            (frame, AtomicU32::from_ptr(frame.cast().as_ptr()))
        };
        if status.load(Ordering::Acquire) & IS_OURS == 0 {
            return None;
        }
        // SAFETY: until its status changes, the frame is not the kernel's.
        let bytes = unsafe { std::slice::from_raw_parts(frame.as_ptr(), FRAME as usize) };
        let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let begin = usize::from(u16::from_ne_bytes([bytes[MAC], bytes[MAC + 1]]));
        let vnet = &bytes[begin - VNET_HEADER..begin];
        let buffer = Buffer {
            way: if bytes[PACKET_TYPE] == libc::PACKET_OUTGOING { Way::Out } else { Way::In },
            head: bytes[begin..begin + word(HERE) as usize].to_vec(),
            length: word(LENGTH) as usize,
            segment_size: if vnet[1] == 0 { 0 } else { u16::from_ne_bytes([vnet[4], vnet[5]]) },
        };
        status.store(0, Ordering::Release);
        self.next = (self.next + 1) % FRAMES;
        Some(buffer)
    }

    /// How many buffers the ring had no room for, since the last time.
    pub(super) fn missed(&self) -> u64 {
        let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut length = length_of(&statistics);
        // SAFETY: the buffer is of the length that is given, and lives until the call returns.
        let got = unsafe {
            libc::getsockopt(
                self.descriptor.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut length,
            )
        };
        checked("getsockopt", got);
        statistics.tp_drops.into()
    }

    pub(super) fn waiter(&self) -> Waiter {
        Waiter(self.descriptor.as_raw_fd())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and nothing that refers to it is left.
        unsafe { libc::munmap(self.ring.as_ptr(), RING) };
    }
}

impl Waiter {
    /// Waits for a moment at most.
    pub(super) fn wait(&self) {
        let mut poll = libc::pollfd { fd: self.0, events: libc::POLLIN, revents: 0 };
        // SAFETY: one element, which lives until the call returns. What there is is looked at by reading.
        unsafe { libc::poll(&raw mut poll, 1, 20) };
    }
}
