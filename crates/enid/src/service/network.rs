//! `NetworkService`.

use std::str::FromStr;
use std::sync::Arc;

use enid_api::v1::delete_network_object_request::Object;
use enid_api::v1::{
    self, ApplyRequest, ApplyResponse, DeleteNetworkObjectRequest, DeleteNetworkObjectResponse,
    ListNetworksRequest, ListNetworksResponse, UpdatePrefixListRequest, UpdateSecurityGroupRequest,
};
use enid_model::{ListUpdate, ModelError, NetworkSpec};
use tonic::{Request, Response, Status};

use super::{blocking, message};
use crate::EnidError;
use crate::tasks::Tasks;

/// Networks, at the door.
#[derive(Debug)]
pub(crate) struct NetworkApi {
    pub(crate) tasks: Arc<Tasks>,
}

#[tonic::async_trait]
impl v1::network_service_server::NetworkService for NetworkApi {
    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyResponse>, Status> {
        let request = request.into_inner();
        let spec = NetworkSpec::parse(&request.source, &request.file_name).map_err(EnidError::from)?;
        let tasks = Arc::clone(&self.tasks);
        blocking(move || {
            let update = |old: &_, new: &_| tasks.routers.update(old, new);
            Ok(ApplyResponse { changes: tasks.networks.apply(&spec, request.dry_run, update)? })
        })
        .await
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
        let object = object.ok_or_else(|| {
            Status::invalid_argument("name a VPC, a subnet, a security group or a prefix list")
        })?;
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

fn delete(tasks: &Tasks, object: Object) -> Result<(), EnidError> {
    let _alone = tasks.networks.hold_alone();
    let current = tasks.networks.current();
    match object {
        Object::Vpc(wanted) => {
            let vpc = current.vpc(&wanted)?;
            unused(tasks.find(|eni| eni.vpc == vpc.id), || format!("VPC {}", vpc.name))?;
            tasks.routers.remove(vpc.id)?;
            tasks.networks.remove_vpc(vpc.id)
        }
        Object::Subnet(wanted) => {
            let (vpc, subnet) = current.subnet(&wanted)?;
            unused(tasks.find(|eni| eni.subnet == subnet.id), || format!("subnet {}", subnet.name))?;
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
