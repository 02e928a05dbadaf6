//! `TaskService`.

use std::collections::BTreeMap;
use std::sync::Arc;

use enid_api::Refusal;
use enid_api::dial::wire::{ErrorCode, Refusal as Refused};
use enid_api::v1::{
    self, CreateTaskRequest, CreateTaskStep, DeleteTaskRequest, DeleteTaskResponse, ExplainRequest,
    ExplainResponse, GetTaskRequest, ListTasksRequest, ListTasksResponse, OpenProxyRequest,
    OpenProxyResponse, PrepareRunRequest, PrepareRunResponse, UpdateTaskRequest,
};
use enid_model::{
    EcsTask, IdleTimeouts, ModelError, Mtu, Tags, TaskName, TcpEstablishedTimeout, TrafficClass,
    UdpStreamTimeout, UdpTimeout, WantedPlatformVersion,
};
use enid_store::{TaskRecord, TaskState};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status};

use super::admitted::admitted;
use super::{blocking, ecs, explain, message};
use crate::EnidError;
use crate::addresses::WantedAddresses;
use crate::dial::Caller;
use crate::proxy::Proxies;
use crate::run::{RunPlace, Runs};
use crate::tasks::{NewTask, Tasks, check_namespace};

/// Tasks, at the door.
#[derive(Debug)]
pub(crate) struct TaskApi {
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) runs: Arc<Runs>,
    pub(crate) proxies: Arc<Proxies>,
}

/// The answers of one create in steps, and an error after them.
const STEPS: usize = 3;

#[tonic::async_trait]
impl v1::task_service_server::TaskService for TaskApi {
    async fn create(&self, request: Request<CreateTaskRequest>) -> Result<Response<v1::Task>, Status> {
        let (metadata, _, request) = request.into_parts();
        let new = parse(request)?;
        let tasks = Arc::clone(&self.tasks);
        admitted(&self.tasks.stages.create, &metadata, move || {
            let record = tasks.create(&new, &mut |_| {})?;
            answer(&tasks, &record)
        })
        .await
    }

    type CreateInStepsStream = ReceiverStream<Result<CreateTaskStep, Status>>;

    async fn create_in_steps(
        &self,
        request: Request<CreateTaskRequest>,
    ) -> Result<Response<Self::CreateInStepsStream>, Status> {
        let (metadata, _, request) = request.into_parts();
        let new = parse(request)?;
        let tasks = Arc::clone(&self.tasks);
        let (sender, receiver) = mpsc::channel(STEPS);
        let steps = sender.clone();
        let work = move || {
            let step = |record: &TaskRecord| {
                let ready_for = if record.state == TaskState::Ready { "containers" } else { "platform" };
                let step = answer(&tasks, record)
                    .map(|task| CreateTaskStep { ready_for: ready_for.to_owned(), task: Some(task) });
                // There is room for all. Who has gone needs none.
                let _ = steps.try_send(step.map_err(Status::from));
            };
            let mut count = 0;
            let record = tasks.create(&new, &mut |record| {
                count += 1;
                step(record);
            })?;
            if count == 0 {
                // It was there already: both steps are behind it.
                step(&TaskRecord { state: TaskState::Creating, ..record.clone() });
                step(&record);
            }
            Ok(())
        };
        let stage = Arc::clone(&self.tasks.stages.create);
        tokio::spawn(async move {
            let outcome = tokio::select! {
                outcome = admitted(&stage, &metadata, work) => outcome,
                () = sender.closed() => return,
            };
            if let Err(status) = outcome {
                let _ = sender.try_send(Err(status));
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn get(&self, request: Request<GetTaskRequest>) -> Result<Response<v1::Task>, Status> {
        let name: TaskName = request.into_inner().name.parse().map_err(EnidError::from)?;
        let record = self.tasks.get(&name)?;
        Ok(Response::new(answer(&self.tasks, &record)?))
    }

    async fn list(&self, _: Request<ListTasksRequest>) -> Result<Response<ListTasksResponse>, Status> {
        let answer = |record: &TaskRecord| {
            // Of one that can't be shown the others must not suffer; asked for by name it says why.
            let answered = answer(&self.tasks, record);
            answered.inspect_err(|error| tracing::warn!(%error, "a task can't be listed")).ok()
        };
        let tasks = self.tasks.list().iter().filter_map(answer).collect();
        Ok(Response::new(ListTasksResponse { tasks }))
    }

    async fn delete(
        &self,
        request: Request<DeleteTaskRequest>,
    ) -> Result<Response<DeleteTaskResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let name: TaskName = request.name.parse().map_err(EnidError::from)?;
        let tasks = Arc::clone(&self.tasks);
        let work = move || Ok(DeleteTaskResponse { existed: tasks.delete(&name, &request.tags)? });
        admitted(&self.tasks.stages.delete, &metadata, work).await
    }

    async fn update(&self, request: Request<UpdateTaskRequest>) -> Result<Response<v1::Task>, Status> {
        let UpdateTaskRequest { name, ecs, tags, remove_tags } = request.into_inner();
        let name: TaskName = name.parse().map_err(EnidError::from)?;
        let tasks = Arc::clone(&self.tasks);
        blocking(move || {
            let record = tasks.update(&name, |task| {
                ecs::update(&mut task.ecs, ecs.unwrap_or_default())?;
                let mut changed: BTreeMap<String, String> = std::mem::take(&mut task.tags).into();
                changed.retain(|key, _| !remove_tags.contains(key));
                changed.extend(tags);
                task.tags = Tags::new(changed)?;
                Ok(())
            })?;
            answer(&tasks, &record)
        })
        .await
    }

    async fn prepare_run(
        &self,
        request: Request<PrepareRunRequest>,
    ) -> Result<Response<PrepareRunResponse>, Status> {
        let request = request.into_inner();
        let name: TaskName = request.task.parse().map_err(EnidError::from)?;
        let class: TrafficClass = request.traffic_class.parse().map_err(EnidError::from)?;
        let (tasks, runs) = (Arc::clone(&self.tasks), Arc::clone(&self.runs));
        blocking(move || {
            let record = tasks.get(&name)?;
            // A command must not run in a namespace that somebody put in its place.
            check_namespace(&record)?;
            Ok(match runs.prepare(&record.task, class)? {
                RunPlace::Task { cgroup, etc } => PrepareRunResponse {
                    netns: record.task.netns.display().to_string(),
                    cgroup: Some(cgroup.display().to_string()),
                    etc: Some(etc.display().to_string()),
                },
                RunPlace::Host { netns } => {
                    PrepareRunResponse { netns: netns.display().to_string(), cgroup: None, etc: None }
                }
            })
        })
        .await
    }

    async fn open_proxy(
        &self,
        request: Request<OpenProxyRequest>,
    ) -> Result<Response<OpenProxyResponse>, Status> {
        let request = request.into_inner();
        let task: TaskName = request.task.parse().map_err(EnidError::from)?;
        let class: TrafficClass = request.traffic_class.parse().map_err(EnidError::from)?;
        let url = self.proxies.open(&Caller { task, class }).await.map_err(proxy_status)?;
        Ok(Response::new(OpenProxyResponse { url }))
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        let packet = explain::packet(request.into_inner())?;
        let (tasks, runtime) = (Arc::clone(&self.tasks), Handle::current());
        blocking(move || Ok(explain::message(crate::explain::explain(&tasks, &runtime, &packet)?))).await
    }
}

fn proxy_status(refused: Refused) -> Status {
    let (code, reason) = match refused.code {
        ErrorCode::NoSuchTask => (Code::NotFound, "TASK_NOT_FOUND"),
        ErrorCode::TaskBroken => (Code::FailedPrecondition, "TASK_BROKEN"),
        ErrorCode::ClassNotCarried => (Code::FailedPrecondition, "CLASS_NOT_OF_PLATFORM_VERSION"),
        _ => (Code::Internal, "HOST_FAILED"),
    };
    Refusal { reason: reason.to_owned(), todo: None, object: None }.into_status(code, refused.message)
}

fn parse(request: CreateTaskRequest) -> Result<NewTask, EnidError> {
    let mut ecs = EcsTask::default();
    ecs::update(&mut ecs, request.ecs.unwrap_or_default())?;
    Ok(NewTask {
        name: request.name.parse()?,
        subnet: request.subnet,
        security_groups: request.security_groups,
        addresses: WantedAddresses {
            ipv4: request.ipv4.map(|text| parse_address(text, "IPv4")).transpose()?,
            ipv6: request.ipv6.map(|text| parse_address(text, "IPv6")).transpose()?,
        },
        mtu: request.mtu.map(Mtu::try_from).transpose()?,
        platform_version: request
            .platform_version
            .map_or(Ok(WantedPlatformVersion::Latest), |text| text.parse())?,
        netns: request.netns.map(Into::into),
        idle_timeouts: parse_idle_timeouts(request.idle_timeouts.unwrap_or_default())?,
        ecs,
        tags: Tags::new(request.tags)?,
    })
}

fn parse_idle_timeouts(timeouts: v1::IdleTimeouts) -> Result<IdleTimeouts, ModelError> {
    let v1::IdleTimeouts { tcp_established, udp, udp_stream } = timeouts;
    Ok(IdleTimeouts {
        tcp_established: tcp_established.map_or(Ok(TcpEstablishedTimeout::DEFAULT), TryFrom::try_from)?,
        udp: udp.map_or(Ok(UdpTimeout::DEFAULT), TryFrom::try_from)?,
        udp_stream: udp_stream.map_or(Ok(UdpStreamTimeout::DEFAULT), TryFrom::try_from)?,
    })
}

fn parse_address<A: std::str::FromStr>(value: String, family: &'static str) -> Result<A, EnidError> {
    value.parse().map_err(|_| EnidError::NotAnAddress { family, value })
}

fn answer(tasks: &Tasks, record: &TaskRecord) -> Result<v1::Task, EnidError> {
    let eni = &record.task.eni;
    let (vpc, subnet) = tasks
        .networks
        .subnet_by_id(eni.subnet)
        .ok_or_else(|| EnidError::SubnetGone { task: record.task.name.clone(), subnet: eni.subnet })?;
    Ok(message::task(record, &vpc, &subnet))
}
