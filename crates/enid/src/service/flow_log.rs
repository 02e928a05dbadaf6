//! `FlowLogService`.

use std::sync::Arc;

use enid_api::v1::create_flow_log_request::Target as WantedTarget;
use enid_api::v1::{
    self, CreateFlowLogRequest, DeleteFlowLogRequest, DeleteFlowLogResponse, FlowLogDelivery, FlowLogFiles,
    GetFlowLogRequest, ListFlowLogsRequest, ListFlowLogsResponse,
};
use enid_delivery::{AggregationInterval, FileFormat, FileOptions, FlowLog, Target, TrafficFilter};
use enid_flowlog::Format;
use enid_model::{EniId, Name, TaskName};
use tonic::{Request, Response, Status};

use super::blocking;
use crate::EnidError;
use crate::delivery::{Progress, probe};
use crate::flow_logs::{Settings, interface_tags, parse_name, takes_files};
use crate::tasks::Tasks;

/// Flow logs, at the door.
#[derive(Debug)]
pub(crate) struct FlowLogApi {
    pub(crate) tasks: Arc<Tasks>,
}

#[tonic::async_trait]
impl v1::flow_log_service_server::FlowLogService for FlowLogApi {
    async fn create(&self, request: Request<CreateFlowLogRequest>) -> Result<Response<v1::FlowLog>, Status> {
        let mut request = request.into_inner();
        let wanted_target = request.target.take().ok_or_else(|| {
            EnidError::NotNamed("say whose records it is to have: a VPC's, a subnet's, a task's or an ENI's")
        })?;
        let (name, settings) = parse(request)?;
        let wanted = settings.flow_log(name, target(&self.tasks, &wanted_target)?);
        if let Some(existing) = self.tasks.flow_logs.existing(&wanted)? {
            return Ok(Response::new(message(&self.tasks, &existing)));
        }
        probe(&wanted.destination).await?;
        let tasks = Arc::clone(&self.tasks);
        blocking(move || create(&tasks, &wanted).map(|flow_log| message(&tasks, &flow_log))).await
    }

    async fn get(&self, request: Request<GetFlowLogRequest>) -> Result<Response<v1::FlowLog>, Status> {
        let flow_log = self.tasks.flow_logs.get(&request.into_inner().flow_log)?;
        Ok(Response::new(message(&self.tasks, &flow_log)))
    }

    async fn list(&self, _: Request<ListFlowLogsRequest>) -> Result<Response<ListFlowLogsResponse>, Status> {
        let flow_logs = self.tasks.flow_logs.list();
        let flow_logs = flow_logs.iter().map(|flow_log| message(&self.tasks, flow_log)).collect();
        Ok(Response::new(ListFlowLogsResponse { flow_logs }))
    }

    async fn delete(
        &self,
        request: Request<DeleteFlowLogRequest>,
    ) -> Result<Response<DeleteFlowLogResponse>, Status> {
        let wanted = request.into_inner().flow_log;
        let tasks = Arc::clone(&self.tasks);
        blocking(move || Ok(DeleteFlowLogResponse { existed: tasks.flow_logs.delete(&wanted)? })).await
    }
}

fn parse(request: CreateFlowLogRequest) -> Result<(Name, Settings), EnidError> {
    let FlowLogFiles { format, hive_partitions, hourly_partitions } = request.files.unwrap_or_default();
    let format =
        if format.is_empty() { FileFormat::default() } else { format.parse().map_err(EnidError::Value)? };
    let settings = Settings {
        traffic: request.traffic.map_or(Ok(TrafficFilter::default()), |text| text.parse())?,
        interval: request.interval_seconds.map_or(Ok(AggregationInterval::default()), TryFrom::try_from)?,
        format: match request.format {
            Some(text) => text.parse().map_err(EnidError::Format)?,
            None => Format::default(),
        },
        destination: request.destination.parse()?,
        files: FileOptions { format, hive_partitions, hourly_partitions },
        interface_tags: interface_tags(&request.interface_tags).map_err(EnidError::FlowLogSettings)?,
    };
    settings.check().map_err(|(_, reason)| EnidError::FlowLogSettings(reason.to_owned()))?;
    Ok((parse_name(&request.name)?, settings))
}

fn target(tasks: &Tasks, wanted: &WantedTarget) -> Result<Target, EnidError> {
    let networks = tasks.networks.current();
    Ok(match wanted {
        WantedTarget::Vpc(wanted) => Target::Vpc(networks.vpc(wanted)?.id),
        WantedTarget::Subnet(wanted) => Target::Subnet(networks.subnet(wanted)?.1.id),
        WantedTarget::Task(name) => Target::Eni(tasks.get(&name.parse()?)?.task.eni.id),
        WantedTarget::Eni(id) => {
            let id: EniId = id.parse()?;
            tasks.find(|eni| eni.id == id).ok_or(EnidError::NoEni(id))?;
            Target::Eni(id)
        }
    })
}

/// Creates a flow log, if what it is of is still there.
fn create(tasks: &Tasks, wanted: &FlowLog) -> Result<FlowLog, EnidError> {
    let _networks = tasks.networks.hold();
    // By its identifier: what it was asked for by may be another's name by now.
    target(
        tasks,
        &match wanted.target {
            Target::Vpc(id) => WantedTarget::Vpc(id.to_string()),
            Target::Subnet(id) => WantedTarget::Subnet(id.to_string()),
            Target::Eni(id) => WantedTarget::Eni(id.to_string()),
        },
    )?;
    let created = tasks.flow_logs.create(wanted)?;
    // A task that is deleted from now on takes its flow logs with it; one that was deleted meanwhile may have not.
    if let Target::Eni(id) = wanted.target
        && tasks.find(|eni| eni.id == id).is_none()
    {
        tasks.flow_logs.delete(&created.id.to_string())?;
        return Err(EnidError::NoEni(id));
    }
    Ok(created)
}

fn message(tasks: &Tasks, flow_log: &FlowLog) -> v1::FlowLog {
    let FileOptions { format, hive_partitions, hourly_partitions } = flow_log.files;
    let files = FlowLogFiles { format: format.to_string(), hive_partitions, hourly_partitions };
    v1::FlowLog {
        id: flow_log.id.to_string(),
        name: flow_log.name.to_string(),
        target: flow_log.target.to_string(),
        target_name: target_name(tasks, flow_log.target),
        destination: flow_log.destination.to_string(),
        format: flow_log.format.to_string(),
        interval_seconds: flow_log.interval.seconds(),
        traffic: flow_log.traffic.to_string(),
        files: takes_files(&flow_log.destination).then_some(files),
        interface_tags: flow_log.interface_tags.iter().flatten().cloned().collect(),
        delivery: tasks.accounting.deliveries().progress(flow_log.id).map(delivery),
    }
}

fn delivery(Progress { after, delivered, records, lost, problem }: Progress) -> FlowLogDelivery {
    FlowLogDelivery {
        records,
        problem,
        records_lost: lost.records,
        packets_lost: lost.packets,
        bytes_lost: lost.bytes,
        after_batch: after,
        delivered_batch: delivered,
    }
}

/// What a person calls a target; its identifier if it is gone.
fn target_name(tasks: &Tasks, target: Target) -> String {
    let networks = tasks.networks.current();
    let name = match target {
        Target::Vpc(id) => networks.vpc_by_id(id).map(|vpc| format!("vpc {}", vpc.name)),
        Target::Subnet(id) => {
            networks.subnet_by_id(id).map(|(vpc, subnet)| format!("subnet {}/{}", vpc.name, subnet.name))
        }
        Target::Eni(id) => tasks.find(|eni| eni.id == id).map(|name: TaskName| format!("task {name}")),
    };
    name.unwrap_or_else(|| target.to_string())
}
