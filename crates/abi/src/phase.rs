//! Connection tracking: how far a flow has come, and for how long it may then be idle.

/// How far the connection has come that a flow is one direction of. The number is its place in
/// [`EniSlot::idle`](crate::EniSlot::idle).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Phase {
    /// TCP before both sides were seen established.
    Opening = 0,
    /// TCP, established.
    Established = 1,
    /// TCP after a reset, or after both sides have finished.
    Closing = 2,
    /// UDP, not answered.
    Udp = 3,
    /// UDP, answered once.
    UdpAnswered = 4,
    /// UDP, asked again after an answer.
    UdpAskedAgain = 5,
    /// UDP with more than one request and response.
    UdpStream = 6,
    /// Any other protocol.
    Other = 7,
}

impl Phase {
    /// How many there are.
    pub const COUNT: usize = 8;
    /// All, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Opening,
        Self::Established,
        Self::Closing,
        Self::Udp,
        Self::UdpAnswered,
        Self::UdpAskedAgain,
        Self::UdpStream,
        Self::Other,
    ];
}
