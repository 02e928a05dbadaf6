//! The audit of what was delivered: a flow log's files against what the ledgers counted.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::process::ExitCode;

use enid_api::v1::{FlowLog, GetFlowLogRequest};
use enid_flowlog::{Field, Fields, Filter, FlowLogError, FlowLogId, Format, Query, Scan, Value, no_progress};
use enid_model::{EniId, ModelError};
use enid_spool::Sum;

use super::account::{Account, Part};
use super::periods::choose;
use super::range::{Range, Spool, finish, say_what_is_gone};
use crate::commands::flows::source::{Source, parse_source};
use crate::commands::flows::spool_directory;
use crate::failure::Failure;
use crate::session::Session;

/// What files must hold for an audit.
const NEEDS: [Field; 4] = [Field::InterfaceId, Field::End, Field::Packets, Field::Bytes];
/// How often to look again where records are delivered meanwhile.
const ATTEMPTS: u32 = 5;

/// Prints the accounts of a flow log's ENIs, with the records that its files have.
pub(super) fn execute(
    session: &Session,
    name: &str,
    from: Option<Source>,
    task: Option<String>,
    range: Range,
) -> Result<ExitCode, Failure> {
    let get = || {
        let request = GetFlowLogRequest { flow_log: name.to_owned() };
        session.talk(async |client| Ok(client.flow_logs().get(request).await?.into_inner()))
    };
    let mut flow_log = get()?;
    let files = Files::new(&flow_log, from)?;
    let mut attempt = 1;
    loop {
        let delivery = flow_log.delivery.clone().unwrap_or_default();
        let spool = Spool::open(spool_directory(session)?)?;
        let counts = |number| delivery.after_batch < number && number <= delivery.delivered_batch;
        let chosen = choose(&spool.batches, Some(flow_log.interval_seconds.into()), range, counts);
        let chosen = chosen.ok_or_else(|| {
            Failure::NotFound(format!(
                "of `{name}` no whole interval of this range is delivered, and still in the spool"
            ))
        })?;
        let mut enis = spool.accounts(chosen, |interface| {
            let ids = [interface.vpc.to_string(), interface.subnet.to_string(), interface.eni.to_string()];
            ids.contains(&flow_log.target)
        })?;
        let mut read = files.read(chosen)?;
        for (eni, account) in &mut enis {
            files.replace(account, read.sums.remove(eni).unwrap_or_default());
        }
        let now = get()?;
        let now_delivered = now.delivery.as_ref().map(|delivery| delivery.delivered_batch);
        if now_delivered == Some(delivery.delivered_batch) || attempt == ATTEMPTS {
            for error in &read.errors {
                eprintln!("enictl: {error}");
            }
            say_what_is_gone(&spool, delivery.after_batch, range, chosen);
            let ended = finish(session, &spool, chosen, enis, task)?;
            return Ok(if read.errors.is_empty() { ended } else { ExitCode::FAILURE });
        }
        (flow_log, attempt) = (now, attempt + 1);
    }
}

/// A flow log's files.
struct Files {
    source: Source,
    id: FlowLogId,
    has_direction: bool,
}

/// What files have of ENIs, by direction: egress, or that of both where they do not say, and ingress.
#[derive(Default)]
struct Read {
    sums: HashMap<EniId, [Sum; 2]>,
    errors: Vec<FlowLogError>,
}

impl Files {
    /// Refuses flow logs whose files don't have all there is.
    fn new(flow_log: &FlowLog, from: Option<Source>) -> Result<Self, Failure> {
        let refuse = |why: String| Failure::Usage(format!("`{}` can't be audited: {why}", flow_log.name));
        if flow_log.traffic != "ALL" {
            return Err(refuse(format!("it has {} records only", flow_log.traffic)));
        }
        let format: Format =
            flow_log.format.parse().map_err(|error: FlowLogError| refuse(error.to_string()))?;
        if let Some(missing) = NEEDS.iter().find(|field| !format.fields().contains(field)) {
            return Err(refuse(format!("its format lacks `{}`", missing.name())));
        }
        let source = match from {
            Some(source) => source,
            None => parse_source(&flow_log.destination).map_err(refuse)?,
        };
        Ok(Self {
            source,
            id: flow_log.id.parse().map_err(|error: ModelError| refuse(error.to_string()))?,
            has_direction: format.fields().contains(&Field::FlowDirection),
        })
    }

    /// Adds the records up that end in a range.
    fn read(&self, (since, until): (u64, u64)) -> Result<Read, Failure> {
        let filter = Filter { since: Some(since), until: Some(until), ..Filter::default() };
        let mut fields = NEEDS.to_vec();
        fields.extend(self.has_direction.then_some(Field::FlowDirection));
        let needs = NEEDS.map(|field| (field, "audit")).to_vec();
        let query = Query { filter, fields: Some(fields), needs, flow_log: Some(self.id) };
        let mut read = Read::default();
        Scan::new(&self.source.place()?, query)?.for_each(&no_progress, |record| {
            match record {
                Ok(record) => read.add(&record),
                Err(error) => read.errors.push(error),
            }
            ControlFlow::Continue(())
        });
        Ok(read)
    }

    /// Puts what the files have in the place of what the spool has.
    fn replace(&self, account: &mut Account, [egress, ingress]: [Sum; 2]) {
        (account.egress.records, account.ingress.records) = (egress, ingress);
        if !self.has_direction {
            let mut both = Part::default();
            both.merge(account.egress.clone());
            both.merge(account.ingress.clone());
            account.both = Some(both);
        }
    }
}

impl Read {
    /// Adds a record; nothing if it has no traffic.
    fn add(&mut self, record: &impl Fields) {
        let number = |field| match record.value(field)? {
            Value::Number(number) => Some(number),
            _ => None,
        };
        let (Some(Value::Eni(eni)), Some(packets), Some(bytes)) =
            (record.value(Field::InterfaceId), number(Field::Packets), number(Field::Bytes))
        else {
            return;
        };
        let [egress, ingress] = self.sums.entry(eni).or_default();
        let is_ingress = record.value(Field::FlowDirection) == Some(Value::Text("ingress"));
        (if is_ingress { ingress } else { egress }).add(Sum { packets, bytes });
    }
}
