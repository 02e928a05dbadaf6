//! The ENI daemon.
