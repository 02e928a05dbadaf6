//! STATUS: whether a container could be added now.

use std::path::Path;

use crate::configuration::Configuration;
use crate::daemon::Daemon;
use crate::error::{CniError, Code};
use enid_api::v1::{Subnet, Vpc};

/// Fails if no container could be added, as far as the daemon can tell ahead.
pub(crate) async fn status(configuration: &Configuration) -> Result<(), CniError> {
    let template = configuration.template()?;
    let not_available = |error: CniError| CniError { code: Code::NotAvailable, ..error };
    let vpcs = Daemon::impatient(configuration).networks().await.map_err(not_available)?;
    // A router that is gone took its ENIs' ways with it.
    for vpc in &vpcs {
        if let Some(router) = vpc.router_netns.as_deref().filter(|path| !Path::new(path).exists()) {
            return Err(CniError::new(
                Code::LimitedConnectivity,
                format!("the router of VPC {} is gone", vpc.name),
                format!("{router} does not exist: delete the VPC's tasks, and add their containers again"),
            ));
        }
    }
    // A network may leave it to labels or arguments.
    if template.subnet.is_empty() {
        return Ok(());
    }
    let Some(subnet) = find(&vpcs, &template.subnet) else {
        let message = format!("there is no subnet {}", template.subnet);
        return Err(CniError::new(Code::NotAvailable, message, "`enictl subnet list` shows those there are"));
    };
    if subnet.available_ipv4_addresses == Some(0) {
        let message = format!("subnet {} is full", template.subnet);
        return Err(CniError::new(Code::NotAvailable, message, "all of its IPv4 addresses are taken"));
    }
    Ok(())
}

/// A subnet by its id, its name, or `vpc/subnet`.
fn find<'v>(vpcs: &'v [Vpc], wanted: &str) -> Option<&'v Subnet> {
    let is_it = |vpc: &Vpc, subnet: &Subnet| {
        let in_vpc = wanted.split_once('/').is_some_and(|(of, name)| {
            (of == vpc.name || of == vpc.id) && (name == subnet.name || name == subnet.id)
        });
        in_vpc || wanted == subnet.id || wanted == subnet.name
    };
    vpcs.iter().find_map(|vpc| vpc.subnets.iter().find(|subnet| is_it(vpc, subnet)))
}
