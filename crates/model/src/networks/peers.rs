//! Looking up whom rules are for.

use crate::{Name, Peer, PeerSpec, Rule, RuleSpec, Vpc};

use super::{LookupError, Refusal};

/// Whose rules are looked up, for messages, and where.
pub(super) struct RuleContext<'a> {
    /// "security-group web of vpc default".
    pub(super) object: &'a str,
    /// "ingress" or "egress".
    pub(super) direction: &'static str,
    /// The VPC of the rules and of their peers.
    pub(super) vpc: &'a Vpc,
    /// The host's other VPCs, to tell a peer that is one of theirs.
    pub(super) others: &'a [Vpc],
}

impl RuleContext<'_> {
    /// The rule with its peer by identifier.
    pub(super) fn resolve(&self, spec: &RuleSpec) -> Result<Rule, Refusal> {
        let peer = match &spec.peer {
            PeerSpec::Cidr(cidr) => Peer::from(*cidr),
            PeerSpec::SecurityGroup(name) => {
                let id = |vpc: &Vpc| Ok(vpc.security_group(name.as_str())?.id);
                Peer::SecurityGroup(self.find(spec, "security group", name, id)?)
            }
            PeerSpec::PrefixList(name) => {
                let id = |vpc: &Vpc| Ok(vpc.prefix_list(name.as_str())?.id);
                Peer::PrefixList(self.find(spec, "prefix list", name, id)?)
            }
        };
        Ok(Rule { protocol: spec.protocol, ports: spec.ports, icmp: spec.icmp, peer })
    }

    fn find<Id>(
        &self,
        spec: &RuleSpec,
        kind: &'static str,
        name: &Name,
        id: impl Fn(&Vpc) -> Result<Id, LookupError>,
    ) -> Result<Id, Refusal> {
        id(self.vpc).map_err(|_| Refusal::UnknownPeer {
            rule: format!("{}: {} rule {spec}", self.object, self.direction),
            kind,
            peer: name.clone(),
            vpc: self.vpc.name.clone(),
            other_vpc: self.others.iter().find(|vpc| id(vpc).is_ok()).map(|vpc| vpc.name.clone()),
        })
    }
}
