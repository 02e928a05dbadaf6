//! Records of the spool, by conditions.

use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use enid_api::v1::{self, FlowFilter, QueryFlowsRequest};
use enid_flowlog::{Action, Cidr, Direction, DropReason, Filter, FlowRecord};
use enid_model::{ModelError, Protocol};
use enid_netns::NetnsError;
use enid_spool::{SpoolError, each_flow};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tonic::Status;

use crate::EnidError;
use crate::accounting::Accounting;

/// How long a caller may take none of its records.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many records are read ahead.
const AHEAD: usize = 256;

type Sender = mpsc::Sender<Result<v1::FlowRecord, Status>>;

/// What is asked for, parsed.
pub(super) struct Query {
    filter: Filter,
    limit: u64,
}

/// Why reading ends early.
enum Stop {
    Failed(SpoolError),
    /// There are as many as were asked for, or nobody takes them any more.
    Enough,
}

impl From<SpoolError> for Stop {
    fn from(error: SpoolError) -> Self {
        Self::Failed(error)
    }
}

impl Query {
    pub(super) fn parse(request: QueryFlowsRequest) -> Result<Self, EnidError> {
        let filter = request.filter.map_or_else(|| Ok(Filter::default()), parse_filter)?;
        Ok(Self { filter, limit: request.limit.unwrap_or(u64::MAX) })
    }

    /// Begins to read, on a thread of its own: it takes as long as its caller, and the runtime's threads are for creates.
    pub(super) fn start(
        self,
        accounting: Arc<Accounting>,
        permit: OwnedSemaphorePermit,
    ) -> Result<mpsc::Receiver<Result<v1::FlowRecord, Status>>, EnidError> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let runtime = Handle::current();
        let read = move || {
            self.read(&accounting, &sender, &runtime);
            drop(permit);
        };
        let spawned = thread::Builder::new().name("enid-query".to_owned()).spawn(read);
        spawned.map_err(|source| NetnsError::System { action: "start a thread", source })?;
        Ok(receiver)
    }

    fn read(self, accounting: &Accounting, sender: &Sender, runtime: &Handle) {
        let send = |message| {
            let sent = runtime.block_on(sender.send_timeout(message, PATIENCE));
            sent.map_err(|_| Stop::Enough)
        };
        let mut left = self.limit;
        let folder = accounting.spool_directory();
        let damaged = |damage: &enid_spool::Damage| tracing::warn!(?damage, "a query met what can't be read");
        let done = each_flow(
            folder,
            &self.filter,
            |_| {},
            damaged,
            |record| {
                left = left.checked_sub(1).ok_or(Stop::Enough)?;
                send(Ok(message(record)))
            },
        );
        if let Err(Stop::Failed(error)) = done {
            // Who has gone needs no error.
            let _ = send(Err(EnidError::from(error).into()));
        }
    }
}

fn parse_filter(filter: FlowFilter) -> Result<Filter, EnidError> {
    let cidr = |text: String| text.parse::<Cidr>();
    Ok(Filter {
        since: filter.since,
        until: filter.until,
        task: filter.task.map(|text| text.parse()).transpose()?,
        eni: filter.eni_id.map(|text| text.parse()).transpose()?,
        class: filter.traffic_class.map(|text| text.parse()).transpose()?,
        src: filter.source.map(cidr).transpose()?,
        dst: filter.destination.map(cidr).transpose()?,
        peer: filter.peer.map(cidr).transpose()?,
        port: filter.port.map(port).transpose()?,
        protocol: match filter.protocol.map(|text| text.parse()).transpose()? {
            Some(Protocol::Number(number)) => Some(number),
            Some(Protocol::All) | None => None,
        },
        action: filter
            .action
            .map(|text| word("an action", text, Action::from_word, "ACCEPT or REJECT"))
            .transpose()?,
        reason: filter
            .drop_reason
            .map(|text| word("a reason", text, DropReason::from_word, "one that records name"))
            .transpose()?,
        direction: filter
            .direction
            .map(|text| word("a direction", text, Direction::from_word, "ingress or egress"))
            .transpose()?,
    })
}

fn port(number: u32) -> Result<u16, ModelError> {
    let out_of_range = ModelError::OutOfRange { kind: "port", value: number.into(), min: 0, max: 65_535 };
    u16::try_from(number).map_err(|_| out_of_range)
}

fn word<T>(
    kind: &'static str,
    text: String,
    from_word: impl Fn(&str) -> Option<T>,
    expected: &str,
) -> Result<T, ModelError> {
    let malformed = |value| ModelError::Malformed { kind, value, reason: format!("expected {expected}") };
    from_word(&text).ok_or_else(|| malformed(text))
}

fn message(record: &FlowRecord) -> v1::FlowRecord {
    let interface = &record.interface;
    let message = v1::FlowRecord {
        task: interface.task.as_ref().map(ToString::to_string).unwrap_or_default(),
        eni_id: interface.eni.to_string(),
        vpc_id: interface.vpc.to_string(),
        subnet_id: interface.subnet.to_string(),
        start: record.start,
        end: record.end,
        log_status: record.log_status().as_str().to_owned(),
        ..v1::FlowRecord::default()
    };
    if let Some(loss) = record.loss() {
        return v1::FlowRecord {
            records_lost: Some(loss.records),
            packets_lost: Some(loss.packets),
            bytes_lost: Some(loss.bytes),
            ..message
        };
    }
    let Some(traffic) = record.traffic() else { return message };
    let text = |address: IpAddr| Some(address.to_string());
    v1::FlowRecord {
        source: text(traffic.src),
        destination: text(traffic.dst),
        source_port: Some(traffic.src_port.into()),
        destination_port: Some(traffic.dst_port.into()),
        protocol: Some(traffic.protocol.into()),
        packets: Some(traffic.packets),
        bytes: Some(traffic.bytes),
        action: Some(traffic.action().as_str().to_owned()),
        drop_reason: traffic.drop_reason.map(|reason| reason.as_str().to_owned()),
        tcp_flags: Some(traffic.tcp_flags.into()),
        direction: Some(traffic.direction.as_str().to_owned()),
        traffic_class: Some(traffic.class.to_string()),
        ..message
    }
}
