//! Refuses what a peer may not, before any service sees it.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use enid_api::Refusal;
use futures_util::future::Either;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::{Access, Peer, Rights};

/// The methods that change nothing, beside those of health and reflection. Whatever is not here takes the right to
/// change: a method that is forgotten is refused to readers, not open to them.
const READING: [&str; 18] = [
    "/enid.v1.NetworkService/List",
    "/enid.v1.TaskService/Get",
    "/enid.v1.TaskService/List",
    "/enid.v1.TaskService/Explain",
    "/enid.v1.FlowLogService/Get",
    "/enid.v1.FlowLogService/List",
    "/enid.v1.FlowService/GetSpool",
    "/enid.v1.FlowService/Follow",
    "/enid.v1.FlowService/Counters",
    "/enid.v1.FlowService/Audit",
    "/enid.v1.FlowService/Query",
    "/enid.v1.EventService/Watch",
    "/enid.v1.HostService/Doctor",
    "/enid.v1.HostService/Version",
    "/enid.v1.HostService/ListPlatformVersions",
    "/enid.v1.HostService/SetupTimes",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
];
const REFLECTION: &str = "/grpc.reflection.";

fn needed(path: &str) -> Rights {
    if READING.contains(&path) || path.starts_with(REFLECTION) { Rights::Read } else { Rights::Change }
}

/// Puts a guard before services.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    access: Arc<Access>,
}

impl Guard {
    pub(crate) fn new(access: Access) -> Self {
        Self { access: Arc::new(access) }
    }

    fn check(&self, peer: Option<&Peer>, path: &str) -> Result<(), Status> {
        let rights = peer.map_or(Rights::None, |peer| self.access.rights(peer));
        if rights >= needed(path) {
            return Ok(());
        }
        let who = peer.map_or_else(|| "somebody unknown".to_owned(), |peer| format!("user {}", peer.user));
        let may = if rights == Rights::Read { "only read" } else { "do nothing here" };
        let message = format!("{who} may {may}: {} may change things", self.access.changers());
        let refusal = Refusal {
            reason: "NOT_ALLOWED".to_owned(),
            todo: Some(format!("act as one of {}", self.access.changers())),
            object: None,
        };
        Err(refusal.into_status(Code::PermissionDenied, message))
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { guard: self.clone(), inner }
    }
}

/// Services behind a guard.
#[derive(Debug, Clone)]
pub(crate) struct Guarded<S> {
    guard: Guard,
    inner: S,
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Self::Response, Self::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.guard.check(request.extensions().get(), request.uri().path()) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    /// Every method of the protocol, as a path.
    fn methods() -> Vec<String> {
        let descriptors = prost_types::FileDescriptorSet::decode(enid_api::FILE_DESCRIPTOR_SET).unwrap();
        let services = descriptors.file.iter().flat_map(|file| &file.service);
        services
            .flat_map(|service| {
                let method = |method: &prost_types::MethodDescriptorProto| {
                    format!("/enid.v1.{}/{}", service.name(), method.name())
                };
                service.method.iter().map(method).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn what_is_for_readers_is_there_and_changes_nothing() {
        let methods = methods();
        for path in READING.iter().filter(|path| path.starts_with("/enid")) {
            assert!(methods.iter().any(|method| method == path), "{path} does not exist");
        }
        let changing: Vec<&String> = methods.iter().filter(|path| needed(path) == Rights::Change).collect();
        for word in ["Create", "Delete", "Update", "Apply", "PrepareRun", "Flush"] {
            let all: Vec<&String> = methods.iter().filter(|path| path.contains(word)).collect();
            assert!(!all.is_empty() && all.iter().all(|path| changing.contains(path)), "{word}");
        }
        assert_eq!(needed("/enid.v1.TaskService/NoSuchMethod"), Rights::Change);
        assert_eq!(needed("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"), Rights::Read);
    }

    #[test]
    fn a_refusal_says_who_may() {
        let guard = Guard::new(Access::default());
        let peer = Peer { user: 1000, group: 1000, groups: [].into() };
        let refused = guard.check(Some(&peer), "/enid.v1.TaskService/List").unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert_eq!(refused.message(), "user 1000 may do nothing here: root may change things");
        assert_eq!(Refusal::of(&refused).unwrap().reason, "NOT_ALLOWED");
        assert!(guard.check(None, "/enid.v1.TaskService/List").is_err());
        assert!(guard.check(Some(&Peer { user: 0, ..peer }), "/enid.v1.TaskService/Create").is_ok());
    }
}
