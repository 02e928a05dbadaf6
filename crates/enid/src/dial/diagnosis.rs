//! Why nobody answers: what rules refuse is dropped without a word, and whoever waits for it should not wait to the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use enid_api::dial::wire::{ErrorCode, Protocol, Refusal};
use enid_model::TaskName;
use enid_store::TaskRecord;
use tokio::runtime::Handle;

use super::refuse;
use super::sockets::Sockets;
use crate::explain::{OtherEnd, Packet, explain};
use crate::tasks::Tasks;

/// How long an answer may take before it is asked why: longer than a round trip takes nearly everywhere.
const PATIENCE: Duration = Duration::from_millis(300);

/// Whom to ask why nobody answers.
#[derive(Debug, Clone)]
pub(super) struct Diagnosis(Option<Question>);

#[derive(Debug, Clone)]
struct Question {
    tasks: Arc<Tasks>,
    task: TaskName,
    protocol: Protocol,
}

impl Diagnosis {
    /// Of what goes by the host's own ENI nothing is known.
    pub(super) fn new(
        tasks: &Arc<Tasks>,
        record: &TaskRecord,
        sockets: &Sockets,
        protocol: Protocol,
    ) -> Self {
        let question = || Question { tasks: Arc::clone(tasks), task: record.task.name.clone(), protocol };
        Self(matches!(sockets, Sockets::Task(_)).then(question))
    }

    /// Waits a little, then says why a connection to an address can't be; for ever if it can.
    pub(super) async fn of(&self, to: SocketAddr) -> Refusal {
        if let Some(question) = self.0.clone() {
            tokio::time::sleep(PATIENCE).await;
            let runtime = Handle::current();
            let asked = tokio::task::spawn_blocking(move || question.ask(&runtime, to)).await;
            if let Ok(Some(refusal)) = asked {
                return refusal;
            }
        }
        std::future::pending().await
    }
}

impl Question {
    /// It blocks.
    fn ask(&self, runtime: &Handle, to: SocketAddr) -> Option<Refusal> {
        const TCP: u8 = 6;
        const UDP: u8 = 17;
        let packet = Packet {
            task: self.task.clone(),
            other_end: OtherEnd::To(to.ip()),
            protocol: match self.protocol {
                Protocol::Tcp => TCP,
                Protocol::Udp => UDP,
            },
            selector: to.port(),
            source_port: None,
        };
        let explained = explain(&self.tasks, runtime, &packet);
        let explanation = explained
            .inspect_err(
                |error| tracing::warn!(task = %self.task, %to, %error, "it can't be said why nobody answers"),
            )
            .ok()?;
        let why = explanation.refusal?;
        let step = explanation.steps.last().map(|step| step.what);
        let code = match step {
            Some("egress rules" | "ingress rules") => ErrorCode::SecurityGroup,
            _ => ErrorCode::Unreachable,
        };
        Some(refuse(code, format!("{to} can't be reached: {why}")))
    }
}
