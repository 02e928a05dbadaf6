//! The daemon, as a call sees it: asked until it answers or the call's time is over.

use std::error::Error;
use std::iter;
use std::path::PathBuf;
use std::time::Duration;

use enid_api::v1::{DeleteTaskRequest, GetTaskRequest, ListNetworksRequest, ListTasksRequest, Task, Vpc};
use enid_api::{Client, ConnectError};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code as GrpcCode, Request, Response, Status, TimeoutExpired};

use crate::attachment::Attachment;
use crate::configuration::Configuration;
use crate::error::{CniError, Code};

/// The first wait before a request is tried again, doubled each time up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// The daemon of a network, and until when it may be asked.
pub(crate) struct Daemon {
    socket: PathBuf,
    deadline: Instant,
    patient: bool,
    client: Option<Client>,
}

/// Why there is no answer to one attempt.
enum Failure {
    Connect(ConnectError),
    Status(Status),
    Late,
}

impl Failure {
    /// What a status means, which may have been made on this side.
    fn of(status: Status) -> Self {
        let mut causes = iter::successors(status.source(), |cause| (*cause).source());
        if causes.any(<dyn Error>::is::<TimeoutExpired>) { Self::Late } else { Self::Status(status) }
    }
}

impl Daemon {
    /// The daemon of a network, for as long as a call may take. It is asked again where it is away: what this plugin asks for can
    /// be repeated.
    pub(crate) fn new(configuration: &Configuration) -> Self {
        Self {
            socket: configuration.socket.clone(),
            deadline: Instant::now() + configuration.timeout,
            patient: true,
            client: None,
        }
    }

    /// The same, asked once.
    pub(crate) fn impatient(configuration: &Configuration) -> Self {
        Self { patient: false, ..Self::new(configuration) }
    }

    /// Sends a request and waits for the answer. `action` is what it is for: `create task web`.
    ///
    /// # Errors
    /// The daemon refuses, or is not there in time.
    pub(crate) async fn ask<M: Clone, T>(
        &mut self,
        action: &str,
        message: M,
        call: impl AsyncFn(Client, Request<M>) -> Result<Response<T>, Status>,
    ) -> Result<T, CniError> {
        let mut wait = FIRST_WAIT;
        loop {
            let failure = match self.attempt(&message, &call).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let may_pass = match &failure {
                Failure::Connect(ConnectError::NobodyListens { .. } | ConnectError::Protocol { .. }) => true,
                Failure::Status(status) => status.code() == GrpcCode::Unavailable || is_broken(status),
                Failure::Connect(_) | Failure::Late => false,
            };
            if !may_pass || !self.patient || Instant::now() + wait >= self.deadline {
                return Err(self.error(action, failure));
            }
            // A connection that failed is not used again.
            self.client = None;
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn attempt<M: Clone, T>(
        &mut self,
        message: &M,
        call: &impl AsyncFn(Client, Request<M>) -> Result<Response<T>, Status>,
    ) -> Result<T, Failure> {
        let deadline = self.deadline;
        let answer = async {
            let client = match &self.client {
                Some(client) => client.clone(),
                None => Client::connect(&self.socket).await.map_err(Failure::Connect)?,
            };
            self.client = Some(client.clone());
            let mut request = Request::new(message.clone());
            // So that the daemon knows, too.
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
            Ok(call(client, request).await.map_err(Failure::of)?.into_inner())
        };
        timeout_at(deadline, answer).await.unwrap_or(Err(Failure::Late))
    }

    fn error(&self, action: &str, failure: Failure) -> CniError {
        let message = format!("can't {action}");
        match failure {
            Failure::Connect(error) => {
                let code = match &error {
                    ConnectError::NobodyListens { .. } => Code::TryAgainLater,
                    ConnectError::Refused { .. } => Code::Denied,
                    ConnectError::Protocol { .. } => Code::Protocol,
                };
                CniError::new(code, message, error.to_string())
            }
            Failure::Status(status) if is_broken(&status) => {
                let details =
                    format!("the connection to {} broke: {}", self.socket.display(), status.message());
                CniError::new(Code::TryAgainLater, message, details)
            }
            Failure::Status(status) => CniError::of_status(action, &status),
            Failure::Late => {
                let details = format!("the daemon at {} did not answer in time", self.socket.display());
                CniError::new(Code::TryAgainLater, message, details)
            }
        }
    }

    /// Deletes a task, and says whether there was one.
    pub(crate) async fn delete(&mut self, name: &str, attachment: &Attachment) -> Result<bool, CniError> {
        // Another's of that name, who has not these tags, stays.
        let tags = attachment.tags().into_iter().collect();
        let request = DeleteTaskRequest { name: name.to_owned(), tags };
        let call = async |client: Client, request| client.tasks().delete(request).await;
        Ok(self.ask(&format!("delete task {name}"), request, call).await?.existed)
    }

    /// All tasks.
    pub(crate) async fn tasks(&mut self) -> Result<Vec<Task>, CniError> {
        let call = async |client: Client, request| client.tasks().list(request).await;
        Ok(self.ask("list the tasks", ListTasksRequest {}, call).await?.tasks)
    }

    /// All VPCs.
    pub(crate) async fn networks(&mut self) -> Result<Vec<Vpc>, CniError> {
        let call = async |client: Client, request| client.networks().list(request).await;
        Ok(self.ask("list the networks", ListNetworksRequest {}, call).await?.vpcs)
    }

    /// The task of a container, under whichever name.
    pub(crate) async fn task_of(&mut self, attachment: &Attachment) -> Result<Option<Task>, CniError> {
        let name = attachment.task_name();
        let action = format!("look at task {name}");
        let call = async |client: Client, request| match client.tasks().get(request).await {
            Ok(task) => Ok(Response::new(Some(task.into_inner()))),
            Err(status) if status.code() == GrpcCode::NotFound => Ok(Response::new(None)),
            Err(status) => Err(status),
        };
        let found = self.ask(&action, GetTaskRequest { name }, call).await?;
        if found.is_some() {
            return Ok(found);
        }
        Ok(self.tasks().await?.into_iter().find(|task| Attachment::of(task).as_ref() == Some(attachment)))
    }
}

/// Whether a status is not the daemon's, but of a connection that ended under the request.
fn is_broken(status: &Status) -> bool {
    matches!(status.code(), GrpcCode::Unknown | GrpcCode::Cancelled | GrpcCode::Internal)
        && status.source().is_some()
}
