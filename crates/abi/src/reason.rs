//! Why packets are refused.

/// Why a packet was refused. The number is its place in [`Ledger::refused`](crate::Ledger::refused); 0 is for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// No rule of the ENI's security groups allows it in its direction, nor is it part of a tracked flow.
    NoRule = 1,
    /// Its source address, MAC or IP, is not the ENI's.
    SpoofedSource = 2,
    /// The VPC has no route to its destination, or its frame is for another MAC than the router's.
    NoRoute = 3,
    /// No rule allows it, and the flow that it may answer had no room in the flow table.
    TableFull = 4,
    /// No rule allows it, and the connection that it was part of is closed, or was idle for too long.
    ClosedConnection = 5,
    /// It is for the VPC router itself, which answers nothing but ICMP echo.
    Router = 6,
    /// It plays a part that is the VPC's: a DHCP server's.
    Impersonation = 7,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::NoRule,
        Self::SpoofedSource,
        Self::NoRoute,
        Self::TableFull,
        Self::ClosedConnection,
        Self::Router,
        Self::Impersonation,
    ];
    /// Places for counts by reason: a power of two, so that programs can mask; place 0 is of none.
    pub const PLACES: usize = 8;

    /// The name as records and counters show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoRule => "no-rule",
            Self::SpoofedSource => "spoofed-source",
            Self::NoRoute => "no-route",
            Self::TableFull => "table-full",
            Self::ClosedConnection => "closed-connection",
            Self::Router => "router",
            Self::Impersonation => "impersonation",
        }
    }

    /// The reason with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place + 1);
            assert!((reason as usize) < Reason::PLACES);
            assert_eq!(Reason::from_number(reason as u8), Some(reason));
        }
        assert_eq!(Reason::from_number(0), None);
    }
}
