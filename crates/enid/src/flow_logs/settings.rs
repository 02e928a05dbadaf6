//! What a flow log is besides its name and its target: checked, and compared.

use std::fmt;

use enid_delivery::{AggregationInterval, Destination, FileOptions, FlowLog, Target, TrafficFilter};
use enid_flowlog::{Field, FlowLogId, Format};
use enid_model::{ModelError, Name};

/// The most characters of a tag's key.
const LONGEST_KEY: usize = 128;

/// Reads a flow log's name, which is not of the form of an id: commands take either.
pub(crate) fn parse_name(text: &str) -> Result<Name, ModelError> {
    let name: Name = text.parse()?;
    if text.parse::<FlowLogId>().is_ok() {
        let reason = "it is of the form of an id".to_owned();
        return Err(ModelError::Malformed { kind: "a flow log's name", value: text.to_owned(), reason });
    }
    Ok(name)
}

/// All of a flow log but its name and its target.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) traffic: TrafficFilter,
    pub(crate) interval: AggregationInterval,
    pub(crate) format: Format,
    pub(crate) destination: Destination,
    pub(crate) files: FileOptions,
    pub(crate) interface_tags: [Option<String>; 2],
}

impl Settings {
    /// Says what does not go together, and of which setting.
    pub(crate) fn check(&self) -> Result<(), (Setting, &'static str)> {
        if !takes_files(&self.destination) && self.files != FileOptions::default() {
            let reason = "a collector takes no files: leave out the file format and the partitions";
            return Err((Setting::Destination, reason));
        }
        let shown = [Field::InterfaceTag, Field::InterfaceTag2];
        for (tag, field) in self.interface_tags.iter().zip(shown) {
            if tag.is_some() && !self.format.contains(field) {
                let reason = "the format does not show it: a first tag is shown as ${interface-tag}, a second as ${interface-tag-2}";
                return Err((Setting::InterfaceTags, reason));
            }
        }
        Ok(())
    }

    /// The flow log with these settings, under an id that is its own if it is new.
    pub(crate) fn flow_log(self, name: Name, target: Target) -> FlowLog {
        let Self { traffic, interval, format, destination, files, interface_tags } = self;
        let id = FlowLogId::random();
        FlowLog { id, name, target, traffic, interval, format, destination, files, interface_tags }
    }
}

/// What [`Settings::check`] speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    Destination,
    InterfaceTags,
}

/// Whether a destination takes files, which file options are for.
pub(crate) const fn takes_files(destination: &Destination) -> bool {
    matches!(destination, Destination::Directory(_) | Destination::Bucket { .. })
}

/// The keys of the tags to show, from texts.
pub(crate) fn interface_tags(keys: &[String]) -> Result<[Option<String>; 2], String> {
    let (first, second) = match keys {
        [] => (None, None),
        [first] => (Some(first), None),
        [first, second] if first == second => return Err(format!("the tag `{first}` is named twice")),
        [first, second] => (Some(first), Some(second)),
        more => return Err(format!("a flow log shows at most 2 tags; {} are named", more.len())),
    };
    for key in keys {
        if key.is_empty() || key.chars().count() > LONGEST_KEY {
            return Err(format!("`{key}` is not a tag key: expected 1 to {LONGEST_KEY} characters"));
        }
    }
    Ok([first.cloned(), second.cloned()])
}

/// In what a flow log is not as wanted: a setting as it is and as it is to be.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) what: &'static str,
    pub(super) old: String,
    new: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} → {}", self.what, self.old, self.new)
    }
}

/// A setting as a person reads it.
type Show = fn(&FlowLog) -> String;

/// In what two flow logs' settings differ.
pub(super) fn differences(old: &FlowLog, new: &FlowLog) -> Vec<Difference> {
    let settings: [(&'static str, Show); 8] = [
        ("destination", |flow_log| flow_log.destination.to_string()),
        ("format", |flow_log| flow_log.format.to_string()),
        ("interval", |flow_log| format!("{} s", flow_log.interval.seconds())),
        ("traffic", |flow_log| flow_log.traffic.to_string()),
        ("file format", |flow_log| flow_log.files.format.to_string()),
        ("Hive partitions", |flow_log| on(flow_log.files.hive_partitions)),
        ("hourly partitions", |flow_log| on(flow_log.files.hourly_partitions)),
        ("interface tags", |flow_log| tags(&flow_log.interface_tags)),
    ];
    let differences = settings.map(|(what, of)| Difference { what, old: of(old), new: of(new) });
    differences.into_iter().filter(|difference| difference.old != difference.new).collect()
}

fn on(is_on: bool) -> String {
    (if is_on { "on" } else { "off" }).to_owned()
}

fn tags(tags: &[Option<String>; 2]) -> String {
    let keys: Vec<&str> = tags.iter().flatten().map(String::as_str).collect();
    if keys.is_empty() { "none".to_owned() } else { keys.join(" ") }
}
