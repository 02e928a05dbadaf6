//! What flow records say, added up by flow.

use std::collections::HashMap;
use std::net::IpAddr;
use std::process::Command;

use enid_testbed::capture::{Flow, Seen, Way};
use enid_testbed::namespace;
use enid_testbed::store::CREDENTIALS;
use enid_testbed::{Host, program};

/// The fields that are read, in this order.
pub(super) const FORMAT: &str = "${interface-id} ${flow-direction} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} \
     ${packets} ${bytes} ${packets-dropped} ${bytes-dropped} ${log-status} ${end} ${action}";

/// All records of a source.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Books {
    /// By ENI and flow.
    flows: HashMap<(String, Flow), Seen>,
    /// Of what SKIPDATA records state, by ENI.
    skipped: HashMap<String, Seen>,
    /// Of `flows`, what was refused, by ENI and direction.
    refused: HashMap<(String, Way), Seen>,
}

/// What `enictl` prints, where the bucket can be reached.
#[track_caller]
pub(super) fn enictl(host: &Host, arguments: &[&str]) -> String {
    try_enictl(host, arguments).unwrap_or_else(|error| panic!("{error}"))
}

/// The same, or what it says where it fails.
pub(super) fn try_enictl(host: &Host, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program("enictl"));
    command.envs(CREDENTIALS).env("ENID_SOCKET", host.socket()).args(arguments);
    let output = namespace::inside(host.namespace(), move || command.output()).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() && stderr.is_empty() {
        return Ok(String::from_utf8(output.stdout).unwrap());
    }
    Err(format!("{arguments:?}: {}: {stderr}", output.status))
}

impl Books {
    /// Reads the daemon's spool, or with `from` what was delivered to a place.
    #[track_caller]
    pub(super) fn read(host: &Host, from: Option<&str>) -> Self {
        let from: Vec<&str> = from.into_iter().flat_map(|from| ["--from", from]).collect();
        let mut books = Self::default();
        for line in enictl(host, &[&["flows", "--format", FORMAT], &from[..]].concat()).lines() {
            books.add(line).unwrap_or_else(|| panic!("not a record: {line}"));
        }
        books
    }

    fn add(&mut self, line: &str) -> Option<()> {
        let fields: Vec<&str> = line.split(' ').collect();
        let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
        let address = |place: usize| fields.get(place)?.parse::<IpAddr>().ok();
        let port = |place: usize| fields.get(place)?.parse().ok();
        let eni = (*fields.first()?).to_owned();
        match *fields.get(11)? {
            "NODATA" => return Some(()),
            "SKIPDATA" => {
                self.skipped.entry(eni).or_default().add(Seen { packets: number(9)?, bytes: number(10)? });
                return Some(());
            }
            _ => {}
        }
        let way = if fields[1] == "egress" { Way::Out } else { Way::In };
        let seen = Seen { packets: number(7)?, bytes: number(8)? };
        let flow = Flow {
            way,
            source: address(2)?,
            destination: address(3)?,
            protocol: fields.get(6)?.parse().ok()?,
            source_port: port(4)?,
            destination_port: port(5)?,
        };
        if *fields.get(13)? == "REJECT" {
            self.refused.entry((eni.clone(), way)).or_default().add(seen);
        }
        self.flows.entry((eni, flow)).or_default().add(seen);
        Some(())
    }

    /// The flows of an ENI.
    pub(super) fn of(&self, eni: &str) -> impl Iterator<Item = (&Flow, &Seen)> {
        self.flows.iter().filter(move |((of, _), _)| of == eni).map(|((_, flow), seen)| (flow, seen))
    }

    /// All that records hold of an ENI in a direction.
    pub(super) fn total(&self, eni: &str, way: Way) -> Seen {
        let mut total = Seen::default();
        for (_, seen) in self.of(eni).filter(|(flow, _)| flow.way == way) {
            total.add(*seen);
        }
        total
    }

    /// What SKIPDATA records of an ENI state.
    pub(super) fn skipped(&self, eni: &str) -> Seen {
        self.skipped.get(eni).copied().unwrap_or_default()
    }

    /// What an ENI has refused in a direction.
    pub(super) fn refused(&self, eni: &str, way: Way) -> Seen {
        self.refused.get(&(eni.to_owned(), way)).copied().unwrap_or_default()
    }
}
