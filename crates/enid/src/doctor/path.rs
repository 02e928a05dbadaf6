//! What the way out of a VPC carries, beside what its ENIs send.

use enid_model::{GsoMaxSizes, Uplink, Vpc};
use enid_store::TaskRecord;

use super::{Finding, Severity, finding};
use crate::way_out::WayOut;

/// Each way out of the host that carries less than an ENI of a VPC with an uplink was given.
pub(super) fn narrow_ways_out(vpc: &Vpc, tasks: &[TaskRecord], ways: &[WayOut]) -> Vec<Finding> {
    if vpc.uplink != Uplink::Nat {
        return Vec::new();
    }
    let mtus =
        tasks.iter().map(|record| &record.task.eni).filter(|eni| eni.vpc == vpc.id).map(|eni| eni.mtu.get());
    let narrow = |way: &WayOut| {
        let larger: Vec<u32> = mtus.clone().filter(|mtu| *mtu > way.mtu).collect();
        let most = larger.iter().max()?;
        let WayOut { device, mtu, .. } = way;
        let (count, verb) = match larger.len() {
            1 => ("1 ENI".to_owned(), "has"),
            count => (format!("{count} ENIs"), "have"),
        };
        let detail = format!(
            "{device} carries packets of {mtu} bytes, and {count} {verb} an MTU of up to {most}: the host refuses what is larger \
             with ICMP, and senders then keep to {mtu}, but a sender that does not get or heed ICMP hangs. Raise the MTU of \
             {device} if its network allows, or create tasks with a smaller one (`mtu` under [eni])"
        );
        Some(finding(format!("uplink of VPC {}", vpc.name), Severity::Warning, detail))
    };
    ways.iter().filter_map(narrow).collect()
}

/// How large the buffers are that ENIs of each VPC are given from now on.
pub(super) fn segmentation(vpcs: &[Vpc], of: impl Fn(&Vpc) -> GsoMaxSizes) -> Option<Finding> {
    let mut groups = Vec::<(GsoMaxSizes, Vec<&str>)>::new();
    for vpc in vpcs {
        let sizes = of(vpc);
        match groups.iter_mut().find(|(known, _)| *known == sizes) {
            Some((_, names)) => names.push(vpc.name.as_str()),
            None => groups.push((sizes, vec![vpc.name.as_str()])),
        }
    }
    let line = |(sizes, names): &(GsoMaxSizes, Vec<&str>)| {
        format!("{} bytes over IPv4 and {} over IPv6 in {}", sizes.ipv4, sizes.ipv6, names.join(", "))
    };
    let lines: Vec<String> = groups.iter().map(line).collect();
    let detail = format!("new ENIs take TCP buffers of up to {}", lines.join("; "));
    (!groups.is_empty()).then(|| finding("BIG TCP", Severity::Ok, detail))
}
