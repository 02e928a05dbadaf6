//! `HostService`.

use std::sync::Arc;

use enid_api::v1::{self, DoctorRequest, DoctorResponse, SetupTimesRequest, SetupTimesResponse};
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

    async fn setup_times(
        &self,
        _: Request<SetupTimesRequest>,
    ) -> Result<Response<SetupTimesResponse>, Status> {
        Ok(Response::new(setup_times::message(&self.tasks)))
    }
}
