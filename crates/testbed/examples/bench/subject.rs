//! What is measured: two namespaces and a way between them.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use enid_testbed::floor;

use crate::cni::Cni;
use crate::host::{folder, new_host, run};
use crate::traffic::{End, Pair, inside};

/// A way between two namespaces.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) pair: Pair,
    /// What must stay for the way to stay.
    pub(crate) _host: Option<OwnedFd>,
}

/// Which addresses are used, and how large packets may be.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) ipv6: bool,
    pub(crate) mtu: u32,
}

impl Kind {
    /// The one of its family.
    pub(crate) fn address(self, addresses: impl IntoIterator<Item = IpAddr>) -> Result<IpAddr> {
        addresses
            .into_iter()
            .find(|address| address.is_ipv6() == self.ipv6)
            .context("no address of the family")
    }
}

/// A namespace without interfaces, bound to `path`, with `lo` up as in a task.
pub(crate) fn empty(path: &Path) -> Result<OwnedFd> {
    let path = path.to_owned();
    let made = thread::spawn(move || -> Result<OwnedFd> {
        let namespace = floor::make_namespace(&path)?;
        run("ip link set lo up")?;
        Ok(namespace)
    });
    made.join().unwrap_or_else(|_| Err(anyhow!("the thread that makes a namespace ended early")))
}

/// A veth straight from one namespace into the other, no host in between.
pub(crate) fn veth(work: &Path, name: &str, kind: Kind) -> Result<Subject> {
    let folder = folder(work, &format!("{name}-{}", kind.mtu))?;
    let paths = [folder.join("client"), folder.join("server")];
    let ends = [empty(&paths[0])?, empty(&paths[1])?];
    let mtu = kind.mtu;
    inside(&ends[0], || {
        let there = paths[1].display();
        run(&format!("ip link add eth0 mtu {mtu} type veth peer name eth0 mtu {mtu} netns {there}"))
    })?;
    let [client, server] = ends;
    let client = addressed(client, "10.0.0.1/24", "fd00::1/64", kind)?;
    let server = addressed(server, "10.0.0.2/24", "fd00::2/64", kind)?;
    Ok(Subject { name: "veth", pair: Pair { client, server }, _host: None })
}

/// Brings `eth0` up with an address of each family.
pub(crate) fn addressed(namespace: OwnedFd, ipv4: &str, ipv6: &str, kind: Kind) -> Result<End> {
    inside(&namespace, || {
        run("ip link set eth0 up")?;
        run(&format!("ip address add {ipv4} dev eth0"))?;
        run(&format!("ip address add {ipv6} dev eth0 nodad"))
    })?;
    let addresses = [ipv4, ipv6].map(|block| block.split('/').next().unwrap_or_default().parse());
    Ok(End { namespace, address: kind.address(addresses.into_iter().flatten())? })
}

/// Two tasks of a CNI plugin, in a host namespace with a masquerading ruleset.
pub(crate) fn plugin(work: &Path, name: &'static str, kind: Kind) -> Result<Subject> {
    let host = new_host()?;
    let folder = folder(work, &format!("{name}-{}", kind.mtu))?;
    let plugin = Cni::new(name, &folder, &["10.8.0.0/24", "fd08::/64"], kind.mtu);
    inside(&host, || {
        run("ip link set lo up")?;
        // ptp leaves this to whoever configures the host.
        run("sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")?;
        run(&format!("nft {MASQUERADE}"))
    })?;
    let end = |task| {
        let namespace = empty(&plugin.netns(task))?;
        let addresses = inside(&host, || plugin.add(task))?;
        anyhow::Ok(End { namespace, address: kind.address(addresses)? })
    };
    let pair = Pair { client: end(0)?, server: end(1)? };
    Ok(Subject { name, pair, _host: Some(host) })
}

/// As hosts of containers have it: what is allowed goes through connection tracking, and what leaves is masqueraded.
const MASQUERADE: &str = "table inet host { \
    chain forward { type filter hook forward priority filter; policy drop; \
        ct state established,related accept; \
        ip saddr 10.8.0.0/24 accept; ip6 saddr fd08::/64 accept; }; \
    chain postrouting { type nat hook postrouting priority srcnat; \
        ip saddr 10.8.0.0/24 ip daddr != 10.8.0.0/24 masquerade; \
        ip6 saddr fd08::/64 ip6 daddr != fd08::/64 masquerade; }; }";
