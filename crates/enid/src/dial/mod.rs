//! Dialing: connections through a task's ENI, for whoever works on the task's behalf.
//!
//! [`door`] listens on the dial socket and [`conversation`] speaks with a caller; a [proxy](crate::proxy) comes from another
//! side. Both end in [`Dialing::dial`]: [`maker`] makes sockets in the task's namespace, tagged before they are used,
//! [`names`] finds addresses as the task would, and [`race`] connects to the first that answers.

mod conversation;
mod diagnosis;
mod dns;
pub(crate) mod door;
mod hosts;
mod limits;
mod maker;
mod names;
mod race;
mod sockets;
mod target;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use enid_api::dial::wire::{ErrorCode, Family, PLATFORM, Protocol, Refusal};
use enid_model::{Carrier, EniId, TaskName, TrafficClass};
use enid_store::TaskRecord;
use tokio::sync::Semaphore;

use crate::EnidError;
use crate::lives::Life;
use crate::run;
use crate::tasks::{Tasks, check_namespace};
use diagnosis::Diagnosis;
use limits::Limits;
pub(crate) use limits::Permit;
use maker::Makers;
use names::{Names, TaskNames};
use race::Race;
use sockets::Sockets;
pub(crate) use target::Target;

/// What dials share.
#[derive(Debug)]
pub(crate) struct Dialing {
    tasks: Arc<Tasks>,
    makers: Arc<Makers>,
    limits: Arc<Limits>,
    /// Look-ups by the host's own means, which take a thread each.
    host_lookups: Arc<Semaphore>,
}

/// How many threads may look up names by the host's own means.
const HOST_LOOKUPS: usize = 32;

/// Who dials.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) task: TaskName,
    pub(crate) class: TrafficClass,
}

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Dialed {
    /// It does not block.
    pub(crate) socket: OwnedFd,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// An ENI's id, or [`PLATFORM`].
    pub(crate) eni: String,
}

/// What a dial of a caller goes by.
pub(crate) struct Way {
    record: TaskRecord,
    life: Life,
    sockets: Sockets,
    eni: String,
}

impl Dialing {
    pub(crate) fn new(tasks: Arc<Tasks>) -> Self {
        let makers = Arc::new(Makers::new(Arc::clone(&tasks.datapath)));
        Self { tasks, makers, limits: Arc::default(), host_lookups: Arc::new(Semaphore::new(HOST_LOOKUPS)) }
    }

    /// Connects on a caller's behalf.
    pub(crate) async fn dial(
        &self,
        caller: &Caller,
        target: &Target,
        protocol: Protocol,
        timeout: Duration,
    ) -> Result<Dialed, Refusal> {
        let Way { record, mut life, sockets, eni } = self.way(caller)?;
        let _permit = self.permit(&record)?;
        let names = match &sockets {
            Sockets::Host => Names::Host(Arc::clone(&self.host_lookups)),
            Sockets::Task(_) => Names::Task(self.names(&record, &sockets)?),
        };
        let race = Race {
            names,
            diagnosis: Diagnosis::new(&self.tasks, &record, &sockets, protocol),
            sockets,
            protocol,
            timeout,
            record: &record,
        };
        let connected = tokio::select! {
            connected = race.run(target) => connected?,
            () = life.ended() => return Err(deleted(&record)),
        };
        let (socket, local, remote) = connected;
        Ok(Dialed { socket, local, remote, eni })
    }

    /// Makes sockets that the caller connects. With them comes the life of the task that they are of.
    pub(crate) async fn prepare(
        &self,
        caller: &Caller,
        family: Family,
        protocol: Protocol,
        count: u8,
    ) -> Result<(Vec<OwnedFd>, String, Life), Refusal> {
        let Way { record, mut life, sockets, eni } = self.way(caller)?;
        let _permit = self.permit(&record)?;
        let made = tokio::select! {
            made = sockets.make(family, protocol, count) => made,
            () = life.ended() => return Err(deleted(&record)),
        };
        Ok((made.map_err(|error| failed(&record, &error))?, eni, life))
    }

    /// Which way a caller's packets go.
    pub(crate) fn way(&self, caller: &Caller) -> Result<Way, Refusal> {
        let (record, life) = self.tasks.alive(&caller.task).map_err(|error| refusal_of(&error))?;
        let (sockets, eni) = match record.task.platform_version.carrier(caller.class) {
            Some(Carrier::TaskEni) => {
                check_namespace(&record).map_err(|error| refusal_of(&error))?;
                let sockets = self.makers.sockets(&record, &life, caller.class);
                (Sockets::Task(sockets), record.task.eni.id.to_string())
            }
            Some(Carrier::PlatformEni) => (Sockets::Host, PLATFORM.to_owned()),
            None => {
                let (task, version) = (record.task.name.clone(), record.task.platform_version);
                return Err(refusal_of(&EnidError::NoSuchClass { task, version, class: caller.class }));
            }
        };
        Ok(Way { record, life, sockets, eni })
    }

    fn permit(&self, record: &TaskRecord) -> Result<Permit, Refusal> {
        self.limits.take(record.task.eni.id).map_err(|full| {
            let message = match full {
                limits::Full::Task(most) => {
                    format!("task {} has {most} dials under way, the most at a time", record.task.name)
                }
                limits::Full::Host(most) => {
                    format!("this host has {most} dials under way, the most at a time")
                }
            };
            refuse(ErrorCode::TooMany, message)
        })
    }

    /// How the task finds addresses.
    fn names(&self, record: &TaskRecord, sockets: &Sockets) -> Result<TaskNames, Refusal> {
        let task = &record.task;
        let (vpc, _) = self.tasks.networks.subnet_by_id(task.eni.subnet).ok_or_else(|| {
            let gone = EnidError::SubnetGone { task: task.name.clone(), subnet: task.eni.subnet };
            refusal_of(&gone)
        })?;
        Ok(TaskNames {
            hosts: hosts::Hosts::parse(&run::hosts(task, &vpc)),
            servers: vpc.dns_servers.clone(),
            domain: vpc.domain.to_string(),
            sockets: sockets.clone(),
        })
    }
}

impl Way {
    /// The task's ENI, whichever ENI the way goes by.
    pub(crate) fn eni(&self) -> EniId {
        self.record.task.eni.id
    }

    /// Until the task is deleted.
    pub(crate) fn into_life(self) -> Life {
        self.life
    }
}

impl Drop for Dialing {
    fn drop(&mut self) {
        self.makers.close();
    }
}

/// A refusal.
pub(crate) fn refuse(code: ErrorCode, message: impl Into<String>) -> Refusal {
    Refusal { code, message: message.into() }
}

fn refusal_of(error: &EnidError) -> Refusal {
    let code = match error {
        EnidError::NoTask(_) => ErrorCode::NoSuchTask,
        EnidError::TaskBroken { .. } => ErrorCode::TaskBroken,
        EnidError::NoSuchClass { .. } => ErrorCode::ClassNotCarried,
        _ => ErrorCode::Internal,
    };
    refuse(code, error.to_string())
}

fn deleted(record: &TaskRecord) -> Refusal {
    refuse(ErrorCode::TaskDeleted, format!("task {} was deleted", record.task.name))
}

fn failed(record: &TaskRecord, error: &std::io::Error) -> Refusal {
    tracing::error!(task = %record.task.name, %error, "no socket could be made");
    refuse(ErrorCode::Internal, format!("no socket could be made for task {}: {error}", record.task.name))
}

/// The family of an address.
fn family(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
}
