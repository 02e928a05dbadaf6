//! `HostService`.

use std::sync::Arc;

use enid_api::v1::{
    self, DoctorRequest, DoctorResponse, ListPlatformVersionsRequest, ListPlatformVersionsResponse,
    SetupTimesRequest, SetupTimesResponse, VersionRequest, VersionResponse,
};
use enid_model::{Carrier, PlatformVersion, TrafficClass};
use tonic::{Request, Response, Status};

use super::{blocking, setup_times};
use crate::doctor::{self, Doctor};
use crate::kernel;
use crate::tasks::Tasks;

/// The host, at the door.
#[derive(Debug)]
pub(crate) struct HostApi {
    pub(crate) doctor: Arc<Doctor>,
    pub(crate) tasks: Arc<Tasks>,
}

#[tonic::async_trait]
impl v1::host_service_server::HostService for HostApi {
    async fn doctor(&self, _: Request<DoctorRequest>) -> Result<Response<DoctorResponse>, Status> {
        let doctor = Arc::clone(&self.doctor);
        blocking(move || {
            let finding = |finding: doctor::Finding| v1::Finding {
                subject: finding.subject,
                severity: finding.severity.as_str().to_owned(),
                detail: finding.detail,
            };
            Ok(DoctorResponse {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                kernel: kernel::release(),
                findings: doctor.examine().into_iter().map(finding).collect(),
            })
        })
        .await
    }

    async fn version(&self, _: Request<VersionRequest>) -> Result<Response<VersionResponse>, Status> {
        Ok(Response::new(VersionResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api: enid_api::API.to_owned(),
            api_revision: enid_api::API_REVISION,
        }))
    }

    async fn list_platform_versions(
        &self,
        _: Request<ListPlatformVersionsRequest>,
    ) -> Result<Response<ListPlatformVersionsResponse>, Status> {
        let versions = &self.tasks.platform_versions;
        let latest = versions.latest();
        let message = |version: PlatformVersion| {
            let state = versions.state(version);
            let carried_by = |carrier| {
                let classes = TrafficClass::ALL.into_iter();
                let classes = classes.filter(|class| version.carrier(*class) == Some(carrier));
                classes.map(|class| class.to_string()).collect()
            };
            v1::PlatformVersion {
                version: version.to_string(),
                state: state.as_str().to_owned(),
                date: state.date().map(|date| date.to_string()),
                is_latest: latest == Some(version),
                task_eni: carried_by(Carrier::TaskEni),
                platform_eni: carried_by(Carrier::PlatformEni),
            }
        };
        let platform_versions = PlatformVersion::ALL.into_iter().rev().map(message).collect();
        Ok(Response::new(ListPlatformVersionsResponse { platform_versions }))
    }

    async fn setup_times(
        &self,
        _: Request<SetupTimesRequest>,
    ) -> Result<Response<SetupTimesResponse>, Status> {
        Ok(Response::new(setup_times::message(&self.tasks)))
    }
}
