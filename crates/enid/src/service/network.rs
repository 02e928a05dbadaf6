//! `NetworkService`.

use std::str::FromStr;
use std::sync::Arc;

use enid_api::v1::delete_network_object_request::Object;
use enid_api::v1::{
    self, ApplyRequest, ApplyResponse, DeleteNetworkObjectRequest, DeleteNetworkObjectResponse,
    ListNetworksRequest, ListNetworksResponse, UpdatePrefixListRequest, UpdateSecurityGroupRequest,
};
use enid_delivery::Target;
use enid_model::{ListUpdate, ModelError, NetworkSpec};
use tonic::{Request, Response, Status};

use super::{blocking, message};
use crate::EnidError;
use crate::tasks::Tasks;
use crate::{delivery, flow_logs};

/// Networks, at the door.
#[derive(Debug)]
pub(crate) struct NetworkApi {
    pub(crate) tasks: Arc<Tasks>,
}

#[tonic::async_trait]
impl v1::network_service_server::NetworkService for NetworkApi {
    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyResponse>, Status> {
        let request = request.into_inner();
        let spec = NetworkSpec::parse_with(&request.source, &request.file_name, flow_logs::check);
        let spec = spec.map_err(EnidError::from)?;
        let planned = self.tasks.networks.planned(&spec)?;
        let declared = flow_logs::resolve(&spec, &planned)?;
        if !request.dry_run {
            for flow_log in self.tasks.flow_logs.untried(&declared) {
                delivery::probe(&flow_log.destination).await?;
            }
        }
        let tasks = Arc::clone(&self.tasks);
        blocking(move || Ok(ApplyResponse { changes: apply(&tasks, &spec, request.dry_run)? })).await
    }

    async fn list(&self, _: Request<ListNetworksRequest>) -> Result<Response<ListNetworksResponse>, Status> {
        let current = self.tasks.networks.current();
        let message = |vpc: &enid_model::Vpc| {
            let router = self.tasks.routers.get(vpc.id).map(|router| router.netns().display().to_string());
            message::vpc(vpc, router, |subnet| self.tasks.available_ipv4(subnet))
        };
        Ok(Response::new(ListNetworksResponse { vpcs: current.vpcs().iter().map(message).collect() }))
    }

    async fn delete(
        &self,
        request: Request<DeleteNetworkObjectRequest>,
    ) -> Result<Response<DeleteNetworkObjectResponse>, Status> {
        let object = request.into_inner().object;
        let object = object
            .ok_or_else(|| EnidError::NotNamed("name a VPC, a subnet, a security group or a prefix list"))?;
        let tasks = Arc::clone(&self.tasks);
        blocking(move || delete(&tasks, object).map(|()| DeleteNetworkObjectResponse {})).await
    }

    async fn update_security_group(
        &self,
        request: Request<UpdateSecurityGroupRequest>,
    ) -> Result<Response<ApplyResponse>, Status> {
        let request = request.into_inner();
        let (ingress, egress) = (list_update(request.ingress)?, list_update(request.egress)?);
        let tasks = Arc::clone(&self.tasks);
        blocking(move || {
            let (group, dry_run) = (&request.security_group, request.dry_run);
            Ok(ApplyResponse {
                changes: tasks.networks.update_security_group(group, &ingress, &egress, dry_run)?,
            })
        })
        .await
    }

    async fn update_prefix_list(
        &self,
        request: Request<UpdatePrefixListRequest>,
    ) -> Result<Response<ApplyResponse>, Status> {
        let request = request.into_inner();
        let entries = list_update(request.entries)?;
        let tasks = Arc::clone(&self.tasks);
        blocking(move || {
            let (list, dry_run) = (&request.prefix_list, request.dry_run);
            Ok(ApplyResponse { changes: tasks.networks.update_prefix_list(list, &entries, dry_run)? })
        })
        .await
    }
}

/// Applies a network file: all of it, or nothing if something in it is refused.
fn apply(tasks: &Tasks, spec: &NetworkSpec, dry_run: bool) -> Result<Vec<String>, EnidError> {
    // What flow logs are of must not go in between.
    let _networks = tasks.networks.hold();
    let declared = flow_logs::resolve(spec, &tasks.networks.planned(spec)?)?;
    let planned = tasks.flow_logs.apply(&declared, true)?;
    let mut changes =
        tasks.networks.apply(spec, dry_run, |old: &_, new: &_| tasks.routers.update(old, new))?;
    changes.extend(if dry_run {
        planned
    } else {
        // Only now do new VPCs and subnets have their identifiers.
        tasks.flow_logs.apply(&flow_logs::resolve(spec, &tasks.networks.current())?, false)?
    });
    Ok(changes)
}

fn delete(tasks: &Tasks, object: Object) -> Result<(), EnidError> {
    let _alone = tasks.networks.hold_alone();
    let current = tasks.networks.current();
    match object {
        Object::Vpc(wanted) => {
            let vpc = current.vpc(&wanted)?;
            unused(tasks.find(|eni| eni.vpc == vpc.id), || format!("VPC {}", vpc.name))?;
            let is_in = |target| match target {
                Target::Vpc(id) => id == vpc.id,
                Target::Subnet(id) => vpc.subnets.iter().any(|subnet| subnet.id == id),
                Target::Eni(_) => false,
            };
            without_flow_logs(tasks, is_in, || format!("VPC {}", vpc.name))?;
            let router = tasks.routers.get(vpc.id);
            tasks.routers.remove(vpc.id)?;
            // Their links go with the router.
            if let Some(router) = router {
                tasks.forget_slots(&router);
            }
            tasks.networks.remove_vpc(vpc.id)
        }
        Object::Subnet(wanted) => {
            let (vpc, subnet) = current.subnet(&wanted)?;
            unused(tasks.find(|eni| eni.subnet == subnet.id), || format!("subnet {}", subnet.name))?;
            let is_of = |target| target == Target::Subnet(subnet.id);
            without_flow_logs(tasks, is_of, || format!("subnet {}", subnet.name))?;
            tasks.routers.remove_subnet(vpc.id, subnet)?;
            tasks.networks.remove_subnet(subnet.id)
        }
        Object::SecurityGroup(wanted) => {
            let (_, group) = current.security_group(&wanted)?;
            let user = tasks.find(|eni| eni.security_groups.contains(&group.id));
            unused(user, || format!("security group {}", group.name))?;
            tasks.networks.remove_security_group(group.id)
        }
        Object::PrefixList(wanted) => {
            let (_, list) = current.prefix_list(&wanted)?;
            tasks.networks.remove_prefix_list(list.id)
        }
    }
}

/// Refuses what has a flow log.
fn without_flow_logs(
    tasks: &Tasks,
    uses: impl Fn(Target) -> bool,
    object: impl FnOnce() -> String,
) -> Result<(), EnidError> {
    let found = tasks.flow_logs.find(uses);
    found.map_or(Ok(()), |flow_log| Err(EnidError::HasFlowLog { object: object(), flow_log }))
}

fn list_update<T: FromStr<Err = ModelError>>(
    update: Option<v1::ListUpdate>,
) -> Result<ListUpdate<T>, EnidError> {
    let update = update.unwrap_or_default();
    let parse = |texts: Vec<String>| texts.iter().map(|text| text.parse()).collect::<Result<_, _>>();
    Ok(ListUpdate { clear: update.clear, remove: parse(update.remove)?, add: parse(update.add)? })
}

fn unused(user: Option<enid_model::TaskName>, object: impl FnOnce() -> String) -> Result<(), EnidError> {
    user.map_or(Ok(()), |task| Err(EnidError::InUse { object: object(), task }))
}
