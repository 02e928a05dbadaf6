//! The gRPC protocol enid.v1 and its client.
