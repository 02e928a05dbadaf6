//! `HostService`.

use std::sync::Arc;

use enid_api::v1::{self, DoctorRequest, DoctorResponse};
use tonic::{Request, Response, Status};

use super::blocking;
use crate::doctor::{self, Doctor};
use crate::kernel;

/// The host, at the door.
#[derive(Debug)]
pub(crate) struct HostApi {
    pub(crate) doctor: Arc<Doctor>,
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
}
