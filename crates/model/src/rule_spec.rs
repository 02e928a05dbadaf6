//! Rules as people write them: their peers by name, the whole in one short text.

use std::fmt;
use std::str::FromStr;

use crate::{Cidr, IcmpSelector, ModelError, Name, Peer, PortRange, Protocol, Rule, Vpc};

/// A rule whose peer is not looked up yet. Its short form is what commands take and show:
///
/// | protocol | form | examples |
/// |---|---|---|
/// | tcp, udp | `PROTOCOL:PORTS:PEER` | `tcp:443:10.0.0.0/16`, `udp:8000-8080:sg=web`, `tcp:all:pl=corporate` |
/// | icmp, icmpv6 | `PROTOCOL:TYPE[/CODE]:PEER` | `icmp:8/0:0.0.0.0/0`, `icmpv6:packet-too-big:::/0`, `icmp:all:sg=web` |
/// | all and others | `PROTOCOL:PEER` | `all:sg=web`, `esp:10.0.0.0/16`, `47:fd00::/8` |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSpec {
    /// The protocols it is for.
    pub protocol: Protocol,
    /// The destination ports, for TCP and UDP; all of them where absent.
    pub ports: Option<PortRange>,
    /// The messages, for ICMP and ICMPv6; all of them where absent.
    pub icmp: Option<IcmpSelector>,
    /// The other side.
    pub peer: PeerSpec,
}

/// The other side of a rule that is not looked up yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerSpec {
    /// Addresses of a block.
    Cidr(Cidr),
    /// The members of a group of the same VPC, by name or identifier.
    SecurityGroup(Name),
    /// The addresses of a prefix list of the same VPC, by name or identifier.
    PrefixList(Name),
}

impl RuleSpec {
    /// Every protocol, to or from this peer.
    pub(crate) fn all(peer: PeerSpec) -> Self {
        Self { protocol: Protocol::All, ports: None, icmp: None, peer }
    }
}

/// What stands in the place of ports, types and codes where a rule is for all of them.
const ALL: &str = "all";
const SECURITY_GROUP: &str = "sg=";
const PREFIX_LIST: &str = "pl=";

impl fmt::Display for RuleSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_short(f, self.protocol, self.ports, self.icmp, &self.peer)
    }
}

fn write_short(
    f: &mut impl fmt::Write,
    protocol: Protocol,
    ports: Option<PortRange>,
    icmp: Option<IcmpSelector>,
    peer: &impl fmt::Display,
) -> fmt::Result {
    write!(f, "{protocol}:")?;
    match (ports, icmp) {
        (Some(ports), _) => write!(f, "{ports}:")?,
        (None, Some(icmp)) => write!(f, "{icmp}:")?,
        (None, None) if protocol.has_ports() || protocol.is_icmp() => write!(f, "{ALL}:")?,
        (None, None) => {}
    }
    write!(f, "{peer}")
}

impl Vpc {
    /// The short form of a rule of the VPC's, its peer by name.
    pub fn rule_text(&self, rule: &Rule) -> String {
        let by_name = |key, name: Option<&Name>| {
            let unnamed = || rule.peer.to_string();
            format!("{key}{}", name.map_or_else(unnamed, Name::to_string))
        };
        let peer = match rule.peer {
            Peer::Ipv4(_) | Peer::Ipv6(_) => rule.peer.to_string(),
            Peer::SecurityGroup(id) => {
                by_name(SECURITY_GROUP, self.security_group_by_id(id).map(|group| &group.name))
            }
            Peer::PrefixList(id) => by_name(PREFIX_LIST, self.prefix_list_by_id(id).map(|list| &list.name)),
        };
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = write_short(&mut text, rule.protocol, rule.ports, rule.icmp, &peer);
        text
    }
}

impl fmt::Display for PeerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cidr(cidr) => cidr.fmt(f),
            Self::SecurityGroup(group) => write!(f, "{SECURITY_GROUP}{group}"),
            Self::PrefixList(list) => write!(f, "{PREFIX_LIST}{list}"),
        }
    }
}

impl FromStr for RuleSpec {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        parse(text).map_err(|reason| ModelError::malformed("a rule", text, reason))
    }
}

fn parse(text: &str) -> Result<RuleSpec, String> {
    let Some((protocol, rest)) = text.split_once(':') else {
        return Err(
            "expected the form `tcp:443:10.0.0.0/16`, `icmp:8/0:0.0.0.0/0` or `all:sg=web`".to_owned()
        );
    };
    let protocol: Protocol = protocol.parse().map_err(|error: ModelError| error.to_string())?;
    if !protocol.has_ports() && !protocol.is_icmp() {
        let peer = parse_peer(rest).map_err(|error| {
            if misplaced(rest) { format!("{NEITHER}: the form is `{protocol}:PEER`") } else { error }
        })?;
        return Ok(RuleSpec { protocol, ports: None, icmp: None, peer });
    }
    // The peer is last, and may have colons itself: what is before it is never left out.
    let (selector, peer) = rest.split_once(':').ok_or_else(|| form(protocol).to_owned())?;
    let (mut ports, mut icmp) = (None, None);
    let with_form = |error: ModelError| format!("{error}; {}", form(protocol));
    if selector == ALL {
        // Nothing to tell apart.
    } else if protocol.has_ports() {
        ports = Some(selector.parse().map_err(with_form)?);
    } else {
        icmp = Some(IcmpSelector::parse(protocol, selector).map_err(with_form)?);
    }
    let peer = parse_peer(peer)?;
    if let PeerSpec::Cidr(cidr) = peer
        && let Some(reason) = never_matches(protocol, cidr)
    {
        return Err(reason);
    }
    Ok(RuleSpec { protocol, ports, icmp, peer })
}

/// Why no packet is of this protocol and from or to this block, if none is.
pub(crate) fn never_matches(protocol: Protocol, cidr: Cidr) -> Option<String> {
    let (other, family) = match (protocol, cidr) {
        (Protocol::ICMP, Cidr::Ipv6(_)) => (Protocol::ICMPV6, "IPv6"),
        (Protocol::ICMPV6, Cidr::Ipv4(_)) => (Protocol::ICMP, "IPv4"),
        _ => return None,
    };
    Some(format!("no {protocol} has an address of `{cidr}`: of {family} it is {other}"))
}

const NEITHER: &str = "only rules for tcp and udp have ports, only those for icmp and icmpv6 have types";

fn form(protocol: Protocol) -> &'static str {
    if protocol.has_ports() {
        "the form is PROTOCOL:PORTS:PEER, as `tcp:443:10.0.0.0/16` or `udp:all:sg=web`"
    } else {
        "the form is PROTOCOL:TYPE/CODE:PEER, as `icmp:8/0:10.0.0.0/16` or `icmpv6:all:sg=web`"
    }
}

/// Whether what should be a peer is one behind something like ports or a type.
fn misplaced(text: &str) -> bool {
    text.split_once(':').is_some_and(|(_, peer)| parse_peer(peer).is_ok())
}

fn parse_peer(text: &str) -> Result<PeerSpec, String> {
    let peer = if let Some(group) = text.strip_prefix(SECURITY_GROUP) {
        group.parse().map(PeerSpec::SecurityGroup)
    } else if let Some(list) = text.strip_prefix(PREFIX_LIST) {
        list.parse().map(PeerSpec::PrefixList)
    } else if text.contains('/') {
        text.parse().map(PeerSpec::Cidr)
    } else {
        return Err(format!(
            "`{text}` is not a peer: expected a CIDR, `{SECURITY_GROUP}GROUP` or `{PREFIX_LIST}LIST`"
        ));
    };
    peer.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network_file::samples;

    #[test]
    fn the_short_form_reads_back() {
        for text in [
            "all:sg=web",
            "all:::/0",
            "all:0.0.0.0/0",
            "tcp:443:10.0.0.0/16",
            "tcp:53:fd00::/32",
            "tcp:all:fd00::/8",
            "udp:8000-8080:pl=corporate",
            "icmp:8/0:0.0.0.0/0",
            "icmp:all:sg=sg-00000000000000000",
            "icmpv6:2:::/0",
            "esp:10.0.0.0/16",
            "200:53:fd00::/32",
            "sctp:pl=pl-00000000000000000",
        ] {
            // Short forms of the wrong protocol may look like an address: 53:fd00::/32.
            let rule: RuleSpec = text.parse().unwrap();
            assert_eq!(rule.to_string(), text);
        }
    }

    #[test]
    fn what_is_written_otherwise_means_the_same() {
        for (text, same) in [
            ("6:443:10.0.0.0/8", "tcp:443:10.0.0.0/8"),
            ("-1:sg=web", "all:sg=web"),
            ("tcp:443-443:sg=web", "tcp:443:sg=web"),
            ("icmp:echo-request:sg=web", "icmp:8:sg=web"),
            ("icmpv6:packet-too-big/0:::/0", "icmpv6:2/0:::/0"),
        ] {
            assert_eq!(text.parse::<RuleSpec>().unwrap().to_string(), same);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let ports = "the form is PROTOCOL:PORTS:PEER, as `tcp:443:10.0.0.0/16` or `udp:all:sg=web`";
        let types = "the form is PROTOCOL:TYPE/CODE:PEER, as `icmp:8/0:10.0.0.0/16` or `icmpv6:all:sg=web`";
        let neither =
            "only rules for tcp and udp have ports, only those for icmp and icmpv6 have types: the form is";
        for (text, reason) in [
            ("", "expected the form `tcp:443:10.0.0.0/16`, `icmp:8/0:0.0.0.0/0` or `all:sg=web`".to_owned()),
            ("tcp:10.0.0.0/16", ports.to_owned()),
            ("tcp:sg=web", ports.to_owned()),
            ("icmp:sg=web", types.to_owned()),
            ("tcp:90-80:sg=web", format!("`90-80` is not a port range: the range is upside down; {ports}")),
            (
                "udp:65536:sg=web",
                format!("`65536` is not a port range: expected `443` or `8000-8080`, 0 to 65535; {ports}"),
            ),
            (
                "icmp:8/256:sg=web",
                format!(
                    "`256` is not an ICMP code: expected a number from 0 to 255; leave it out for all; {types}"
                ),
            ),
            ("all:443:10.0.0.0/8", format!("{neither} `all:PEER`")),
            ("esp:8/0:sg=web", format!("{neither} `esp:PEER`")),
            ("tcp:443:web", "`web` is not a peer: expected a CIDR, `sg=GROUP` or `pl=LIST`".to_owned()),
            (
                "tcp:443:10.0.0.1",
                "`10.0.0.1` is not a peer: expected a CIDR, `sg=GROUP` or `pl=LIST`".to_owned(),
            ),
            (
                "tcp:443:10.0.0.1/8",
                "`10.0.0.1/8` is not an IPv4 CIDR: bits are set after the prefix; 10.0.0.0/8 is the block"
                    .to_owned(),
            ),
            ("icmp:8/0:::/0", "no icmp has an address of `::/0`: of IPv6 it is icmpv6".to_owned()),
            ("58:all:10.0.0.0/8", "no icmpv6 has an address of `10.0.0.0/8`: of IPv4 it is icmp".to_owned()),
            ("all:sg=", "`` is not a name: expected 1 to 63 characters".to_owned()),
            ("all:", "`` is not a peer: expected a CIDR, `sg=GROUP` or `pl=LIST`".to_owned()),
        ] {
            let expected = format!("`{text}` is not a rule: {reason}");
            assert_eq!(text.parse::<RuleSpec>().unwrap_err().to_string(), expected);
        }
        let error = "tpc:443:::/0".parse::<RuleSpec>().unwrap_err().to_string();
        assert!(error.starts_with("`tpc:443:::/0` is not a rule: `tpc` is not a protocol"), "{error}");
    }

    proptest! {
        #[test]
        fn every_rule_reads_back(rule in samples::rule(samples::names(), samples::names())) {
            prop_assert_eq!(rule.to_string().parse(), Ok(rule));
        }

        #[test]
        fn no_text_is_taken_for_another_rule(
            pieces in proptest::collection::vec(samples::rule_piece(), 0..6),
        ) {
            let text = pieces.concat();
            if let Ok(rule) = text.parse::<RuleSpec>() {
                prop_assert_eq!(rule.to_string().parse(), Ok(rule));
            }
        }
    }
}
