//! Reading headers out of a socket buffer.

use core::arch::asm;
use core::mem::MaybeUninit;

use aya_ebpf::helpers::bpf_skb_load_bytes;

use crate::packet::Stop;
use crate::skb::Skb;

/// Where headers are read from.
pub trait Bytes {
    /// Whether to read what is rare as well. Where not, the answer to it is [`Stop::Rare`].
    const THOROUGH: bool;

    /// A header of so many bytes that is known to be there.
    type Header<const SIZE: usize>: Header;

    /// Finds the header that begins so many bytes into the frame.
    fn header<const SIZE: usize>(&self, offset: u32) -> Result<Self::Header<SIZE>, Stop>;
}

/// Says that the thorough way has to be taken for what follows, unless this is it.
#[inline(always)]
pub fn rare_for<B: Bytes>(_: &B) -> Result<(), Stop> {
    if B::THOROUGH { Ok(()) } else { Err(Stop::Rare) }
}

/// A header, whose fields are read by their offset in it. All fields are in network order on the wire.
pub trait Header {
    /// A byte.
    fn octet<const AT: usize>(&self) -> u8;
    /// Two bytes as a number.
    fn short<const AT: usize>(&self) -> u16;
    /// Four bytes as they stand.
    fn word<const AT: usize>(&self) -> u32;
    /// Eight bytes as they stand.
    fn double<const AT: usize>(&self) -> u64;
}

/// The linear part of the buffer, read directly: the fast way, and enough for nearly every packet.
#[derive(Clone, Copy)]
pub struct Linear(Skb);

impl Linear {
    /// The linear part of a buffer.
    #[inline(always)]
    pub fn new(skb: Skb) -> Self {
        Self(skb)
    }
}

/// The address of a header in the packet, whose bounds were checked.
pub struct InPacket(usize);

impl Bytes for Linear {
    const THOROUGH: bool = false;

    type Header<const SIZE: usize> = InPacket;

    #[inline(always)]
    fn header<const SIZE: usize>(&self, offset: u32) -> Result<InPacket, Stop> {
        let start = self.0.data() as usize + offset as usize;
        if start + SIZE > self.0.data_end() as usize {
            // It may lie outside of the linear part, or not be there at all.
            return Err(Stop::Rare);
        }
        Ok(InPacket(start))
    }
}

/// A load of a field wherever it is aligned: the verifier allows that for packets (on machines that can), while the
/// compiler, told the alignment is 1, would load byte by byte.
macro_rules! field {
    ($size:literal, $at:ident, $address:expr) => {{
        let value: u64;
        // SAFETY: within the header, whose bounds were checked when it was found; the verifier holds us to it.
        unsafe {
            asm!(
                concat!("{value} = *(", $size, " *)({address} + {at})"),
                value = out(reg) value,
                address = in(reg) $address,
                at = const $at,
                options(pure, readonly, nostack),
            );
        }
        value
    }};
}

impl Header for InPacket {
    #[inline(always)]
    fn octet<const AT: usize>(&self) -> u8 {
        field!("u8", AT, self.0) as u8
    }

    #[inline(always)]
    fn short<const AT: usize>(&self) -> u16 {
        u16::from_be(field!("u16", AT, self.0) as u16)
    }

    #[inline(always)]
    fn word<const AT: usize>(&self) -> u32 {
        field!("u32", AT, self.0) as u32
    }

    #[inline(always)]
    fn double<const AT: usize>(&self) -> u64 {
        field!("u64", AT, self.0)
    }
}

/// The whole buffer, read by a helper, which finds bytes outside of the linear part too.
#[derive(Clone, Copy)]
pub struct Anywhere(Skb);

impl Anywhere {
    /// All of a buffer.
    #[inline(always)]
    pub fn new(skb: Skb) -> Self {
        Self(skb)
    }
}

/// A header that was copied out of the packet.
pub struct Copied<const SIZE: usize>([u8; SIZE]);

impl Bytes for Anywhere {
    const THOROUGH: bool = true;

    type Header<const SIZE: usize> = Copied<SIZE>;

    #[inline(always)]
    fn header<const SIZE: usize>(&self, offset: u32) -> Result<Copied<SIZE>, Stop> {
        let mut bytes = MaybeUninit::<[u8; SIZE]>::uninit();
        // SAFETY: the helper writes exactly these bytes, or fails.
        unsafe {
            match bpf_skb_load_bytes(self.0.as_ptr().cast(), offset, bytes.as_mut_ptr().cast(), SIZE as u32) {
                0 => Ok(Copied(bytes.assume_init())),
                _ => Err(Stop::Malformed),
            }
        }
    }
}

impl<const SIZE: usize> Copied<SIZE> {
    #[inline(always)]
    fn field<const AT: usize, const LENGTH: usize>(&self) -> [u8; LENGTH] {
        const { assert!(AT + LENGTH <= SIZE) };
        // SAFETY: the field is within the header.
        unsafe { self.0.as_ptr().add(AT).cast::<[u8; LENGTH]>().read() }
    }
}

impl<const SIZE: usize> Header for Copied<SIZE> {
    #[inline(always)]
    fn octet<const AT: usize>(&self) -> u8 {
        self.field::<AT, 1>()[0]
    }

    #[inline(always)]
    fn short<const AT: usize>(&self) -> u16 {
        u16::from_be_bytes(self.field::<AT, 2>())
    }

    #[inline(always)]
    fn word<const AT: usize>(&self) -> u32 {
        u32::from_ne_bytes(self.field::<AT, 4>())
    }

    #[inline(always)]
    fn double<const AT: usize>(&self) -> u64 {
        u64::from_ne_bytes(self.field::<AT, 8>())
    }
}

/// Copies a structure of integers out of the frame; none if that ends before.
#[inline(always)]
pub fn load<T: Copy>(skb: Skb, offset: u32) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes as many bytes as the structure has, or fails.
    unsafe {
        match bpf_skb_load_bytes(
            skb.as_ptr().cast(),
            offset,
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
        ) {
            0 => Some(value.assume_init()),
            _ => None,
        }
    }
}
