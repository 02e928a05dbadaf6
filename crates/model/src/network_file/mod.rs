//! The network file: what a host's VPCs, subnets, prefix lists and security groups should be, written by a person in TOML.
//!
//! Reading goes on past what is wrong and reports it all, each problem with its file, line and field; what comes
//! out is a valid [`NetworkSpec`] or nothing. `docs/network-file.md` is the format's reference.

mod block;
mod flow_log;
mod nearest;
mod prefix_list;
mod problem;
mod security_group;
mod spec;
mod subnet;
mod table;
mod vpc;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use toml::de::DeTable;

pub(crate) use block::Block;
pub use nearest::nearest;
pub(crate) use problem::lines;
pub use problem::{NetworkFileError, Problem, Written};
pub use spec::{FlowLogSpec, NetworkSpec, PrefixListSpec, SecurityGroupSpec, SubnetSpec, VpcSpec};

use problem::Report;
use table::{Table, refuse_duplicates};

/// The network of a host whose operator declared none.
const EMBEDDED_DEFAULT: &str = include_str!("../default_network.toml");

impl NetworkSpec {
    /// Reads a network file. `file` is what the text is called in messages: its path as the user wrote it.
    ///
    /// # Errors
    /// Everything that is wrong with the file; of a file that isn't TOML, the first mistake in its syntax.
    pub fn parse(text: &str, file: &str) -> Result<Self, NetworkFileError> {
        Self::parse_with(text, file, |_| Vec::new())
    }

    /// As [`Self::parse`], with what `check` finds in the file's flow logs, whose texts are not read here.
    ///
    /// # Errors
    /// As [`Self::parse`], and what `check` has found.
    pub fn parse_with(
        text: &str,
        file: &str,
        check: impl Fn(&FlowLogSpec) -> Vec<Problem>,
    ) -> Result<Self, NetworkFileError> {
        let mut report = Report::new(text, file);
        let document = match DeTable::parse(text) {
            Ok(document) => document,
            Err(error) => return Err(report.syntax_error(&error)),
        };
        let root = Table::root(&document);
        root.refuse_unknown(&["vpc"], &mut report);
        let drafts: Vec<_> =
            root.tables("vpc", &mut report).iter().map(|table| vpc::read(table, &mut report)).collect();
        let names = drafts.iter().filter_map(|draft| draft.name.as_ref());
        refuse_duplicates(names, "a VPC's name is unique on the host", &mut report);
        let names = drafts.iter().flat_map(|draft| &draft.flow_logs);
        refuse_duplicates(names, "a flow log's name is unique on the host", &mut report);
        let specs = drafts.iter().filter_map(|draft| draft.spec.as_ref());
        report.extend(specs.flat_map(|spec| &spec.flow_logs).flat_map(check).collect());
        report.finish(Self { vpcs: drafts.into_iter().filter_map(|draft| draft.spec).collect() })
    }

    /// The network of a host whose operator declared none: one dual-stack VPC `default` with uplink `nat` and
    /// subnets in two zones.
    ///
    /// # Errors
    /// None in a build whose tests pass: the text is part of it.
    pub fn embedded_default() -> Result<Self, NetworkFileError> {
        Self::parse(EMBEDDED_DEFAULT, "the embedded default network")
    }
}
