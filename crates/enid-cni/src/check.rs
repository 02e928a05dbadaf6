//! CHECK: whether a container's network is as ADD left it.
//!
//! Three accounts must agree: what ADD answered, what the daemon holds, and what the kernel has. A plugin further down the list
//! may have changed the interface since, and the result with it: that is taken from the result, never from the daemon.

use std::net::IpAddr;

use enid_api::v1::{Eni, Task};
use serde_json::Value;

use crate::configuration::Configuration;
use crate::daemon::Daemon;
use crate::environment::Container;
use crate::error::{CniError, Code};
use crate::namespace::{self, Interface};
use crate::result::DEFAULT_ROUTES;

/// Fails where something of the container's is missing or other than the result of its ADD says.
pub(crate) async fn check(configuration: &Configuration, container: &Container) -> Result<(), CniError> {
    let Some(result) = configuration.previous_result() else {
        let (message, details) =
            ("the network configuration has no prevResult", "CHECK compares with the result of ADD");
        return Err(CniError::new(Code::InvalidConfiguration, message, details));
    };
    let attachment = configuration.attachment(container);
    let task = Daemon::new(configuration).task_of(&attachment).await?.ok_or_else(|| {
        let message = format!("container {} has no ENI in network {}", container.id, configuration.name);
        CniError::new(Code::UnknownContainer, message, "`enictl task list` shows all tasks")
    })?;
    let namespace = namespace::open(container)?;
    let mut problems = Vec::new();
    let of_task = namespace::open(&Container { netns: task.netns.clone(), ..container.clone() });
    if of_task.map(|own| own.id()).ok() != Some(namespace.id()) {
        problems.push(format!("task {} is in {}, which is not {}", task.name, task.netns, container.netns));
    }
    match namespace::interface(&namespace, &container.interface).await? {
        Some(interface) => problems.extend(differences(result, &task, &interface, container)),
        None => problems.push(format!("{} is gone", container.interface)),
    }
    if problems.is_empty() {
        return Ok(());
    }
    let message = format!("the network of container {} is not as it should be", container.id);
    Err(CniError::new(Code::CheckFailed, message, problems.join("; ")))
}

/// In what an interface is not what the result says and the daemon holds.
fn differences(result: &Value, task: &Task, interface: &Interface, container: &Container) -> Vec<String> {
    let name = &container.interface;
    let eni = task.eni.clone().unwrap_or_default();
    let mut problems = Vec::new();
    let list = |key: &str| result.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    if !interface.up {
        problems.push(format!("{name} is down"));
    }
    if interface.index != eni.number {
        problems.push(format!("{name} has index {}, and ENI {} has {}", interface.index, eni.id, eni.number));
    }
    let is_it = |one: &&Value| {
        text(one, "name").as_ref() == Some(name) && text(one, "sandbox").is_some_and(|path| !path.is_empty())
    };
    let position = list("interfaces").iter().position(|one| is_it(&one));
    match position.and_then(|position| list("interfaces").get(position)) {
        None => problems.push(format!("prevResult has no interface {name}")),
        Some(given) => {
            if let Some(mac) = text(given, "mac").filter(|mac| !mac.eq_ignore_ascii_case(&interface.mac)) {
                problems.push(format!("{name} has MAC address {}, not {mac}", interface.mac));
            }
            let mtu = given
                .get("mtu")
                .and_then(Value::as_u64)
                .filter(|mtu| *mtu != 0 && *mtu != u64::from(interface.mtu));
            problems.extend(mtu.map(|mtu| format!("{name} has MTU {}, not {mtu}", interface.mtu)));
        }
    }
    let given = list("ips").iter().filter(|ip| {
        let owner = ip.get("interface").and_then(Value::as_u64);
        owner.is_none() || owner == position.map(|position| position as u64)
    });
    let given: Vec<String> = given.filter_map(|ip| text(ip, "address")).collect();
    let has = |addresses: &[String], wanted: &str| addresses.iter().any(|own| same_address(own, wanted));
    for address in given.iter().filter(|address| !has(&interface.addresses, address)) {
        problems.push(format!("{name} does not have the address {address}"));
    }
    for address in [&eni.ipv4, &eni.ipv6].into_iter().flatten().filter(|address| !has(&given, address)) {
        problems.push(format!("prevResult does not have the address {address} of ENI {}", eni.id));
    }
    for (destination, gateway) in lost_routes(list("routes"), &eni, interface) {
        problems.push(format!("{name} has no route to {destination} by {gateway}"));
    }
    problems
}

/// The default routes of the result that are the ENI's own and are not there. One that a later plugin took out of the result
/// is not missed.
fn lost_routes<'e>(given: &[Value], eni: &'e Eni, interface: &Interface) -> Vec<(&'static str, &'e str)> {
    let gateways = [eni.ipv4_gateway.as_deref(), eni.ipv6_gateway.as_deref()];
    let own = DEFAULT_ROUTES.into_iter().zip(gateways).filter_map(|(route, gateway)| Some((route, gateway?)));
    own.filter(|(destination, gateway)| {
        let of_eni = |route: &Value| {
            route.get("dst").and_then(Value::as_str) == Some(destination)
                && route.get("gw").and_then(Value::as_str).is_none_or(|by| by == *gateway)
        };
        let gateway: Option<IpAddr> = gateway.parse().ok();
        given.iter().any(of_eni) && !gateway.is_some_and(|gateway| interface.gateways.contains(&gateway))
    })
    .collect()
}

/// Whether two texts are the same address with the same prefix length.
fn same_address(one: &str, other: &str) -> bool {
    let parsed = |text: &str| -> Option<(IpAddr, u8)> {
        let (address, prefix) = text.split_once('/')?;
        Some((address.parse().ok()?, prefix.parse().ok()?))
    };
    parsed(one).is_some_and(|one| parsed(other) == Some(one))
}

#[cfg(test)]
mod tests;
