//! Who forwards packets between ENIs of this host.

use enid_datapath::Forwarding;

use crate::config::ForwardingMode;
use crate::kernel::Version;

/// `bpf_redirect_peer`, which takes a packet straight into another namespace (kernel commit 9aa1206e8f48).
const REDIRECT_PEER: Version = Version(5, 10);
/// Since here the receiver's interface counts such packets (kernel commit 024ee930cb3c).
const REDIRECT_PEER_COUNTED: Version = Version(6, 7);

/// The mode in force, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) forwarding: Forwarding,
    pub(crate) why: String,
    /// Whether that is what the host would be better without.
    pub(crate) is_second_best: bool,
}

/// What to do on a kernel of this release.
pub(crate) fn choose(mode: ForwardingMode, release: &str) -> Choice {
    let since = |version| Version::of(release).is_some_and(|own| own >= version);
    let choice = |forwarding, is_second_best, why: &str| Choice {
        forwarding,
        why: format!("{}: {why}", name(forwarding)),
        is_second_best,
    };
    match mode {
        ForwardingMode::Direct => choice(
            Forwarding::Direct,
            !since(REDIRECT_PEER_COUNTED),
            if since(REDIRECT_PEER_COUNTED) {
                "as the configuration says"
            } else {
                "as the configuration says, though before 6.7 the interface counters of tasks miss what they receive so"
            },
        ),
        ForwardingMode::Kernel => choice(Forwarding::Kernel, false, "as the configuration says"),
        ForwardingMode::Auto if since(REDIRECT_PEER_COUNTED) => choice(
            Forwarding::Direct,
            false,
            "the kernel takes packets straight from ENI to ENI and counts them",
        ),
        ForwardingMode::Auto if since(REDIRECT_PEER) => choice(
            Forwarding::Kernel,
            true,
            &format!("{release} does not count what it takes straight from ENI to ENI: 6.7 does"),
        ),
        ForwardingMode::Auto => choice(
            Forwarding::Kernel,
            true,
            &format!("{release} can't take packets straight from ENI to ENI: 6.7 can, and counts them"),
        ),
    }
}

const fn name(forwarding: Forwarding) -> &'static str {
    match forwarding {
        Forwarding::Direct => "direct",
        Forwarding::Kernel => "kernel",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_direct_where_packets_are_counted() {
        for (release, forwarding) in [
            ("5.4.0-1-amd64", Forwarding::Kernel),
            ("5.15.0", Forwarding::Kernel),
            ("6.6.12", Forwarding::Kernel),
            ("6.7.0", Forwarding::Direct),
            ("6.18.44-fc", Forwarding::Direct),
            ("strange", Forwarding::Kernel),
        ] {
            assert_eq!(choose(ForwardingMode::Auto, release).forwarding, forwarding, "{release}");
        }
    }

    #[test]
    fn what_is_configured_is_done_and_said() {
        let direct = choose(ForwardingMode::Direct, "6.1.0");
        assert_eq!((direct.forwarding, direct.is_second_best), (Forwarding::Direct, true));
        let kernel = choose(ForwardingMode::Kernel, "6.18.0");
        assert_eq!((kernel.forwarding, kernel.is_second_best), (Forwarding::Kernel, false));
        assert_eq!(kernel.why, "kernel: as the configuration says");
    }
}
