//! HTTP proxies for programs that know only `HTTPS_PROXY`: one for a task and a traffic class, on a loopback port of the
//! host. What it is asked to connect to it dials as the dial socket does.
//!
//! A loopback port is open to every user of the host, so each request has to bring a password, which only who may open the
//! proxy is told. A Unix socket would be guarded by its mode, but curl, skopeo and the AWS command line take none.

mod authorization;
mod forward;
mod idle;
mod server;
mod tunnel;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use enid_api::dial::wire::{ErrorCode, Refusal};
use enid_model::{EniId, TrafficClass};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::dial::{Caller, Dialing, refuse};
use crate::lock;
use authorization::Password;
use server::Server;

/// The proxies that are open.
#[derive(Debug)]
pub(crate) struct Proxies {
    dialing: Arc<Dialing>,
    open: Mutex<HashMap<(EniId, TrafficClass), Open>>,
}

#[derive(Debug)]
struct Open {
    address: SocketAddr,
    password: Password,
    server: AbortHandle,
}

impl Proxies {
    pub(crate) fn new(dialing: Arc<Dialing>) -> Self {
        Self { dialing, open: Mutex::default() }
    }

    /// Opens a task's proxy of a class, or finds it open; its URL, which has the password in it.
    pub(crate) async fn open(self: &Arc<Self>, caller: &Caller) -> Result<String, Refusal> {
        let way = self.dialing.way(caller)?;
        let key = (way.eni(), caller.class);
        if let Some(url) = lock(&self.open).get(&key).map(|open| open.url(caller)) {
            return Ok(url);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let bound = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let password = Password::random();
        let failed = |error| {
            tracing::error!(task = %caller.task, %error, "a proxy could not be opened");
            refuse(ErrorCode::Internal, format!("no port can be listened on: {error}"))
        };
        let (address, listener) = bound.map_err(failed)?;
        let password = password.map_err(|error| failed(error.into()))?;
        let mut open = lock(&self.open);
        // Somebody may have opened it meanwhile: then this one closes again.
        if let Some(open) = open.get(&key) {
            return Ok(open.url(caller));
        }
        let server = Server::new(Arc::clone(&self.dialing), caller.clone(), &password);
        let (proxies, mut life) = (Arc::downgrade(self), way.into_life());
        let served = tokio::spawn(async move {
            tokio::select! {
                () = server.serve(listener) => {}
                // The task's end ends all that is under way.
                () = life.ended() => {}
            }
            if let Some(proxies) = proxies.upgrade() {
                lock(&proxies.open).remove(&key);
            }
        });
        let proxy = Open { address, password, server: served.abort_handle() };
        let url = proxy.url(caller);
        open.insert(key, proxy);
        tracing::info!(task = %caller.task, class = %caller.class, %address, "opened a proxy");
        Ok(url)
    }
}

impl Open {
    /// The name of a task needs no escapes.
    fn url(&self, caller: &Caller) -> String {
        format!("http://{}:{}@{}", caller.task, self.password.text(), self.address)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.server.abort();
    }
}
