//! Rules as a person reads them: no compiling, no ordering, no masks, no bits.

use std::net::IpAddr;

use enid_abi::Direction;
use enid_model::{Peer, PrefixList, Protocol, Rule, SecurityGroup, SecurityGroupId};

use crate::policy::PolicyQuestion;

/// Everything that is declared, and who is a member of what.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) groups: Vec<SecurityGroup>,
    pub(super) lists: Vec<PrefixList>,
    pub(super) members: Vec<(SecurityGroupId, IpAddr)>,
}

impl World {
    /// The rules of a direction, of all of these groups that there are.
    fn rules<'w>(
        &'w self,
        groups: &'w [SecurityGroupId],
        direction: Direction,
    ) -> impl Iterator<Item = &'w Rule> {
        let groups = self.groups.iter().filter(|group| groups.contains(&group.id));
        groups.flat_map(move |group| rules_of(group, direction))
    }

    pub(super) fn rule(&self, group: SecurityGroupId, direction: Direction, index: usize) -> &Rule {
        let group = self.groups.iter().find(|one| one.id == group).unwrap();
        &rules_of(group, direction)[index]
    }

    pub(super) fn is_allowed(&self, groups: &[SecurityGroupId], packet: &PolicyQuestion) -> bool {
        self.rules(groups, packet.direction).any(|rule| self.is_for(rule, packet))
    }

    /// A rule lets it through from or to everywhere, and another lets the answer through wherever it goes, whatever
    /// its ports: TCP and UDP only.
    pub(super) fn is_untracked(&self, groups: &[SecurityGroupId], packet: &PolicyQuestion) -> bool {
        let protocol = Protocol::Number(packet.protocol);
        let is_everywhere = |rule: &Rule| match rule.peer {
            Peer::Ipv4(block) => packet.peer.is_ipv4() && block.prefix() == 0,
            Peer::Ipv6(block) => packet.peer.is_ipv6() && block.prefix() == 0,
            _ => false,
        };
        let has_all_ports =
            |rule: &Rule| rule.ports.is_none_or(|ports| ports.first() == 0 && ports.last() == 65_535);
        let is_for_protocol = |rule: &Rule| rule.protocol == Protocol::All || rule.protocol == protocol;
        (protocol == Protocol::TCP || protocol == Protocol::UDP)
            && self
                .rules(groups, packet.direction)
                .any(|rule| is_everywhere(rule) && self.is_for(rule, packet))
            && self
                .rules(groups, packet.direction.reverse())
                .any(|rule| is_everywhere(rule) && has_all_ports(rule) && is_for_protocol(rule))
    }

    pub(super) fn is_for(&self, rule: &Rule, packet: &PolicyQuestion) -> bool {
        let protocol = match rule.protocol {
            Protocol::All => true,
            Protocol::Number(number) => number == packet.protocol,
        };
        let ports = match (rule.ports, packet.selector) {
            (None, _) => true,
            (Some(ports), Some(port)) => port >= ports.first() && port <= ports.last(),
            // Nobody knows the ports: only a rule for all of them is for it.
            (Some(ports), None) => ports.first() == 0 && ports.last() == u16::MAX,
        };
        let icmp = match (rule.icmp, packet.selector) {
            (None, _) => true,
            (Some(icmp), Some(selector)) => {
                let [kind, code] = selector.to_be_bytes();
                kind == icmp.icmp_type && icmp.code.is_none_or(|wanted| wanted == code)
            }
            (Some(_), None) => false,
        };
        protocol && ports && icmp && self.is_peer(&rule.peer, packet.peer)
    }

    fn is_peer(&self, peer: &Peer, address: IpAddr) -> bool {
        match (peer, address) {
            (Peer::Ipv4(block), IpAddr::V4(address)) => block.contains(address),
            (Peer::Ipv6(block), IpAddr::V6(address)) => block.contains(address),
            (Peer::Ipv4(_) | Peer::Ipv6(_), _) => false,
            (Peer::SecurityGroup(id), _) => {
                self.members.iter().any(|(group, member)| group == id && *member == address)
            }
            (Peer::PrefixList(id), _) => {
                let mut lists = self.lists.iter().filter(|list| list.id == *id);
                lists.any(|list| list.entries.iter().any(|block| block.contains(address)))
            }
        }
    }
}

fn rules_of(group: &SecurityGroup, direction: Direction) -> &[Rule] {
    match direction {
        Direction::Egress => &group.egress,
        Direction::Ingress => &group.ingress,
    }
}
