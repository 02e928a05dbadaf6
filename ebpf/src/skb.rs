//! The socket buffer as the verifier lets a program see it.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{__sk_buff, bpf_sock};
use aya_ebpf::programs::TcContext;

/// A socket buffer. Reading a field is one load.
#[derive(Clone, Copy)]
pub struct Skb(*mut __sk_buff);

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name(self) -> u32 {
            // SAFETY: the context is valid for as long as the program runs.
            unsafe { (*self.0).$name }
        }
    )+};
}

impl Skb {
    /// The buffer a program was called for.
    #[inline(always)]
    pub fn new(context: &TcContext) -> Self {
        Self(context.as_ptr().cast())
    }

    /// The buffer of a program that called the function.
    #[inline(always)]
    pub fn from_context(context: *mut __sk_buff) -> Self {
        Self(context)
    }

    /// For helpers.
    #[inline(always)]
    pub fn as_ptr(self) -> *mut __sk_buff {
        self.0
    }

    /// The socket that sent it; null where there is none.
    #[inline(always)]
    pub fn socket(self) -> *mut bpf_sock {
        // SAFETY: the context is valid for as long as the program runs; the union has one member.
        unsafe { (*self.0).__bindgen_anon_2.sk }
    }

    fields! {
        /// Bytes from the Ethernet header on, headers and data, wherever they are.
        len,
        /// The interface.
        ifindex,
        /// The interface that it was received on before; 0 if it was made here.
        ingress_ifindex,
        /// Whom its destination MAC is: 0 of the interface that it was received on.
        pkt_type,
        /// Whether an IEEE 802.1Q tag was taken off the frame.
        vlan_present,
        /// Payload bytes of each segment; 0 where the buffer is one packet.
        gso_size,
        /// Segments; may be 0 although `gso_size` is not.
        gso_segs,
        /// Where the linear part begins.
        data,
        /// Where it ends.
        data_end,
    }
}
