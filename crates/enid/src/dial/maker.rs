//! Makes sockets inside tasks' namespaces.
//!
//! A thread that has entered a namespace serves no other, so each task that is dialed for has a thread of its own in its
//! namespace, for as long as it is dialed for and a little longer: entering costs as much as a connection.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use enid_api::dial::wire::{Family, Protocol};
use enid_datapath::Datapath;
use enid_model::{EniId, EniNumber, TrafficClass};
use enid_netns::{Namespace, NetnsError};
use enid_store::TaskRecord;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::sync::oneshot;

use crate::lives::Life;
use crate::lock;

/// How long a thread waits for more to make.
const PATIENCE: Duration = Duration::from_secs(10);

/// The threads that make sockets.
#[derive(Debug)]
pub(super) struct Makers {
    datapath: Arc<Datapath>,
    threads: Mutex<HashMap<EniId, Sender<Order>>>,
}

/// What is to be made.
#[derive(Debug)]
struct Order {
    family: Family,
    protocol: Protocol,
    class: TrafficClass,
    count: u8,
    made: oneshot::Sender<io::Result<Vec<OwnedFd>>>,
}

/// Sockets of one class in a task's namespace.
#[derive(Debug, Clone)]
pub(super) struct TaskSockets {
    makers: Arc<Makers>,
    record: Arc<TaskRecord>,
    life: Life,
    class: TrafficClass,
}

impl Makers {
    pub(super) fn new(datapath: Arc<Datapath>) -> Self {
        Self { datapath, threads: Mutex::default() }
    }

    pub(super) fn sockets(
        self: &Arc<Self>,
        record: &TaskRecord,
        life: &Life,
        class: TrafficClass,
    ) -> TaskSockets {
        TaskSockets { makers: Arc::clone(self), record: Arc::new(record.clone()), life: life.clone(), class }
    }

    /// Ends all threads.
    pub(super) fn close(&self) {
        lock(&self.threads).clear();
    }

    /// Gives an order to the task's thread, which is started if there is none.
    fn order(self: &Arc<Self>, sockets: &TaskSockets, order: Order) -> io::Result<()> {
        let eni = sockets.record.task.eni.id;
        let mut threads = lock(&self.threads);
        let order = match threads.get(&eni) {
            // A thread ends under this lock, so one that is listed takes orders.
            Some(thread) => match thread.send(order) {
                Ok(()) => return Ok(()),
                Err(refused) => refused.0,
            },
            None => order,
        };
        let (orders, received) = channel();
        // There is a receiver.
        let _ = orders.send(order);
        let (gone, ended) = oneshot::channel::<()>();
        let (makers, record) = (Arc::clone(self), Arc::clone(&sockets.record));
        Namespace::open(&record.task.netns)
            .and_then(|namespace| {
                if Some(namespace.id()) != record.namespace {
                    let source = io::ErrorKind::NotFound.into();
                    return Err(NetnsError::File { action: "find", path: record.task.netns.clone(), source });
                }
                namespace.spawn("enid-dial", move |entered| {
                    makers.work(&record, entered, &received);
                    drop(gone);
                })
            })
            .map_err(io::Error::other)?;
        threads.insert(eni, orders);
        let (makers, mut life) = (Arc::clone(self), sockets.life.clone());
        tokio::spawn(async move {
            tokio::select! {
                // Its thread, which holds the namespace, must not outlive the task.
                () = life.ended() => drop(lock(&makers.threads).remove(&eni)),
                _ = ended => {}
            }
        });
        Ok(())
    }

    /// What a thread does: it makes what it is told to, and ends when nothing came for a while.
    fn work(&self, record: &TaskRecord, entered: Result<(), NetnsError>, orders: &Receiver<Order>) {
        let eni = &record.task.eni;
        if let Err(error) = entered {
            tracing::error!(task = %record.task.name, %error, "the task's namespace can't be entered");
            // What was ordered is dropped, and says so to who waits.
            lock(&self.threads).remove(&eni.id);
            return;
        }
        loop {
            match orders.recv_timeout(PATIENCE) {
                Ok(order) => self.make(eni.number, order),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    let mut threads = lock(&self.threads);
                    // Who gives orders holds the lock.
                    match orders.try_recv() {
                        Ok(order) => {
                            drop(threads);
                            self.make(eni.number, order);
                        }
                        Err(_) => {
                            threads.remove(&eni.id);
                            return;
                        }
                    }
                }
            }
        }
    }

    fn make(&self, number: EniNumber, order: Order) {
        let Order { family, protocol, class, count, made } = order;
        let one = |_| {
            let socket = socket(family, protocol)?;
            self.datapath.set_socket_class(socket.as_fd(), number, class).map_err(io::Error::other)?;
            Ok(socket)
        };
        let sockets = if made.is_closed() { Ok(Vec::new()) } else { (0..count).map(one).collect() };
        // Who has given up meanwhile needs none.
        let _ = made.send(sockets);
    }
}

impl TaskSockets {
    /// Makes sockets, tagged with the class.
    pub(super) async fn make(
        &self,
        family: Family,
        protocol: Protocol,
        count: u8,
    ) -> io::Result<Vec<OwnedFd>> {
        let (made, ready) = oneshot::channel();
        self.makers.order(self, Order { family, protocol, class: self.class, count, made })?;
        ready.await.unwrap_or_else(|_| Err(io::Error::other("its network namespace can't be entered")))
    }
}

/// A socket in the namespace of the calling thread; it does not block.
pub(super) fn socket(family: Family, protocol: Protocol) -> io::Result<OwnedFd> {
    let family = match family {
        Family::Ipv4 => AddressFamily::INET,
        Family::Ipv6 => AddressFamily::INET6,
    };
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    Ok(rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
}
