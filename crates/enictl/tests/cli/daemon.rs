//! A server that answers every request with fixed messages.

use std::pin::Pin;
use std::thread::JoinHandle;

use enid_api::v1::flow_log_service_server::{FlowLogService, FlowLogServiceServer};
use enid_api::v1::flow_service_server::{FlowService, FlowServiceServer};
use enid_api::v1::host_service_server::{HostService, HostServiceServer};
use enid_api::v1::network_service_server::{NetworkService, NetworkServiceServer};
use enid_api::v1::task_service_server::{TaskService, TaskServiceServer};
use enid_api::v1::{
    ApplyRequest, ApplyResponse, AuditRequest, AuditResponse, CountersRequest, CountersResponse,
    CreateFlowLogRequest, CreateTaskRequest, DeleteFlowLogRequest, DeleteFlowLogResponse,
    DeleteNetworkObjectRequest, DeleteNetworkObjectResponse, DeleteTaskRequest, DeleteTaskResponse,
    DoctorRequest, DoctorResponse, Eni, ExplainRequest, ExplainResponse, FlowLog, FlushRequest,
    FlushResponse, FollowRequest, FollowResponse, GetFlowLogRequest, GetSpoolRequest, GetTaskRequest,
    ListFlowLogsRequest, ListFlowLogsResponse, ListNetworksRequest, ListNetworksResponse, ListTasksRequest,
    ListTasksResponse, ListUpdate, PrepareRunRequest, PrepareRunResponse, SetupTimesRequest,
    SetupTimesResponse, Spool, Task, UpdatePrefixListRequest, UpdateSecurityGroupRequest, UpdateTaskRequest,
};
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio_stream::Stream;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status, async_trait};

use crate::{Folder, enictl, read};

/// What the server answers with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers {
    pub(crate) networks: ListNetworksResponse,
    pub(crate) tasks: Vec<Task>,
    pub(crate) place: PrepareRunResponse,
    pub(crate) spool: Spool,
    pub(crate) flow_logs: Vec<FlowLog>,
    /// Sent to whoever follows, before the stream ends.
    pub(crate) followed: Vec<FollowResponse>,
    pub(crate) counters: CountersResponse,
    pub(crate) audit: AuditResponse,
    pub(crate) doctor: DoctorResponse,
    pub(crate) explanation: ExplainResponse,
}

/// The server, on a socket of its own, until the value is dropped.
pub(crate) struct Daemon {
    folder: Folder,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    pub(crate) fn start(answers: Answers) -> Self {
        let folder = Folder::new();
        let socket = folder.0.join("enid.sock");
        let (stop, stopped) = oneshot::channel();
        // Bound here, so that the socket is there when this returns.
        let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = UnixListenerStream::new(UnixListener::from_std(listener).unwrap());
                tonic::transport::Server::builder()
                    .add_service(NetworkServiceServer::new(answers.clone()))
                    .add_service(TaskServiceServer::new(answers.clone()))
                    .add_service(FlowLogServiceServer::new(answers.clone()))
                    .add_service(FlowServiceServer::new(answers.clone()))
                    .add_service(HostServiceServer::new(answers))
                    .serve_with_incoming_shutdown(listener, async { drop(stopped.await) })
                    .await
                    .unwrap();
            });
        });
        Self { folder, stop: Some(stop), thread: Some(thread) }
    }

    /// The program, told of this server.
    pub(crate) fn enictl(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = enictl(arguments);
        command.env("ENID_SOCKET", self.folder.0.join("enid.sock"));
        command
    }

    /// Runs the program to its end: exit code, standard output, standard error.
    pub(crate) fn output(&self, arguments: &[&str]) -> (i32, String, String) {
        read(&self.enictl(arguments).output().unwrap())
    }

    /// The standard output of a command that succeeds and says nothing else.
    pub(crate) fn stdout(&self, arguments: &[&str]) -> String {
        let (code, stdout, stderr) = self.output(arguments);
        assert_eq!((code, &*stderr), (0, ""), "{arguments:?}");
        stdout
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl NetworkService for Answers {
    async fn apply(&self, request: Request<ApplyRequest>) -> Answer<ApplyResponse> {
        let request = request.into_inner();
        Err(Status::invalid_argument(format!(
            "{}: line 1: `{}` is not a field",
            request.file_name, request.source
        )))
    }

    async fn list(&self, _: Request<ListNetworksRequest>) -> Answer<ListNetworksResponse> {
        Ok(Response::new(self.networks.clone()))
    }

    async fn delete(&self, _: Request<DeleteNetworkObjectRequest>) -> Answer<DeleteNetworkObjectResponse> {
        Ok(Response::new(DeleteNetworkObjectResponse {}))
    }

    async fn update_security_group(
        &self,
        request: Request<UpdateSecurityGroupRequest>,
    ) -> Answer<ApplyResponse> {
        let request = request.into_inner();
        let changes = [told("ingress", request.ingress), told("egress", request.egress)].concat();
        Ok(Response::new(ApplyResponse { changes: of(&request.security_group, changes, request.dry_run) }))
    }

    async fn update_prefix_list(&self, request: Request<UpdatePrefixListRequest>) -> Answer<ApplyResponse> {
        let request = request.into_inner();
        let changes = told("entry", request.entries);
        Ok(Response::new(ApplyResponse { changes: of(&request.prefix_list, changes, request.dry_run) }))
    }
}

/// What an update asks for, a line each.
fn told(what: &str, update: Option<ListUpdate>) -> Vec<String> {
    let update = update.unwrap_or_default();
    let clear = update.clear.then(|| format!("clear {what}"));
    let remove = update.remove.iter().map(|text| format!("- {what} {text}"));
    clear.into_iter().chain(remove).chain(update.add.iter().map(|text| format!("+ {what} {text}"))).collect()
}

fn of(object: &str, changes: Vec<String>, dry_run: bool) -> Vec<String> {
    assert_eq!(dry_run, object.starts_with("dry/"));
    changes.into_iter().map(|change| format!("{object}: {change}")).collect()
}

#[async_trait]
impl TaskService for Answers {
    async fn create(&self, request: Request<CreateTaskRequest>) -> Answer<Task> {
        let request = request.into_inner();
        Ok(Response::new(Task {
            name: request.name,
            netns: request.netns.unwrap_or_default(),
            eni: Some(Eni {
                security_group_ids: request.security_groups,
                idle_timeouts: request.idle_timeouts,
                ..Eni::default()
            }),
            ecs: request.ecs,
            tags: request.tags,
            ..Task::default()
        }))
    }

    async fn update(&self, request: Request<UpdateTaskRequest>) -> Answer<Task> {
        let request = request.into_inner();
        // Where there is no place for what was asked, it comes back as the namespace.
        let netns = format!("without {}", request.remove_tags.join(" "));
        Ok(Response::new(Task {
            name: request.name,
            netns,
            ecs: request.ecs,
            tags: request.tags,
            ..Task::default()
        }))
    }

    async fn get(&self, request: Request<GetTaskRequest>) -> Answer<Task> {
        let name = request.into_inner().name;
        let task = self.tasks.iter().find(|task| task.name == name);
        task.cloned()
            .map(Response::new)
            .ok_or_else(|| Status::not_found(format!("there is no task `{name}`")))
    }

    async fn list(&self, _: Request<ListTasksRequest>) -> Answer<ListTasksResponse> {
        let tasks = self.tasks.clone();
        Ok(Response::new(ListTasksResponse { tasks }))
    }

    async fn delete(&self, request: Request<DeleteTaskRequest>) -> Answer<DeleteTaskResponse> {
        let name = request.into_inner().name;
        if name == "stuck" {
            return Err(Status::internal("the kernel keeps task `stuck`"));
        }
        let existed = self.tasks.iter().any(|task| task.name == name);
        Ok(Response::new(DeleteTaskResponse { existed }))
    }

    async fn prepare_run(&self, _: Request<PrepareRunRequest>) -> Answer<PrepareRunResponse> {
        Ok(Response::new(self.place.clone()))
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Answer<ExplainResponse> {
        // What was asked comes back as the reason, so that tests see it.
        let reason = format!("{:?}", request.into_inner());
        Ok(Response::new(ExplainResponse { reason, ..self.explanation.clone() }))
    }
}

#[async_trait]
impl FlowLogService for Answers {
    async fn create(&self, request: Request<CreateFlowLogRequest>) -> Answer<FlowLog> {
        // What was asked comes back as the format, so that tests see it.
        let request = request.into_inner();
        Ok(Response::new(FlowLog {
            name: request.name.clone(),
            format: format!("{request:?}"),
            ..FlowLog::default()
        }))
    }

    async fn get(&self, request: Request<GetFlowLogRequest>) -> Answer<FlowLog> {
        let name = request.into_inner().flow_log;
        let found = self.flow_logs.iter().find(|flow_log| flow_log.name == name).cloned();
        found.map(Response::new).ok_or_else(|| Status::not_found(format!("there is no flow log `{name}`")))
    }

    async fn list(&self, _: Request<ListFlowLogsRequest>) -> Answer<ListFlowLogsResponse> {
        Ok(Response::new(ListFlowLogsResponse { flow_logs: self.flow_logs.clone() }))
    }

    async fn delete(&self, request: Request<DeleteFlowLogRequest>) -> Answer<DeleteFlowLogResponse> {
        let name = request.into_inner().flow_log;
        let existed = self.flow_logs.iter().any(|flow_log| flow_log.name == name);
        Ok(Response::new(DeleteFlowLogResponse { existed }))
    }
}

#[async_trait]
impl FlowService for Answers {
    async fn get_spool(&self, _: Request<GetSpoolRequest>) -> Answer<Spool> {
        Ok(Response::new(self.spool.clone()))
    }

    type FollowStream = Pin<Box<dyn Stream<Item = Result<FollowResponse, Status>> + Send>>;

    async fn follow(&self, _: Request<FollowRequest>) -> Answer<Self::FollowStream> {
        let messages = self.followed.clone().into_iter().map(Ok);
        Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
    }

    async fn counters(&self, _: Request<CountersRequest>) -> Answer<CountersResponse> {
        Ok(Response::new(self.counters.clone()))
    }

    async fn audit(&self, _: Request<AuditRequest>) -> Answer<AuditResponse> {
        Ok(Response::new(self.audit.clone()))
    }

    async fn flush(&self, _: Request<FlushRequest>) -> Answer<FlushResponse> {
        Ok(Response::new(FlushResponse { records: 1_234 }))
    }
}

#[async_trait]
impl HostService for Answers {
    async fn doctor(&self, _: Request<DoctorRequest>) -> Answer<DoctorResponse> {
        Ok(Response::new(self.doctor.clone()))
    }

    async fn setup_times(&self, _: Request<SetupTimesRequest>) -> Answer<SetupTimesResponse> {
        Ok(Response::new(SetupTimesResponse::default()))
    }
}
