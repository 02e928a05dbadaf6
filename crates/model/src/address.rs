//! Which addresses of a subnet an ENI may have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Ipv4Cidr, Ipv6Cidr, Subnet};

/// How many addresses at the start of a subnet are reserved: network, router, resolver, future use.
pub const RESERVED_AT_START: u8 = 4;
/// How many addresses at the end of a subnet are reserved: broadcast.
pub const RESERVED_AT_END: u8 = 1;

/// Why an ENI can't have an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefusal {
    /// The subnet has no block of the address's family.
    #[error("the subnet has no {0} block")]
    NoFamily(&'static str),
    /// The address is outside the subnet.
    #[error("it is outside the subnet's block {0}/{1}")]
    Foreign(IpAddr, u8),
    /// The address is one of the first four or the last.
    #[error("it is reserved: the first four addresses and the last of a subnet are")]
    Reserved,
}

impl Subnet {
    /// Whether an ENI of this subnet may have the address, taken or not.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check_address(&self, address: IpAddr) -> Result<(), AddressRefusal> {
        match address {
            IpAddr::V4(address) => {
                let cidr = self.ipv4_cidr.ok_or(AddressRefusal::NoFamily("IPv4"))?;
                check_ipv4(cidr, address)
            }
            IpAddr::V6(address) => {
                let cidr = self.ipv6_cidr.ok_or(AddressRefusal::NoFamily("IPv6"))?;
                check_ipv6(cidr, address)
            }
        }
    }
}

fn check_ipv4(cidr: Ipv4Cidr, address: Ipv4Addr) -> Result<(), AddressRefusal> {
    if !cidr.contains(address) {
        return Err(AddressRefusal::Foreign(cidr.network().into(), cidr.prefix()));
    }
    let from_start = u32::from(address) - u32::from(cidr.network());
    let from_end = u32::from(cidr.last()) - u32::from(address);
    if from_start < RESERVED_AT_START.into() || from_end < RESERVED_AT_END.into() {
        return Err(AddressRefusal::Reserved);
    }
    Ok(())
}

fn check_ipv6(cidr: Ipv6Cidr, address: Ipv6Addr) -> Result<(), AddressRefusal> {
    if !cidr.contains(address) {
        return Err(AddressRefusal::Foreign(cidr.network().into(), cidr.prefix()));
    }
    let from_start = u128::from(address) - u128::from(cidr.network());
    let from_end = u128::from(cidr.last()) - u128::from(address);
    if from_start < RESERVED_AT_START.into() || from_end < RESERVED_AT_END.into() {
        return Err(AddressRefusal::Reserved);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SubnetId;

    fn subnet(ipv4: Option<&str>, ipv6: Option<&str>) -> Subnet {
        Subnet {
            id: SubnetId::random(),
            name: "a".parse().unwrap(),
            zone: "a".parse().unwrap(),
            ipv4_cidr: ipv4.map(|text| text.parse().unwrap()),
            ipv6_cidr: ipv6.map(|text| text.parse().unwrap()),
        }
    }

    #[test]
    fn the_first_four_and_the_last_are_reserved() {
        let subnet = subnet(Some("10.0.0.0/28"), Some("fd00::/64"));
        let refused: Vec<u8> =
            (0..16).filter(|last| subnet.check_address([10, 0, 0, *last].into()).is_err()).collect();
        assert_eq!(refused, [0, 1, 2, 3, 15]);
        assert_eq!(subnet.check_address("fd00::3".parse().unwrap()), Err(AddressRefusal::Reserved));
        assert_eq!(subnet.check_address("fd00::4".parse().unwrap()), Ok(()));
        assert_eq!(
            subnet.check_address("fd00::ffff:ffff:ffff:ffff".parse().unwrap()),
            Err(AddressRefusal::Reserved)
        );
    }

    #[test]
    fn foreign_addresses_and_families_are_named() {
        let subnet = subnet(Some("10.0.0.0/28"), None);
        let error = subnet.check_address([10, 0, 1, 5].into()).unwrap_err();
        assert_eq!(error.to_string(), "it is outside the subnet's block 10.0.0.0/28");
        let error = subnet.check_address("fd00::4".parse().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "the subnet has no IPv6 block");
    }
}
