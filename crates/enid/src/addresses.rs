//! Which addresses are taken, by subnet.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enid_model::{EniAddresses, Ipv4Cidr, Ipv6Cidr, RESERVED_AT_END, RESERVED_AT_START, Subnet, SubnetId};

use crate::EnidError;

/// The taken addresses of every subnet.
#[derive(Debug, Default)]
pub(crate) struct AddressPool {
    subnets: HashMap<SubnetId, Taken>,
}

/// The taken addresses of one subnet.
#[derive(Debug, Default)]
struct Taken {
    ipv4: HashSet<Ipv4Addr>,
    ipv6: HashSet<Ipv6Addr>,
    /// Where in the subnet the search for a free address begins: after the last one given, so that an address rests
    /// for as long as the subnet allows before another ENI has it.
    next_ipv4: u32,
    next_ipv6: u128,
}

/// The addresses that a creator asks for; the subnet's choice where absent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WantedAddresses {
    pub(crate) ipv4: Option<Ipv4Addr>,
    pub(crate) ipv6: Option<Ipv6Addr>,
}

impl AddressPool {
    /// Takes an address of each family that the subnet has.
    pub(crate) fn take(
        &mut self,
        subnet: &Subnet,
        wanted: WantedAddresses,
    ) -> Result<EniAddresses, EnidError> {
        for address in wanted.ipv4.map(IpAddr::V4).into_iter().chain(wanted.ipv6.map(IpAddr::V6)) {
            let refused = |refusal| EnidError::Address { address, subnet: subnet.name.to_string(), refusal };
            subnet.check_address(address).map_err(refused)?;
        }
        let taken = self.subnets.entry(subnet.id).or_default();
        let is_taken = |address| EnidError::AddressTaken { address, subnet: subnet.name.to_string() };
        // Both are found before either is taken.
        let ipv4 = match (subnet.ipv4_cidr, wanted.ipv4) {
            (None, _) => None,
            (Some(_), Some(address)) if taken.ipv4.contains(&address) => {
                return Err(is_taken(address.into()));
            }
            (Some(_), Some(address)) => Some(address),
            (Some(cidr), None) => Some(taken.free_ipv4(cidr).ok_or_else(|| EnidError::SubnetFull {
                subnet: subnet.name.to_string(),
                capacity: usable_ipv4(cidr),
            })?),
        };
        let ipv6 = match (subnet.ipv6_cidr, wanted.ipv6) {
            (None, _) => None,
            (Some(_), Some(address)) if taken.ipv6.contains(&address) => {
                return Err(is_taken(address.into()));
            }
            (Some(_), Some(address)) => Some(address),
            (Some(cidr), None) => taken.free_ipv6(cidr),
        };
        taken.ipv4.extend(ipv4);
        taken.ipv6.extend(ipv6);
        Ok(EniAddresses { ipv4, ipv6 })
    }

    /// Takes the addresses of an ENI that is there already.
    pub(crate) fn restore(&mut self, subnet: SubnetId, addresses: EniAddresses) {
        let taken = self.subnets.entry(subnet).or_default();
        taken.ipv4.extend(addresses.ipv4);
        taken.ipv6.extend(addresses.ipv6);
    }

    /// Gives an ENI's addresses back. Those that are not taken are no error.
    pub(crate) fn release(&mut self, subnet: SubnetId, addresses: EniAddresses) {
        let Some(taken) = self.subnets.get_mut(&subnet) else { return };
        addresses.ipv4.map(|address| taken.ipv4.remove(&address));
        addresses.ipv6.map(|address| taken.ipv6.remove(&address));
    }

    /// How many IPv4 addresses of the subnet are free.
    pub(crate) fn available_ipv4(&self, subnet: &Subnet) -> Option<u32> {
        let taken = self.subnets.get(&subnet.id).map_or(0, |taken| taken.ipv4.len());
        Some(usable_ipv4(subnet.ipv4_cidr?).saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX)))
    }
}

impl Taken {
    fn free_ipv4(&mut self, cidr: Ipv4Cidr) -> Option<Ipv4Addr> {
        let usable = usable_ipv4(cidr);
        for step in 0..usable {
            let offset = (self.next_ipv4 + step) % usable;
            let address = cidr.nth(offset + u32::from(RESERVED_AT_START))?;
            if !self.ipv4.contains(&address) {
                self.next_ipv4 = offset + 1;
                return Some(address);
            }
        }
        None
    }

    /// A /64 has more addresses than a host could give out, so one is found within as many steps as are taken.
    fn free_ipv6(&mut self, cidr: Ipv6Cidr) -> Option<Ipv6Addr> {
        for _ in 0..=self.ipv6.len() {
            let address = cidr.nth(self.next_ipv6 + u128::from(RESERVED_AT_START))?;
            self.next_ipv6 += 1;
            if !self.ipv6.contains(&address) {
                return Some(address);
            }
        }
        None
    }
}

fn usable_ipv4(cidr: Ipv4Cidr) -> u32 {
    let size = u32::from(cidr.last()) - u32::from(cidr.network()) + 1;
    size - u32::from(RESERVED_AT_START) - u32::from(RESERVED_AT_END)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn gives_each_address_once_and_says_when_it_is_full() {
        let subnet = subnet(Some("10.0.0.0/28"), Some("fd00::/64"));
        let mut pool = AddressPool::default();
        let mut given = HashSet::new();
        for left in (0..11).rev() {
            let addresses = pool.take(&subnet, WantedAddresses::default()).unwrap();
            assert!(addresses.iter().all(|address| given.insert(address)));
            assert!(addresses.iter().all(|address| subnet.check_address(address).is_ok()));
            assert_eq!(pool.available_ipv4(&subnet), Some(left));
        }
        let error = pool.take(&subnet, WantedAddresses::default()).unwrap_err();
        assert!(error.to_string().starts_with("subnet a is full: all 11"), "{error}");
    }

    #[test]
    fn an_address_rests_before_it_is_given_again() {
        let subnet = subnet(Some("10.0.0.0/28"), None);
        let mut pool = AddressPool::default();
        let first = pool.take(&subnet, WantedAddresses::default()).unwrap();
        pool.release(subnet.id, first);
        for _ in 0..10 {
            let addresses = pool.take(&subnet, WantedAddresses::default()).unwrap();
            assert_ne!(addresses, first);
        }
        assert_eq!(pool.take(&subnet, WantedAddresses::default()).unwrap(), first);
    }

    #[test]
    fn a_refused_wish_takes_nothing() {
        let subnet = subnet(Some("10.0.0.0/28"), Some("fd00::/64"));
        let mut pool = AddressPool::default();
        let ipv4 = Some(Ipv4Addr::new(10, 0, 0, 9));
        let ipv6 = Some("fd00::9".parse().unwrap());
        pool.take(&subnet, WantedAddresses { ipv4, ipv6 }).unwrap();
        let error = pool.take(&subnet, WantedAddresses { ipv4, ipv6: None }).unwrap_err();
        assert!(error.to_string().starts_with("10.0.0.9 of subnet a is taken"), "{error}");
        let error = pool.take(&subnet, WantedAddresses { ipv4: None, ipv6 }).unwrap_err();
        assert!(error.to_string().starts_with("fd00::9 of subnet a is taken"), "{error}");
        assert_eq!(pool.available_ipv4(&subnet), Some(10));
    }
}
