//! A call from its parameters to its answer.

use std::ffi::OsString;
use std::io::{IsTerminal, Read};

use serde_json::{Map, Value, json};
use tokio::runtime::Builder;

use crate::answer::Answer;
use crate::configuration::{Configuration, MOST_BYTES, decode, version};
use crate::environment::{Environment, Verb};
use crate::error::{CniError, Code};
use crate::version::{CniVersion, SUPPORTED};
use crate::{add, check, delete, garbage, status};

/// Does what the environment's variables and standard input ask for.
pub(crate) fn run(lookup: impl Fn(&str) -> Option<OsString>, input: impl Read + IsTerminal) -> Answer {
    let environment = Environment(lookup);
    // What errors are told in, until a configuration says otherwise.
    let mut spoken = CniVersion::LATEST;
    let outcome = environment.verb().and_then(|verb| {
        if verb == Verb::Version {
            return Ok(Some(versions(&read(input).and_then(|bytes| decode(&bytes)).unwrap_or_default())));
        }
        let fields = decode(&read(input)?)?;
        spoken = version(&fields)?;
        require(verb, spoken)?;
        let container = environment.container(verb)?;
        let configuration = Configuration::read(spoken, fields)?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            CniError::new(Code::DaemonFailed, "can't begin to speak with the daemon", error.to_string())
        })?;
        // The process ends with the answer, and the kernel tidies up sooner than this could.
        Box::leak(Box::new(runtime)).block_on(async {
            match verb {
                Verb::Add => add::add(&configuration, &container).await.map(Some),
                Verb::Del => delete::delete(&configuration, &container).await.map(|()| None),
                Verb::Check => check::check(&configuration, &container).await.map(|()| None),
                Verb::Gc => garbage::collect(&configuration).await.map(|()| None),
                Verb::Status => status::status(&configuration).await.map(|()| None),
                Verb::Version => Ok(None),
            }
        })
    });
    match outcome {
        Ok(result) => Answer::success(result.as_ref()),
        Err(error) => Answer::error(spoken, &error),
    }
}

/// All of standard input, if it is not too much.
fn read(input: impl Read + IsTerminal) -> Result<Vec<u8>, CniError> {
    // Nobody would ever end it.
    if input.is_terminal() {
        return Err(CniError::new(
            Code::Io,
            "standard input is a terminal",
            "expected a network configuration",
        ));
    }
    let mut bytes = Vec::new();
    input.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| {
        CniError::new(Code::Io, "can't read the network configuration from standard input", error.to_string())
    })?;
    if bytes.len() as u64 > MOST_BYTES {
        let details = format!("a network configuration has at most {MOST_BYTES} bytes");
        return Err(CniError::new(Code::Decode, "there is too much on standard input", details));
    }
    Ok(bytes)
}

/// What VERSION answers, in the version that it was asked in where that is known.
fn versions(fields: &Map<String, Value>) -> Value {
    let asked = fields.get("cniVersion").and_then(Value::as_str).and_then(CniVersion::parse);
    json!({
        "cniVersion": asked.unwrap_or(CniVersion::LATEST).as_str(),
        "supportedVersions": SUPPORTED.map(CniVersion::as_str),
    })
}

/// Refuses a verb that a version of the specification does not have.
fn require(verb: Verb, version: CniVersion) -> Result<(), CniError> {
    let (name, since) = match verb {
        Verb::Check => ("CHECK", CniVersion::V0_4_0),
        Verb::Gc => ("GC", CniVersion::V1_1_0),
        Verb::Status => ("STATUS", CniVersion::V1_1_0),
        Verb::Add | Verb::Del | Verb::Version => return Ok(()),
    };
    if version >= since {
        return Ok(());
    }
    let message = format!("CNI version {version} has no {name}");
    Err(CniError::new(Code::IncompatibleVersion, message, format!("it came with {since}")))
}
