//! Errors as gRPC statuses, with details for programs.

use std::io;

use enid_api::Refusal;
use enid_model::LookupError;
use enid_netns::NetnsError;
use tonic::{Code, Status};

use super::EnidError;

impl EnidError {
    fn code(&self) -> Code {
        match self {
            Self::Value(_)
            | Self::NetworkFile(_)
            | Self::NotAnAddress { .. }
            | Self::NotAPacket(_)
            | Self::NotNamed(_)
            | Self::Format(_)
            | Self::FlowLogSettings(_)
            | Self::Address { .. }
            | Self::TooManySecurityGroups { .. }
            | Self::NetnsNotATasks(_)
            | Self::Netns(NetnsError::NotANamespace(_)) => Code::InvalidArgument,
            Self::Lookup(_) | Self::NoTask(_) | Self::NoFlowLog(_) | Self::NoEni(_) => Code::NotFound,
            Self::Netns(error) if error.is_no_such_namespace() => Code::NotFound,
            Self::TaskDiffers { .. }
            | Self::FlowLogDiffers { .. }
            | Self::AddressTaken { .. }
            | Self::NetnsTaken(_)
            | Self::NetnsInUse { .. } => Code::AlreadyExists,
            Self::SubnetFull { .. }
            | Self::HostFull { .. }
            | Self::TooManyRouters
            | Self::TooManyQueries { .. }
            | Self::PolicyFull { .. } => Code::ResourceExhausted,
            Self::Claimed(_)
            | Self::TaskBroken { .. }
            | Self::Apply(_)
            | Self::Remove(_)
            | Self::InUse { .. }
            | Self::PlatformVersion(_)
            | Self::NoSuchClass { .. }
            | Self::HasFlowLog { .. }
            | Self::Destination { .. }
            | Self::Services { .. }
            | Self::NoCgroup2
            | Self::NotCgroup2(_) => Code::FailedPrecondition,
            Self::Stopping => Code::Unavailable,
            Self::Netns(error) if error.is_no_space() => Code::ResourceExhausted,
            Self::Store(error) if error.is_no_space() => Code::ResourceExhausted,
            Self::Spool(error) if error.is_no_space() => Code::ResourceExhausted,
            Self::Files(error) if error.is_no_space() => Code::ResourceExhausted,
            Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Code::ResourceExhausted
            }
            Self::Netns(_)
            | Self::Store(_)
            | Self::Datapath(_)
            | Self::Spool(_)
            | Self::Files(_)
            | Self::Delivery(_)
            | Self::File { .. }
            | Self::SubnetGone { .. }
            | Self::RouterGone(_)
            | Self::Incomplete { .. }
            | Self::NotInForce(_)
            | Self::Program { .. } => Code::Internal,
        }
    }
}

/// What an error is, for programs: a reason that never changes, and the type and name of the object that it is about.
type Kind = (&'static str, Option<(&'static str, String)>);

impl EnidError {
    fn kind(&self) -> Kind {
        let on = |kind: &'static str, name: &dyn ToString| Some((kind, name.to_string()));
        match self {
            Self::Value(_) | Self::NotAnAddress { .. } | Self::NotNamed(_) => ("VALUE_MALFORMED", None),
            Self::NetworkFile(_) => ("NETWORK_FILE_INVALID", None),
            Self::Apply(_) => ("CHANGE_REFUSED", None),
            Self::Lookup(LookupError::Unknown { kind, wanted, .. }) => ("OBJECT_NOT_FOUND", on(kind, wanted)),
            Self::Lookup(LookupError::Ambiguous { kind, wanted, .. }) => ("NAME_AMBIGUOUS", on(kind, wanted)),
            Self::Lookup(LookupError::OtherVpc { kind, wanted, .. }) => {
                ("OBJECT_OF_OTHER_VPC", on(kind, wanted))
            }
            Self::Remove(_) => ("OBJECT_IN_USE", None),
            Self::HasFlowLog { flow_log, .. } => ("OBJECT_HAS_FLOW_LOG", on("flow log", flow_log)),
            Self::NoFlowLog(name) => ("FLOW_LOG_NOT_FOUND", on("flow log", name)),
            Self::FlowLogDiffers { name, .. } => ("FLOW_LOG_DIFFERS", on("flow log", name)),
            Self::Format(_) => ("FORMAT_INVALID", None),
            Self::FlowLogSettings(_) => ("FLOW_LOG_INVALID", None),
            Self::NoEni(id) => ("ENI_NOT_FOUND", on("ENI", id)),
            Self::Destination { destination, .. } => ("DESTINATION_REFUSES", on("destination", destination)),
            Self::InUse { task, .. } => ("OBJECT_IN_USE", on("task", task)),
            Self::TooManySecurityGroups { .. } => ("TOO_MANY_SECURITY_GROUPS", None),
            Self::NotAPacket(_) => ("PACKET_INVALID", None),
            Self::Address { subnet, .. } => ("ADDRESS_NOT_OF_SUBNET", on("subnet", subnet)),
            Self::AddressTaken { address, .. } => ("ADDRESS_TAKEN", on("address", address)),
            Self::SubnetFull { subnet, .. } => ("SUBNET_FULL", on("subnet", subnet)),
            Self::HostFull { .. } => ("HOST_FULL", None),
            Self::TooManyRouters => ("TOO_MANY_ROUTERS", None),
            Self::TooManyQueries { .. } => ("TOO_MANY_QUERIES", None),
            Self::PolicyFull { .. } => ("POLICY_FULL", None),
            Self::NotInForce(_) => ("NOT_IN_FORCE", None),
            Self::NoTask(name) => ("TASK_NOT_FOUND", on("task", name)),
            Self::TaskDiffers { name, .. } => ("TASK_DIFFERS", on("task", name)),
            Self::PlatformVersion(_) => ("PLATFORM_VERSION_REFUSED", None),
            Self::NoSuchClass { task, .. } => ("CLASS_NOT_OF_PLATFORM_VERSION", on("task", task)),
            Self::NetnsTaken(path) => ("NETNS_TAKEN", on("network namespace", &path.display())),
            Self::NetnsInUse { task, .. } => ("NETNS_IN_USE", on("task", task)),
            Self::SubnetGone { subnet, .. } => ("SUBNET_GONE", on("subnet", subnet)),
            Self::Claimed(_) => ("HOST_CLAIMED", None),
            Self::TaskBroken { name, .. } => ("TASK_BROKEN", on("task", name)),
            Self::RouterGone(vpc) => ("ROUTER_GONE", on("VPC", vpc)),
            Self::NetnsNotATasks(path) => ("NETNS_NOT_A_TASKS", on("network namespace", &path.display())),
            Self::Incomplete { task, .. } => ("DELETED_WITH_ERRORS", on("task", task)),
            Self::Netns(error) if error.is_no_such_namespace() => ("NETNS_NOT_FOUND", None),
            Self::Netns(NetnsError::NotANamespace(path)) => {
                ("NOT_A_NETNS", on("network namespace", &path.display()))
            }
            Self::Netns(_)
            | Self::Store(_)
            | Self::Datapath(_)
            | Self::Spool(_)
            | Self::Files(_)
            | Self::Delivery(_)
            | Self::Program { .. }
            | Self::File { .. } => ("HOST_FAILED", None),
            Self::NoCgroup2 | Self::NotCgroup2(_) => ("NO_CGROUP2", None),
            Self::Services { path, .. } => ("SERVICES_INVALID", on("file", &path.display())),
            Self::Stopping => ("STOPPING", None),
        }
    }
}

/// What can be done, as far as a sentence says it: the part behind its only semicolon.
fn todo(sentence: &str) -> Option<String> {
    let (_, todo) = sentence.split_once("; ")?;
    (!todo.contains("; ")).then(|| todo.to_owned())
}

impl From<EnidError> for Status {
    fn from(error: EnidError) -> Self {
        let (code, sentence) = (error.code(), error.to_string());
        if code == Code::Internal {
            tracing::error!(%error, "a request failed");
        }
        let (reason, object) = error.kind();
        let refusal = Refusal {
            reason: reason.to_owned(),
            todo: todo(&sentence),
            object: object.map(|(kind, name)| (kind.to_owned(), name)),
        };
        refusal.into_status(code, sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_which_object_and_what_to_do() {
        let error = EnidError::NoTask("web".parse().unwrap());
        let status = Status::from(error);
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "there is no task `web`; `enictl task list` shows those there are");
        assert_eq!(
            Refusal::of(&status),
            Some(Refusal {
                reason: "TASK_NOT_FOUND".to_owned(),
                todo: Some("`enictl task list` shows those there are".to_owned()),
                object: Some(("task".to_owned(), "web".to_owned())),
            })
        );
        let status = Status::from(EnidError::Stopping);
        let refusal = Refusal::of(&status).unwrap();
        assert_eq!(
            (status.code(), refusal.reason.as_str(), refusal.todo),
            (Code::Unavailable, "STOPPING", None)
        );
    }

    #[test]
    fn what_is_a_list_is_no_advice() {
        assert_eq!(todo("task a is gone; delete it"), Some("delete it".to_owned()));
        assert_eq!(todo("a; b; c"), None);
        assert_eq!(todo("a"), None);
    }
}
