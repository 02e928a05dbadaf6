//! What must outlive the daemon: networks on disk, tasks and ENIs under the run directory.
