//! End-to-end tests of enid: see `tests/e2e`. They need root, and the workspace's programs built with the same profile
//! (`cargo build --workspace --bins`).
