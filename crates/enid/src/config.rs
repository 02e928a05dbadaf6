//! The daemon's configuration: command-line paths, and an optional TOML file.

mod platform_versions;

use std::path::{Path, PathBuf};

use enid_delivery::AggregationInterval;
use enid_model::{GsoMaxSize, ModelError, Mtu, Name, PlatformVersions};
use serde::Deserialize;

/// Everything the daemon can be told. What a file leaves out keeps its default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Of records' `account-id`; `unknown` where absent, as the record format has it.
    pub account_id: Option<Name>,
    /// Of records' `region`; `local` where absent.
    pub region: Option<Name>,
    /// The group that may change things through the socket besides root.
    pub socket_group: Option<String>,
    /// The group that may look through the socket, and change nothing.
    pub reader_group: Option<String>,
    /// Flow logs.
    pub flow_log: FlowLogConfig,
    /// The spool.
    pub spool: SpoolConfig,
    /// The flow table.
    pub flow_table: FlowTableConfig,
    /// Forwarding between ENIs of this host.
    pub forwarding: ForwardingConfig,
    /// ENIs.
    pub eni: EniConfig,
    /// Services that records name.
    pub services: ServicesConfig,
    /// The states of platform versions.
    #[serde(deserialize_with = "platform_versions::deserialize")]
    pub platform_versions: PlatformVersions,
    /// Where things are.
    pub paths: Paths,
}

/// How flow records are written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlowLogConfig {
    /// How often records are made, where no flow log wants it more often: 60 or 600 s, or 1 to 59.
    pub aggregation_interval_seconds: AggregationInterval,
}

/// The spool: records on disk until they are delivered, and as long after that as there is room.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolConfig {
    /// The most that it may take on disk, in bytes; the oldest records go first.
    pub max_bytes: u64,
}

/// The flow table's size.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlowTableConfig {
    /// The most flow entries of all ENIs together.
    pub capacity: u32,
    /// The most refused flows of all ENIs together that are told apart; further ones are only counted.
    pub refusal_capacity: u32,
    /// The most flow entries of one ENI; a quarter of the capacity where absent.
    pub flows_per_eni: Option<u32>,
}

impl FlowTableConfig {
    /// The most flow entries of one ENI.
    pub(crate) fn flow_limit(&self) -> u32 {
        self.flows_per_eni.unwrap_or(self.capacity / 4).max(1)
    }
}

/// Forwarding between ENIs of this host.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForwardingConfig {
    /// Who does it.
    pub mode: ForwardingMode,
}

/// Who forwards packets between ENIs of this host. Verdicts, counts and records are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForwardingMode {
    /// The eBPF programs where the kernel has what that needs, else the kernel.
    #[default]
    Auto,
    /// The eBPF programs, straight into the receiver's namespace.
    Direct,
    /// The kernel's routing.
    Kernel,
}

/// What ENIs are like.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EniConfig {
    /// The most ENIs on this host; a power of two.
    pub capacity: u32,
    /// The MTU of an ENI whose creator asks for none.
    pub mtu: Mtu,
    /// The most bytes that TCP hands on in one buffer, as far as the kernel goes; 65536 turns BIG TCP off. Where absent,
    /// as much as pays.
    pub gso_max_size: Option<GsoMaxSize>,
    /// How many network namespaces are kept ready for tasks to come.
    pub spare_namespaces: usize,
    /// How many slots, namespaces with their link and the programs on it, are kept ready for each VPC in use.
    pub prepared_slots: usize,
}

/// The services that records name by their addresses.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServicesConfig {
    /// A file of prefixes in the published form of `ip-ranges.json`; no service is named where absent.
    pub ip_ranges: Option<PathBuf>,
}

/// Where the daemon's things are. Each can be set, so that one machine can run several hosts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Paths {
    /// Named network namespaces.
    pub netns: PathBuf,
    /// Pinned programs and maps: a folder in a bpf file system.
    pub bpf: PathBuf,
    /// Cgroups of classed commands: a folder in a cgroup2 file system. Found by itself where absent.
    pub cgroup: Option<PathBuf>,
}

impl Default for FlowLogConfig {
    fn default() -> Self {
        Self { aggregation_interval_seconds: AggregationInterval::MINUTE }
    }
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self { max_bytes: 1 << 30 }
    }
}

impl Default for FlowTableConfig {
    fn default() -> Self {
        Self { capacity: 1 << 20, refusal_capacity: 1 << 16, flows_per_eni: None }
    }
}

impl Default for EniConfig {
    fn default() -> Self {
        Self { capacity: 4096, mtu: Mtu::JUMBO, gso_max_size: None, spare_namespaces: 32, prepared_slots: 0 }
    }
}

impl Default for Paths {
    fn default() -> Self {
        Self { netns: "/run/netns".into(), bpf: "/sys/fs/bpf/enid".into(), cgroup: None }
    }
}

/// A configuration file that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It can't be read.
    #[error("can't read the configuration {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// It is not right.
    #[error("{path}:{line}: {message}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// It can't be read, or a value is wrong: then the error names the line.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// The account of records.
    pub(crate) fn account(&self) -> Result<Name, ModelError> {
        self.account_id.clone().map_or_else(|| "unknown".parse(), Ok)
    }

    /// The region of records.
    pub(crate) fn region(&self) -> Result<Name, ModelError> {
        self.region.clone().map_or_else(|| "local".parse(), Ok)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let content = |line, message| ConfigError::Content { path: path.to_owned(), line, message };
        let config: Self = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
            // The message names a field that is not known, but not one whose value is wrong.
            let field =
                text.lines().nth(line - 1).and_then(|line| line.split_once('=')).map(|(key, _)| key.trim());
            let message = match field {
                Some(field) if !error.message().contains(field) => format!("{field}: {}", error.message()),
                _ => error.message().to_owned(),
            };
            content(line, message)
        })?;
        if !config.eni.capacity.is_power_of_two() {
            let message = format!("eni.capacity is {}, and must be a power of two", config.eni.capacity);
            return Err(content(line_of(text, "capacity"), message));
        }
        if config.flow_table.flows_per_eni == Some(0) {
            let message = "flow_table.flows_per_eni is 0, and must be at least 1".to_owned();
            return Err(content(line_of(text, "flows_per_eni"), message));
        }
        Ok(config)
    }
}

fn line_of(text: &str, key: &str) -> usize {
    1 + text.lines().position(|line| line.trim_start().starts_with(key)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse(text, "enid.toml".as_ref()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_left_out_keeps_its_default() {
        let config =
            Config::parse("region = \"eu\"\n[flow_log]\naggregation_interval_seconds = 5\n", "".as_ref())
                .unwrap();
        assert_eq!(config.region().unwrap().as_str(), "eu");
        assert_eq!(config.account().unwrap().as_str(), "unknown");
        assert_eq!(config.flow_log.aggregation_interval_seconds.seconds(), 5);
        assert_eq!(config.spool.max_bytes, 1 << 30);
        assert_eq!(config.forwarding.mode, ForwardingMode::Auto);
    }

    #[test]
    fn an_eni_may_have_a_quarter_of_the_flows_unless_told_otherwise() {
        let limit = |text| Config::parse(text, "".as_ref()).unwrap().flow_table.flow_limit();
        assert_eq!(limit(""), 262_144);
        assert_eq!(limit("[flow_table]\ncapacity = 4096"), 1024);
        assert_eq!(limit("[flow_table]\ncapacity = 2"), 1);
        assert_eq!(limit("[flow_table]\ncapacity = 4096\nflows_per_eni = 4096"), 4096);
    }

    #[test]
    fn errors_name_the_line() {
        assert!(error("a = 1").starts_with("enid.toml:1: unknown field `a`"), "{}", error("a = 1"));
        let text = "region = \"eu\"\n[flow_log]\naggregation_interval_seconds = 601\n";
        assert_eq!(
            error(text),
            "enid.toml:3: aggregation_interval_seconds: `601` is not an aggregation interval: expected 60 or 600 seconds, \
             or 1 to 59"
        );
        assert!(error("[eni]\ncapacity = \"x\"").starts_with("enid.toml:2: capacity: invalid type"));
        let text = "\n[eni]\ncapacity = 3\n";
        assert_eq!(error(text), "enid.toml:3: eni.capacity is 3, and must be a power of two");
        let text = "[flow_table]\n\nflows_per_eni = 0\n";
        assert_eq!(error(text), "enid.toml:3: flow_table.flows_per_eni is 0, and must be at least 1");
        let error_of_mode = error("[forwarding]\nmode = \"fast\"");
        assert!(error_of_mode.starts_with("enid.toml:2: mode: unknown variant `fast`"), "{error_of_mode}");
        assert!(
            error("\n[eni]\nmtu = 9002").contains("MTU 9002 is out of range"),
            "{}",
            error("\n[eni]\nmtu = 9002")
        );
        let text = "\n[eni]\nmtu = 9001\ngso_max_size = 65535";
        assert!(
            error(text).contains("4: gso_max_size 65535 is out of range: 65536 to 524280"),
            "{}",
            error(text)
        );
        assert!(error("\n[spool]\nmax_bytes = \"x\"").starts_with("enid.toml:3: "));
    }
}
