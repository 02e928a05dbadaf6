//! Requests to a host's daemon, each over a connection of its own and with a deadline.

use enid_api::Client;
use enid_api::v1::{
    ApplyRequest, AuditRequest, CreateTaskRequest, DeleteTaskRequest, EniAudit, FlushRequest,
    ListTasksRequest, Task,
};
use tonic::{Response, Status};

use super::Host;
use crate::DEADLINE;

impl Host {
    /// Sends a request, as `host.call(async |client| client.tasks().list(ListTasksRequest {}).await)`.
    ///
    /// # Errors
    /// The daemon's.
    pub fn call<T>(
        &self,
        request: impl AsyncFnOnce(Client) -> Result<Response<T>, Status>,
    ) -> Result<T, Status> {
        self.converse(async |client| Ok(request(client).await?.into_inner()))
    }

    /// Has a conversation with the daemon: streams, and requests one after the other.
    ///
    /// # Errors
    /// The daemon's.
    pub fn converse<T>(
        &self,
        conversation: impl AsyncFnOnce(Client) -> Result<T, Status>,
    ) -> Result<T, Status> {
        self.runtime.block_on(async {
            let answer = async {
                let client = Client::connect(self.socket()).await;
                let client = client.map_err(|error| Status::unavailable(error.to_string()))?;
                conversation(client).await
            };
            let answer = tokio::time::timeout(DEADLINE, answer).await;
            answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("the daemon did not answer")))
        })
    }

    /// Declares networks, from the text of a network file, and returns what changed.
    #[track_caller]
    pub fn apply(&self, source: &str) -> Vec<String> {
        self.try_apply(source, false).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Declares networks, or with `dry_run` says what would change.
    ///
    /// # Errors
    /// The daemon's.
    pub fn try_apply(&self, source: &str, dry_run: bool) -> Result<Vec<String>, Status> {
        let request =
            ApplyRequest { source: source.to_owned(), file_name: "network.toml".to_owned(), dry_run };
        Ok(self.call(async |client| client.networks().apply(request).await)?.changes)
    }

    /// Creates a task in a subnet.
    #[track_caller]
    pub fn create(&self, name: &str, subnet: &str) -> Task {
        self.create_as(&new_task(name, subnet)).unwrap_or_else(|error| panic!("create {name}: {error}"))
    }

    /// Creates a task.
    ///
    /// # Errors
    /// The daemon's.
    pub fn create_as(&self, request: &CreateTaskRequest) -> Result<Task, Status> {
        self.call(async |client| client.tasks().create(request.clone()).await)
    }

    /// Deletes a task, and says whether there was one.
    #[track_caller]
    pub fn delete(&self, name: &str) -> bool {
        self.try_delete(name).unwrap_or_else(|error| panic!("delete {name}: {error}"))
    }

    /// Deletes a task, and says whether there was one.
    ///
    /// # Errors
    /// The daemon's.
    pub fn try_delete(&self, name: &str) -> Result<bool, Status> {
        let request = DeleteTaskRequest { name: name.to_owned(), ..DeleteTaskRequest::default() };
        Ok(self.call(async |client| client.tasks().delete(request).await)?.existed)
    }

    /// All tasks, by name.
    #[track_caller]
    pub fn tasks(&self) -> Vec<Task> {
        let answer = self.call(async |client| client.tasks().list(ListTasksRequest {}).await);
        answer.unwrap_or_else(|error| panic!("{error}")).tasks
    }

    /// Closes the aggregation interval, and returns how many records were written.
    ///
    /// # Errors
    /// The daemon's.
    pub fn try_flush(&self) -> Result<u64, Status> {
        Ok(self.call(async |client| client.flows().flush(FlushRequest {}).await)?.records)
    }

    /// Audits every ENI.
    #[track_caller]
    pub fn audit(&self) -> Vec<EniAudit> {
        let answer = self.call(async |client| client.flows().audit(AuditRequest { task: None }).await);
        answer.unwrap_or_else(|error| panic!("{error}")).enis
    }
}

/// A request for a task in a subnet, all else as the daemon likes it.
pub fn new_task(name: &str, subnet: &str) -> CreateTaskRequest {
    CreateTaskRequest { name: name.to_owned(), subnet: subnet.to_owned(), ..CreateTaskRequest::default() }
}
