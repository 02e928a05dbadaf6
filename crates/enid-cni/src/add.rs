//! ADD: gives a container an ENI.

use enid_api::Client;
use serde_json::Value;

use crate::configuration::Configuration;
use crate::daemon::Daemon;
use crate::environment::{Container, INTERFACE, invalid};
use crate::error::{CniError, Code};
use crate::namespace;
use crate::result::result;

/// What enid calls every task's interface.
pub(crate) const ETH0: &str = "eth0";

/// Creates the container's task, and says what it was given.
pub(crate) async fn add(configuration: &Configuration, container: &Container) -> Result<Value, CniError> {
    if container.interface != ETH0 {
        return Err(invalid(
            INTERFACE,
            &container.interface,
            "the interface of an ENI is always called eth0",
        ));
    }
    if configuration.previous_result().is_some() {
        return Err(CniError::new(
            Code::InvalidConfiguration,
            "enid-cni must be the first plugin of a list",
            "it makes the interface that others work on, and a container has one ENI",
        ));
    }
    let request = configuration.request(container)?;
    namespace::exists(container)?;
    let action = format!("create task {}", request.name);
    let mut daemon = Daemon::new(configuration);
    let call = async |client: Client, request| client.tasks().create(request).await;
    let task = daemon.ask(&action, request, call).await?;
    Ok(result(configuration.version, &task, container, configuration.resolver().as_ref()))
}
