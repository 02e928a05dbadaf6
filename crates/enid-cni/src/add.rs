//! ADD: gives a container an ENI.

use std::time::Duration;

use enid_api::Client;
use enid_model::EniNumber;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::configuration::Configuration;
use crate::daemon::Daemon;
use crate::environment::{Container, INTERFACE, invalid};
use crate::error::{CniError, Code};
use crate::namespace;
use crate::result::result;

/// What enid calls every task's interface.
pub(crate) const ETH0: &str = "eth0";

/// How long to wait where the interface of an ENI that was deleted is still on its way out of the namespace, which it leaves in
/// the background: about as long as the kernel takes for one.
const PAUSE: Duration = Duration::from_millis(15);

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
    let namespace = namespace::open(container)?;
    let action = format!("create task {}", request.name);
    let mut daemon = Daemon::new(configuration);
    let deadline = Instant::now() + configuration.timeout;
    let mut gone = false;
    let task = loop {
        let call = async |client: Client, request| client.tasks().create(request).await;
        let error = match daemon.ask(&action, request.clone(), call).await {
            Ok(task) => break task,
            Err(error) => error,
        };
        let may_pass = error.code == Code::DaemonFailed && Instant::now() + PAUSE < deadline;
        if !may_pass {
            return Err(error);
        }
        match namespace::interface(&namespace, ETH0).await? {
            // Of one that is not being taken away, the daemon would have said whose it is.
            Some(interface) if interface.index >= EniNumber::MIN.get() => sleep(PAUSE).await,
            // It may have gone just now.
            None if !gone => gone = true,
            _ => return Err(error),
        }
    };
    Ok(result(configuration.version, &task, container, configuration.resolver().as_ref()))
}
