//! From names to addresses.

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;

use enid_api::dial::wire::Family;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use super::dns::{self, DnsError};
use super::hosts::Hosts;
use super::sockets::Sockets;

/// How names become addresses.
#[derive(Debug, Clone)]
pub(super) enum Names {
    /// As a task has it.
    Task(TaskNames),
    /// As the host has it (getaddrinfo(3)): so many at a time, since each takes a thread.
    Host(Arc<Semaphore>),
}

/// How a task finds addresses: its hosts file, then its resolvers, by its own ENI.
#[derive(Debug, Clone)]
pub(super) struct TaskNames {
    pub(super) hosts: Hosts,
    pub(super) servers: Vec<IpAddr>,
    /// The search domain.
    pub(super) domain: String,
    pub(super) sockets: Sockets,
}

/// A look-up's outcome.
#[derive(Debug)]
pub(super) struct Answer {
    /// Of which family; of both if it does not say.
    pub(super) family: Option<Family>,
    pub(super) addresses: Result<Vec<IpAddr>, String>,
}

impl Names {
    /// Begins to look up a name: of each look-up an answer will come. `families` are those that the caller can use.
    pub(super) fn look_up(&self, name: &str, families: &[Family]) -> Vec<BoxFuture<'static, Answer>> {
        let task = match self {
            Self::Host(room) => return vec![by_host(name.to_owned(), Arc::clone(room)).boxed()],
            Self::Task(task) => task,
        };
        let known = task.hosts.get(name);
        if !known.is_empty() {
            let answer = Answer { family: None, addresses: Ok(known) };
            return vec![std::future::ready(answer).boxed()];
        }
        if task.servers.is_empty() {
            let why = "it is not in the task's hosts file, and the VPC declares no resolvers".to_owned();
            return vec![std::future::ready(Answer { family: None, addresses: Err(why) }).boxed()];
        }
        let resolver = match dns::resolver(&task.servers, &task.domain, &task.sockets) {
            Ok(resolver) => resolver,
            Err(error) => {
                let answer = Answer { family: None, addresses: Err(error.to_string()) };
                return vec![std::future::ready(answer).boxed()];
            }
        };
        let ask = |family: &Family| {
            let (resolver, name, family) = (resolver.clone(), name.to_owned(), *family);
            let servers = task.servers.clone();
            async move {
                let addresses = dns::look_up(&resolver, &name, family).await;
                Answer {
                    family: Some(family),
                    addresses: addresses.map_err(|error| sentence(&error, &servers)),
                }
            }
            .boxed()
        };
        families.iter().map(ask).collect()
    }
}

fn sentence(error: &DnsError, servers: &[IpAddr]) -> String {
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    format!("{error} (asked: {})", servers.join(", "))
}

async fn by_host(name: String, room: Arc<Semaphore>) -> Answer {
    let addresses = async {
        let room = room.acquire_owned().await.map_err(io::Error::other)?;
        let look_up = move || {
            // The thread can't be called back: it counts until it is done, whoever still waits for it.
            let _room = room;
            (name.as_str(), 0).to_socket_addrs().map(|found| found.map(|address| address.ip()).collect())
        };
        tokio::task::spawn_blocking(look_up).await.map_err(io::Error::other)?
    };
    let addresses: io::Result<Vec<IpAddr>> = addresses.await;
    Answer {
        family: None,
        addresses: addresses.map_err(|error| format!("{error} (asked: the host's resolver)")),
    }
}
