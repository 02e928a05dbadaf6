//! `FlowService`.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;

use enid_api::v1::{
    self, AuditRequest, AuditResponse, CountersRequest, CountersResponse, FlowRecord, FlushRequest,
    FlushResponse, FollowRequest, FollowResponse, GetSpoolRequest, QueryFlowsRequest, Spool,
};
use enid_datapath::{Bucket, Count, Reason};
use enid_flowlog::Format;
use enid_netns::{Inventory, VethPair};
use enid_store::TaskRecord;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_stream::wrappers::{BroadcastStream, ReceiverStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use super::blocking;
use super::query::Query;
use crate::EnidError;
use crate::accounting::{Balance, DirectionCounters, FlowTable, Lines};
use crate::tasks::Tasks;

/// Flow records, counters and the ledgers, at the door.
#[derive(Debug)]
pub(crate) struct FlowApi {
    pub(crate) tasks: Arc<Tasks>,
    queries: Arc<Semaphore>,
}

/// How many queries are answered at once: each reads the spool.
const QUERIES: usize = 8;

impl FlowApi {
    pub(crate) fn new(tasks: Arc<Tasks>) -> Self {
        Self { tasks, queries: Arc::new(Semaphore::new(QUERIES)) }
    }

    fn chosen(&self, task: Option<String>) -> Result<Vec<TaskRecord>, EnidError> {
        match task {
            Some(name) => Ok(vec![self.tasks.get(&name.parse()?)?]),
            None => Ok(self.tasks.list()),
        }
    }
}

#[tonic::async_trait]
impl v1::flow_service_server::FlowService for FlowApi {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<FollowResponse, Status>> + Send>>;

    async fn get_spool(&self, _: Request<GetSpoolRequest>) -> Result<Response<Spool>, Status> {
        let accounting = &self.tasks.accounting;
        Ok(Response::new(Spool {
            directory: accounting.spool_directory().display().to_string(),
            aggregation_interval_seconds: *accounting.interval().borrow(),
        }))
    }

    async fn follow(&self, _: Request<FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        let header = Format::complete().header();
        // Who is too slow sees it by the count of what came before.
        let mut next = None;
        let bundles = BroadcastStream::new(self.tasks.accounting.follow()).filter_map(Result::ok);
        let responses = futures_util::StreamExt::flat_map(bundles, move |bundle: Arc<Lines>| {
            let missed = next.map_or(0, |next| bundle.before - next);
            next = Some(bundle.before + bundle.lines.len() as u64);
            let header = header.clone();
            let response = move |(place, record): (usize, &String)| {
                let missed = if place == 0 { missed } else { 0 };
                Ok(FollowResponse { record: record.clone(), header: header.clone(), missed })
            };
            tokio_stream::iter(bundle.lines.iter().enumerate().map(response).collect::<Vec<_>>())
        });
        Ok(Response::new(Box::pin(responses)))
    }

    type QueryStream = ReceiverStream<Result<FlowRecord, Status>>;

    async fn query(
        &self,
        request: Request<QueryFlowsRequest>,
    ) -> Result<Response<Self::QueryStream>, Status> {
        let query = Query::parse(request.into_inner())?;
        let permit = Arc::clone(&self.queries).try_acquire_owned();
        let permit = permit.map_err(|_| EnidError::TooManyQueries { most: QUERIES })?;
        let records = query.start(Arc::clone(&self.tasks.accounting), permit)?;
        Ok(Response::new(ReceiverStream::new(records)))
    }

    async fn counters(
        &self,
        request: Request<CountersRequest>,
    ) -> Result<Response<CountersResponse>, Status> {
        let records = self.chosen(request.into_inner().task)?;
        let tasks = Arc::clone(&self.tasks);
        blocking(move || {
            let numbers: Vec<_> = records.iter().map(|record| record.task.eni.number).collect();
            let counters = tasks.accounting.counters(&numbers)?;
            let message = |record: &TaskRecord| {
                let counters = counters.get(&record.task.eni.number)?;
                Some(v1::EniCounters {
                    task: record.task.name.to_string(),
                    eni_id: record.task.eni.id.to_string(),
                    egress: Some(direction(&counters.egress)),
                    ingress: Some(direction(&counters.ingress)),
                    flow_entries: counters.flow_entries,
                })
            };
            let FlowTable { entries, capacity } = tasks.accounting.flow_table()?;
            Ok(CountersResponse {
                enis: records.iter().filter_map(message).collect(),
                flow_table: Some(v1::FlowTable { entries, capacity: capacity.into() }),
            })
        })
        .await
    }

    async fn audit(&self, request: Request<AuditRequest>) -> Result<Response<AuditResponse>, Status> {
        let records = self.chosen(request.into_inner().task)?;
        let tasks = Arc::clone(&self.tasks);
        let runtime = Handle::current();
        blocking(move || Ok(AuditResponse { enis: audit(&tasks, &records, &runtime)? })).await
    }

    async fn flush(&self, _: Request<FlushRequest>) -> Result<Response<FlushResponse>, Status> {
        let tasks = Arc::clone(&self.tasks);
        let closed = blocking(move || Ok(FlushResponse { records: tasks.close_interval()? })).await?;
        self.tasks.accounting.deliveries().flush().await;
        Ok(closed)
    }
}

fn audit(tasks: &Tasks, records: &[TaskRecord], runtime: &Handle) -> Result<Vec<v1::EniAudit>, EnidError> {
    let enis: Vec<_> = records.iter().map(|record| (record.task.eni.id, record.task.eni.number)).collect();
    let numbers: HashSet<u32> = enis.iter().map(|(_, number)| number.get()).collect();
    let audits = tasks.accounting.audit(&enis, || links(tasks, &numbers, runtime))?;
    let message = |record: &TaskRecord| {
        let audit = audits.get(&record.task.eni.number)?;
        Some(v1::EniAudit {
            task: record.task.name.to_string(),
            eni_id: record.task.eni.id.to_string(),
            egress: Some(balance(&audit.egress)),
            ingress: Some(balance(&audit.ingress)),
        })
    };
    Ok(records.iter().filter_map(message).collect())
}

/// The kernel's counters of both ends of ENIs' links, by number.
fn links(
    tasks: &Tasks,
    numbers: &HashSet<u32>,
    runtime: &Handle,
) -> Result<HashMap<u32, VethPair>, EnidError> {
    let mut links = HashMap::new();
    for router in tasks.routers.all() {
        let pairs = Inventory::list_pairs(router.namespace(), runtime, |index| numbers.contains(&index))?;
        links.extend(pairs.into_iter().map(|pair| (pair.index, pair)));
    }
    Ok(links)
}

fn direction(counters: &DirectionCounters) -> v1::DirectionCounters {
    let named = |name: &str, count: Count| v1::NamedCounter {
        name: name.to_owned(),
        packets: count.packets,
        bytes: count.bytes,
    };
    let used = |count: &Count| count.packets > 0;
    let classes = counters.classes.iter().filter(|(_, count)| used(count));
    let buckets = Bucket::ALL.map(|bucket| (bucket, counters.ledger.bucket(bucket)));
    let refused = Reason::ALL.map(|reason| (reason, counters.ledger.refused(reason)));
    v1::DirectionCounters {
        packets: counters.ledger.wire().packets,
        bytes: counters.ledger.wire().bytes,
        not_logged: Some(v1::PacketsAndBytes {
            packets: counters.not_logged.packets,
            bytes: counters.not_logged.bytes,
        }),
        classes: classes.map(|(class, count)| named(class.as_str(), *count)).collect(),
        buckets: buckets
            .iter()
            .filter(|(_, count)| used(count))
            .map(|(bucket, count)| named(bucket.as_str(), *count))
            .collect(),
        refused: refused
            .iter()
            .filter(|(_, count)| used(count))
            .map(|(reason, count)| named(reason.as_str(), *count))
            .collect(),
    }
}

fn balance(balance: &Balance) -> v1::DirectionAudit {
    let message = |count: Count| v1::PacketsAndBytes { packets: count.packets, bytes: count.bytes };
    let count = |count| Some(message(count));
    v1::DirectionAudit {
        records: count(balance.records),
        not_kept: count(balance.not_kept),
        pending: count(balance.pending),
        buckets: count(balance.buckets),
        not_logged: count(balance.not_logged),
        wire_ledger: count(balance.wire_ledger),
        interface_ledger: count(balance.interface_ledger),
        refused: count(balance.refused),
        refused_ledger: count(balance.refused_ledger),
        kernel: balance.kernel.map(message),
        dropped_by_device: balance.dropped_by_device,
    }
}
