//! Loads and attaches the eBPF programs and owns their maps: configuration in, flows and counters out.
