//! Flow logs of a network file: its texts read, its names found.

use std::str::FromStr;

use enid_delivery::{AggregationInterval, FileFormat, FileOptions, FlowLog, Target, TrafficFilter};
use enid_flowlog::Format;
use enid_model::{
    FlowLogSpec, ModelError, Name, NetworkFileError, NetworkSpec, Networks, Problem, Vpc, VpcSpec, Written,
};

use super::settings::{Setting, Settings, interface_tags, parse_name};
use crate::EnidError;

/// A flow log of a network file.
#[derive(Debug)]
pub(crate) struct Declared {
    /// With an id that is its own if it is new.
    pub(crate) flow_log: FlowLog,
    /// What a person calls its target.
    pub(crate) target: String,
    /// Where its name stands.
    pub(crate) written: Written,
}

/// What is wrong with a flow log of a network file.
pub(crate) fn check(spec: &FlowLogSpec) -> Vec<Problem> {
    read(spec).err().unwrap_or_default()
}

/// The flow logs of a network file, their targets found in the networks as the file makes them.
pub(crate) fn resolve(spec: &NetworkSpec, networks: &Networks) -> Result<Vec<Declared>, EnidError> {
    let (mut declared, mut problems) = (Vec::new(), Vec::new());
    for vpc in spec.vpcs() {
        for flow_log in &vpc.flow_logs {
            match resolve_one(vpc, flow_log, networks) {
                Ok(found) => declared.push(found),
                Err(found) => problems.extend(found),
            }
        }
    }
    NetworkFileError::unless_empty(problems)?;
    Ok(declared)
}

fn resolve_one(vpc: &VpcSpec, spec: &FlowLogSpec, networks: &Networks) -> Result<Declared, Vec<Problem>> {
    let (name, settings) = read(spec)?;
    let vpc = networks.vpc(vpc.name.as_str()).map_err(|error| vec![spec.name.problem(&error.to_string())])?;
    let (target, called) = match &spec.subnet {
        None => (Target::Vpc(vpc.id), format!("vpc {}", vpc.name)),
        Some(written) => subnet(vpc, written)?,
    };
    Ok(Declared { flow_log: settings.flow_log(name, target), target: called, written: spec.name.clone() })
}

fn subnet(vpc: &Vpc, written: &Written) -> Result<(Target, String), Vec<Problem>> {
    let subnet = vpc.subnet(&written.text).map_err(|error| vec![written.problem(&error.to_string())])?;
    Ok((Target::Subnet(subnet.id), format!("subnet {} of vpc {}", subnet.name, vpc.name)))
}

fn read(spec: &FlowLogSpec) -> Result<(Name, Settings), Vec<Problem>> {
    let mut problems = Vec::new();
    let name = parse_name(&spec.name.text);
    let name = name.map_err(|error| problems.push(spec.name.problem(&error.to_string()))).ok();
    let destination = parse(Some(&spec.destination), &mut problems);
    let format = spec.format.as_ref().map_or_else(
        || Ok(Format::default()),
        |written| written.text.parse::<Format>().map_err(|error| written.problem(&error.to_string())),
    );
    let format = format.map_err(|problem| problems.push(problem)).ok();
    let interval = spec.interval.as_ref().map_or(Ok(AggregationInterval::default()), |written| {
        let seconds = written.text.parse::<u32>();
        let interval = match seconds {
            Ok(seconds) => AggregationInterval::try_from(seconds).map_err(|error| error.to_string()),
            Err(_) => Err(format!("`{}` is not a number of seconds", written.text)),
        };
        interval.map_err(|reason| written.problem(&reason))
    });
    let interval = interval.map_err(|problem| problems.push(problem)).ok();
    let traffic = match &spec.traffic {
        None => Some(TrafficFilter::default()),
        written => parse(written.as_ref(), &mut problems),
    };
    let file_format = match &spec.file_format {
        None => Some(FileFormat::default()),
        written => parse(written.as_ref(), &mut problems),
    };
    let keys: Vec<String> = spec.interface_tags.iter().map(|written| written.text.clone()).collect();
    let tags = interface_tags(&keys).map_err(|reason| {
        problems.extend(spec.interface_tags.last().map(|written| written.problem(&reason)));
    });
    let whole = || {
        let files = FileOptions {
            format: file_format?,
            hive_partitions: spec.hive_partitions,
            hourly_partitions: spec.hourly_partitions,
        };
        let (traffic, interval, format) = (traffic?, interval?, format?);
        let (destination, interface_tags) = (destination?, tags.ok()?);
        Some((name?, Settings { traffic, interval, format, destination, files, interface_tags }))
    };
    let Some((name, settings)) = whole() else { return Err(problems) };
    match settings.check() {
        Ok(()) => Ok((name, settings)),
        Err((Setting::Destination, reason)) => Err(vec![spec.destination.problem(reason)]),
        Err((Setting::InterfaceTags, reason)) => {
            Err(spec.interface_tags.last().map(|written| written.problem(reason)).into_iter().collect())
        }
    }
}

fn parse<T: FromStr<Err = ModelError>>(written: Option<&Written>, problems: &mut Vec<Problem>) -> Option<T> {
    let written = written?;
    let parsed = written.text.parse::<T>();
    parsed.map_err(|error| problems.push(written.problem(&error.to_string()))).ok()
}
