//! Server reflection: clients find out what services there are. Older tools ask by its earlier name.

use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tonic_reflection::server::{Builder, v1alpha};

fn builder() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(enid_api::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// `grpc.reflection.v1`.
pub(crate) fn v1() -> Option<ServerReflectionServer<impl ServerReflection>> {
    builder().build_v1().inspect_err(|error| tracing::error!(%error, "there is no reflection")).ok()
}

/// `grpc.reflection.v1alpha`.
pub(crate) fn v1alpha() -> Option<v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>> {
    builder().build_v1alpha().inspect_err(|error| tracing::error!(%error, "there is no reflection")).ok()
}
