//! The daemon's life: taking up what an earlier one left, serving, stopping.

use std::fs::DirBuilder;
use std::future::Future;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use enid_api::v1::event_service_server::EventServiceServer;
use enid_api::v1::flow_log_service_server::FlowLogServiceServer;
use enid_api::v1::flow_service_server::FlowServiceServer;
use enid_api::v1::host_service_server::HostServiceServer;
use enid_api::v1::network_service_server::NetworkServiceServer;
use enid_api::v1::task_service_server::TaskServiceServer;
use enid_datapath::{Datapath, DatapathConfig};
use enid_netns::Namespace;
use enid_store::{NetworkStore, RunStore, TaskRecord};
use tokio::net::UnixListener;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic_health::ServingStatus;

use crate::accounting::Accounting;
use crate::admission::Stages;
use crate::ahead::{self, Bell};
use crate::config::Config;
use crate::dial::Dialing;
use crate::dial::door::DialSocket;
use crate::doctor::{self, Doctor};
use crate::door::{Access, Guard, Porter};
use crate::events::Events;
use crate::filling::Filling;
use crate::flow_logs::FlowLogs;
use crate::kernel::Version;
use crate::networks::NetworkState;
use crate::proxy::Proxies;
use crate::router::Routers;
use crate::run::{Runs, check_cgroup2, find_cgroup_directory};
use crate::segmentation::Segmentation;
use crate::service::{EventApi, FlowApi, FlowLogApi, HostApi, NetworkApi, TaskApi, reflection};
use crate::slots::Slots;
use crate::sole::Sole;
use crate::spares::Spares;
use crate::tasks::{BusyNames, State, Tasks};
use crate::{EnidError, forwarding, policy, reaper};

/// Where a daemon keeps what it has.
#[derive(Debug, Clone)]
pub struct Directories {
    /// What only matters while the host is up: a tmpfs.
    pub run: PathBuf,
    /// What must survive a reboot.
    pub state: PathBuf,
}

impl Directories {
    /// The socket that the daemon serves.
    pub fn socket(&self) -> PathBuf {
        self.run.join("enid.sock")
    }

    /// The socket that connections are dialed by.
    pub fn dial_socket(&self) -> PathBuf {
        self.run.join("dial.sock")
    }

    pub(crate) fn run_store(&self) -> PathBuf {
        self.run.join("run.redb")
    }

    pub(crate) fn network_store(&self) -> PathBuf {
        self.state.join("networks.redb")
    }

    pub(crate) fn exported(&self) -> PathBuf {
        self.run.join("exported")
    }

    pub(crate) fn etc(&self) -> PathBuf {
        self.run.join("etc")
    }
}

/// Why a daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The caller is not root.
    #[error("enid needs to be root: it makes network namespaces and loads eBPF programs")]
    NotRoot,
    /// The kernel lacks what is needed.
    #[error("this kernel can't run enid: {}", .0.join("; "))]
    Kernel(Vec<String>),
    /// Another daemon serves the socket.
    #[error("another daemon listens on {0}; stop it first")]
    Running(PathBuf),
    /// The group of the socket does not exist.
    #[error("there is no group `{0}`, which the configuration names as socket_group")]
    NoGroup(String),
    /// Something else failed.
    #[error(transparent)]
    Failed(#[from] EnidError),
}

/// A daemon that is ready to serve.
#[derive(Debug)]
pub struct Daemon {
    listener: UnixListener,
    access: Access,
    dial_socket: DialSocket,
    tasks: Arc<Tasks>,
    runs: Arc<Runs>,
    doctor: Arc<Doctor>,
    deleted: mpsc::UnboundedReceiver<TaskRecord>,
    _sole: Sole,
}

impl Daemon {
    /// Takes up what an earlier daemon left in these directories, and listens.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: &Config, directories: &Directories) -> Result<Self, StartError> {
        if !rustix::process::geteuid().is_root() {
            return Err(StartError::NotRoot);
        }
        let missing = doctor::missing_features();
        if !missing.is_empty() {
            return Err(StartError::Kernel(missing));
        }
        // Sockets are for others; what the daemon knows is not, unless who made the folder wants it so.
        for (directory, mode) in [(&directories.run, 0o755), (&directories.state, 0o750)] {
            let made = DirBuilder::new().recursive(true).mode(mode).create(directory);
            made.map_err(EnidError::file("create", directory))?;
        }
        let sole = Sole::claim(&config.paths.bpf)?;
        let (socket, dial_socket) = (directories.socket(), directories.dial_socket());
        let access = Access::new(config.socket_group.as_deref(), config.reader_group.as_deref())?;
        let (config, directories) = (config.clone(), directories.clone());
        let runtime = Handle::current();
        let taken_up = tokio::task::spawn_blocking(move || take_up(&config, &directories, runtime)).await;
        let (tasks, runs, doctor, deleted) = taken_up.map_err(|_| EnidError::Stopping)??;
        // Last: whoever finds the socket finds a daemon that answers.
        let listener = access.listen(&socket)?;
        let dial_socket = DialSocket::listen(&dial_socket, access.clone())?;
        Ok(Self { listener, access, dial_socket, tasks, runs, doctor, deleted, _sole: sole })
    }

    /// Serves until `stop` is done, then closes the interval so that what was counted is written. Tasks and their
    /// traffic go on without the daemon.
    ///
    /// # Errors
    /// The socket can't be served.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) -> Result<(), tonic::transport::Error> {
        let (stopping, _) = watch::channel(false);
        let intervals = tokio::spawn(close_intervals(Arc::clone(&self.tasks), stopping.subscribe()));
        let deliveries = tokio::spawn(deliver(Arc::clone(&self.tasks.accounting), stopping.subscribe()));
        let reaper = tokio::spawn(reaper::run(Arc::clone(&self.tasks), Arc::clone(&self.runs), self.deleted));
        let ahead = tokio::spawn(ahead::run(Arc::clone(&self.tasks)));
        let dialing = Arc::new(Dialing::new(Arc::clone(&self.tasks)));
        let dials = tokio::spawn(self.dial_socket.serve(Arc::clone(&dialing)));
        let proxies = Arc::new(Proxies::new(dialing));
        let stopping_began = Notify::new();
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<TaskServiceServer<TaskApi>>().await;
        let tasks = &self.tasks;
        let host = HostApi { doctor: self.doctor, tasks: Arc::clone(tasks) };
        let porter = Porter::new(self.access.clone());
        let visitors = UnixListenerStream::new(self.listener).filter_map(move |stream| match stream {
            Ok(stream) => porter.admit(stream).map(Ok),
            Err(error) => Some(Err(error)),
        });
        let serving = Server::builder()
            .layer(Guard::new(self.access))
            .add_service(NetworkServiceServer::new(NetworkApi { tasks: Arc::clone(tasks) }))
            .add_service(TaskServiceServer::new(TaskApi {
                tasks: Arc::clone(tasks),
                runs: self.runs,
                proxies,
            }))
            .add_service(FlowLogServiceServer::new(FlowLogApi { tasks: Arc::clone(tasks) }))
            .add_service(FlowServiceServer::new(FlowApi::new(Arc::clone(tasks))))
            .add_service(EventServiceServer::new(EventApi { events: Arc::clone(&tasks.events) }))
            .add_service(HostServiceServer::new(host))
            .add_service(health_service)
            .add_optional_service(reflection::v1())
            .add_optional_service(reflection::v1alpha())
            .serve_with_incoming_shutdown(visitors, async {
                stop.await;
                health.set_not_serving::<TaskServiceServer<TaskApi>>().await;
                // And the server as a whole.
                health.set_service_status("", ServingStatus::NotServing).await;
                tasks.accounting.dismiss_followers();
                tasks.events.dismiss();
                stopping_began.notify_one();
            });
        let outcome = tokio::select! {
            outcome = serving => outcome,
            () = async {
                stopping_began.notified().await;
                tokio::time::sleep(STOP_GRACE).await;
            } => {
                tracing::warn!("stopping, though somebody still holds a connection");
                Ok(())
            }
        };
        // What was handed over lives on; what was not is given up.
        dials.abort();
        // Nobody is left to listen.
        let _ = stopping.send(true);
        // What the reaper has not taken away yet is on record for the next daemon.
        reaper.abort();
        ahead.abort();
        if let Err(error) = intervals.await {
            tracing::error!(%error, "the last interval was not closed");
        }
        if let Err(error) = deliveries.await {
            tracing::error!(%error, "deliveries were not stopped");
        }
        outcome
    }
}

/// How long requests that are under way when the daemon is told to stop may take. A connection on which nothing is
/// asked would hold it up for ever.
const STOP_GRACE: Duration = Duration::from_secs(5);

type TakenUp = (Arc<Tasks>, Arc<Runs>, Arc<Doctor>, mpsc::UnboundedReceiver<TaskRecord>);

fn take_up(config: &Config, directories: &Directories, runtime: Handle) -> Result<TakenUp, EnidError> {
    let paths = &config.paths;
    enid_netns::prepare_directory(&paths.netns)?;
    let cgroup_directory = match &paths.cgroup {
        Some(path) => path.clone(),
        None => find_cgroup_directory()?,
    };
    std::fs::create_dir_all(&cgroup_directory).map_err(EnidError::file("create", &cgroup_directory))?;
    check_cgroup2(&cgroup_directory)?;
    let run_store = directories.run_store();
    let store = Arc::new(RunStore::open(&run_store)?);
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&run_store, private)
        .map_err(EnidError::file("change the mode of", &run_store))?;
    let forwarding = forwarding::choose(config.forwarding.mode, &crate::kernel::release());
    let datapath = Arc::new(Datapath::load(&DatapathConfig {
        pin_directory: paths.bpf.clone(),
        flow_capacity: config.flow_table.capacity,
        refusal_capacity: config.flow_table.refusal_capacity,
        eni_capacity: config.eni.capacity,
        forwarding: forwarding.forwarding,
    })?);
    let events = Arc::new(Events::default());
    let network_store = Arc::new(NetworkStore::open(&directories.network_store())?);
    let networks = Arc::new(NetworkState::restore(
        Arc::clone(&network_store),
        Arc::clone(&datapath),
        Arc::clone(&events),
    )?);
    let flow_logs = Arc::new(FlowLogs::open(network_store)?);
    let accounting = Arc::new(Accounting::open(
        config,
        directories,
        Arc::clone(&datapath),
        Arc::clone(&networks),
        Arc::clone(&flow_logs),
    )?);
    let routers = Arc::new(Routers::restore(Arc::clone(&store), paths.netns.clone())?);
    let (state, leftovers) = State::restore(&store, config.eni.capacity)?;
    flow_logs.end(|eni| !state.has_eni(eni) && leftovers.iter().all(|left| left.task.eni.id != eni))?;
    let (reaper, deleted) = mpsc::unbounded_channel();
    let runs = Arc::new(Runs {
        datapath: Arc::clone(&datapath),
        networks: Arc::clone(&networks),
        host: Namespace::own()?,
        cgroup_directory: cgroup_directory.clone(),
        etc_directory: directories.etc(),
        hand: Mutex::new(()),
    });
    let tasks = Arc::new(Tasks {
        events,
        filling: Filling::default(),
        store,
        datapath,
        routers,
        networks,
        accounting,
        flow_logs,
        stages: Stages::new(&runtime),
        spares: Spares::new(config.eni.spare_namespaces),
        slots: Slots::new(config.eni.prepared_slots),
        bell: Bell::new(),
        netns_directory: paths.netns.clone(),
        platform_versions: config.platform_versions.clone(),
        eni_capacity: config.eni.capacity,
        default_mtu: config.eni.mtu,
        flow_limit: config.flow_table.flow_limit(),
        segmentation: Segmentation::new(
            config.eni.gso_max_size,
            forwarding.forwarding,
            Version::running(),
            runtime.clone(),
        ),
        host_namespace: Namespace::own()?.id(),
        state: Mutex::new(state),
        busy: BusyNames::default(),
        reaper,
    });
    tasks.sweep(&runtime)?;
    tasks.routers.mend(&tasks.networks.current());
    let records = tasks.list();
    let enis = records.iter().map(|record| &record.task.eni);
    policy::restore(&tasks.datapath, &tasks.networks.current(), enis)?;
    tasks.upgrade();
    for record in leftovers {
        tracing::warn!(task = %record.task.name, eni = %record.task.eni.id, state = ?record.state, "taking away what is left of a task");
        // What it has counted last may be in no record yet.
        if let Some((_, subnet)) = tasks.networks.subnet_by_id(record.task.eni.subnet) {
            tasks.accounting.register(&record.task, &subnet);
        }
        tasks.dismantle(record);
    }
    let doctor = Arc::new(Doctor {
        tasks: Arc::clone(&tasks),
        forwarding,
        run_directory: directories.run.clone(),
        bpf_directory: paths.bpf.clone(),
        cgroup_directory,
        runtime,
    });
    Ok((tasks, runs, doctor, deleted))
}

/// Closes each aggregation interval when its time has come, and the last one when the daemon stops; while somebody follows,
/// in parts.
async fn close_intervals(tasks: Arc<Tasks>, mut stopped: watch::Receiver<bool>) {
    let accounting = Arc::clone(&tasks.accounting);
    let mut interval = accounting.interval();
    let mut took = Duration::ZERO;
    loop {
        let until_end = accounting.until_interval_ends();
        let until_look = accounting.until_followers_look(took).filter(|until| *until < until_end);
        let stopping = tokio::select! {
            () = tokio::time::sleep(until_look.unwrap_or(until_end)) => false,
            _ = interval.changed() => continue,
            () = accounting.follower_came() => continue,
            _ = stopped.wait_for(|stopping| *stopping) => true,
        };
        let closing = Arc::clone(&tasks);
        let is_part = until_look.is_some() && !stopping;
        let began = Instant::now();
        let close = move || if is_part { closing.accounting.close_part() } else { closing.close_interval() };
        match tokio::task::spawn_blocking(close).await {
            Ok(Ok(records)) => tracing::debug!(records, is_part, "closed an interval"),
            Ok(Err(error)) => {
                tracing::error!(%error, "an interval's records could not be written; the next interval has them");
            }
            Err(error) => tracing::error!(%error, "closing an interval failed"),
        }
        took = began.elapsed();
        if stopping {
            return;
        }
    }
}

/// Delivers records to flow logs' destinations until the daemon stops.
async fn deliver(accounting: Arc<Accounting>, stopped: watch::Receiver<bool>) {
    let deliveries = Arc::clone(accounting.deliveries());
    deliveries.run(|needed| accounting.set_interval(needed), stopped).await;
}
