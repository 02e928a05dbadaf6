//! Whether a task that is there is the one that is asked for.

use std::collections::HashSet;

use enid_model::{EcsTask, IdleTimeouts, MAX_SECURITY_GROUPS, Mtu, SecurityGroupId, Subnet, Tags, Task, Vpc};
use enid_store::TaskRecord;

use super::create::NewTask;
use crate::EnidError;

/// The groups that an ENI is to be in, by name or id; the VPC's default one if none is named.
pub(super) fn security_groups(vpc: &Vpc, wanted: &[String]) -> Result<Vec<SecurityGroupId>, EnidError> {
    if wanted.len() > MAX_SECURITY_GROUPS {
        return Err(EnidError::TooManySecurityGroups { most: MAX_SECURITY_GROUPS, given: wanted.len() });
    }
    if wanted.is_empty() {
        return Ok(vec![vpc.security_group(enid_model::DEFAULT_SECURITY_GROUP)?.id]);
    }
    let mut ids = Vec::with_capacity(wanted.len());
    for name in wanted {
        let id = vpc.security_group(name)?.id;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// In what an existing task is not what is asked for. What the request leaves open agrees with anything.
pub(super) fn difference(
    existing: &TaskRecord,
    new: &NewTask,
    subnet: &Subnet,
    groups: &[SecurityGroupId],
    mtu: Mtu,
) -> Option<String> {
    let task = &existing.task;
    let eni = &task.eni;
    if eni.subnet != subnet.id {
        return Some(format!("its ENI in subnet {}", eni.subnet));
    }
    let as_set = |groups: &[SecurityGroupId]| groups.iter().copied().collect::<HashSet<_>>();
    if as_set(&eni.security_groups) != as_set(groups) {
        let names: Vec<String> = eni.security_groups.iter().map(ToString::to_string).collect();
        return Some(format!("security groups {}", names.join(", ")));
    }
    if new.addresses.ipv4.is_some() && new.addresses.ipv4 != eni.addresses.ipv4 {
        return Some(match eni.addresses.ipv4 {
            Some(address) => format!("IPv4 address {address}"),
            None => "no IPv4 address".to_owned(),
        });
    }
    if new.addresses.ipv6.is_some() && new.addresses.ipv6 != eni.addresses.ipv6 {
        return Some(match eni.addresses.ipv6 {
            Some(address) => format!("IPv6 address {address}"),
            None => "no IPv6 address".to_owned(),
        });
    }
    if eni.mtu != mtu {
        return Some(format!("MTU {}", eni.mtu));
    }
    if eni.idle_timeouts != new.idle_timeouts {
        let IdleTimeouts { tcp_established, udp, udp_stream } = eni.idle_timeouts;
        return Some(format!(
            "idle timeouts {tcp_established} s (TCP), {udp} s (UDP), {udp_stream} s (UDP stream)"
        ));
    }
    if !new.platform_version.agrees_with(task.platform_version) {
        return Some(format!("platform version {}", task.platform_version));
    }
    if let Some(what) = workload_difference(task, &new.ecs, &new.tags) {
        return Some(what);
    }
    let same_netns = match &new.netns {
        Some(path) => task.netns_adopted && *path == task.netns,
        None => !task.netns_adopted,
    };
    (!same_netns).then(|| format!("network namespace {}", task.netns.display()))
}

/// In what an existing task's ECS objects and tags are not what is asked for.
fn workload_difference(task: &Task, ecs: &EcsTask, tags: &Tags) -> Option<String> {
    for ((field, current), (_, wanted)) in task.ecs.fields().into_iter().zip(ecs.fields()) {
        if wanted.is_some() && current != wanted {
            return Some(match current {
                Some(current) => format!("ECS {field} {current}"),
                None => format!("no ECS {field}"),
            });
        }
    }
    let (key, _) = tags.iter().find(|(key, value)| task.tags.get(key) != Some(value))?;
    Some(match task.tags.get(key) {
        Some(value) => format!("tag {key}={value}"),
        None => format!("no tag {key}"),
    })
}
