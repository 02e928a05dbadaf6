//! Hosts, VPCs and peers out of network namespaces, for tests and benchmarks.
