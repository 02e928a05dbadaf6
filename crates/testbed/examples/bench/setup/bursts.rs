//! Bursts: many callers who each ask for one task at once, of a daemon with slots ready and of one without.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use enid_api::Client;
use enid_api::v1::{
    CreateTaskRequest, DeleteTaskRequest, ListNetworksRequest, SetupTimesRequest, SetupTimesResponse,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::measure::quantile;
use crate::enid::Daemon;

/// How many ask at once.
const SIZES: [u32; 2] = [30, 200];
/// How many slots are ready where there are any: as many as the largest burst takes.
const SLOTS: u32 = 200;
/// Time for the kernel's own work behind deletions.
const SETTLE: Duration = Duration::from_millis(200);
/// How long slots may take to be made ready again.
const READY: Duration = Duration::from_mins(2);

/// A daemon, and what was measured of it.
struct Subject {
    name: &'static str,
    slots: u32,
    daemon: Daemon,
    subnet: String,
    single: Vec<Duration>,
    bursts: [Bursts; SIZES.len()],
}

/// What callers of bursts saw.
#[derive(Default)]
struct Bursts {
    /// From when all were ready until the last had its answer.
    all: Vec<Duration>,
    creates: Vec<Duration>,
    /// Of each create, what the daemon says that it waited until it was begun.
    waited: Vec<Duration>,
    deletes: Vec<Duration>,
}

/// Measures both, taking turns.
pub(super) fn run(program: &Path, work: &Path, rounds: u32, singles: u32) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut subjects = [
        Subject::start(program, work, &runtime, "without", 0)?,
        Subject::start(program, work, &runtime, "slots", SLOTS)?,
    ];
    for number in 0..singles {
        for subject in &mut subjects {
            subject.wait_until_ready(&runtime)?;
            subject.single(&runtime, number)?;
        }
    }
    for round in 0..rounds {
        for (place, size) in SIZES.into_iter().enumerate() {
            for subject in &mut subjects {
                subject.wait_until_ready(&runtime)?;
                runtime
                    .block_on(subject.burst(place, size))
                    .with_context(|| format!("burst of {size}, round {round}, {}", subject.name))?;
            }
        }
    }
    report(&subjects);
    for subject in &subjects {
        report_stages(subject, &subject.times(&runtime)?);
    }
    Ok(())
}

impl Subject {
    fn start(program: &Path, work: &Path, runtime: &Runtime, name: &'static str, slots: u32) -> Result<Self> {
        let daemon = Daemon::start(program, work, name, &format!("\n[eni]\nprepared_slots = {slots}\n"))?;
        let subnet = runtime.block_on(async {
            let client = Client::connect(daemon.socket()).await?;
            let vpcs = client.networks().list(ListNetworksRequest {}).await?.into_inner().vpcs;
            let subnet = vpcs.into_iter().flat_map(|vpc| vpc.subnets).next();
            let subnet = subnet.context("the default network has no subnet")?.id;
            // It stays: nobody is measured on an empty host, and slots are for VPCs in use.
            create(&client, "resident".to_owned(), subnet.clone()).await?;
            Ok::<_, anyhow::Error>(subnet)
        })?;
        Ok(Self { name, slots, daemon, subnet, single: Vec::new(), bursts: Default::default() })
    }

    fn times(&self, runtime: &Runtime) -> Result<SetupTimesResponse> {
        runtime.block_on(async {
            let client = Client::connect(self.daemon.socket()).await?;
            Ok(client.host().setup_times(SetupTimesRequest {}).await?.into_inner())
        })
    }

    /// Waits until what is to be ready is, and until the daemon is idle.
    fn wait_until_ready(&self, runtime: &Runtime) -> Result<()> {
        std::thread::sleep(SETTLE);
        let start = Instant::now();
        loop {
            let times = self.times(runtime)?;
            let is_idle = times.stages.iter().all(|stage| stage.running == 0 && stage.waiting == 0);
            let ready: u32 = times.prepared_slots.iter().map(|slots| slots.ready).sum();
            if is_idle && ready >= self.slots {
                return Ok(());
            }
            if start.elapsed() > READY {
                bail!("{}: {ready} of {} slots are ready after {READY:?}", self.name, self.slots);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn single(&mut self, runtime: &Runtime, number: u32) -> Result<()> {
        runtime.block_on(async {
            let client = Client::connect(self.daemon.socket()).await?;
            let name = format!("single-{number}");
            let (took, _) = create(&client, name.clone(), self.subnet.clone()).await?;
            self.single.push(took);
            delete(&client, name).await?;
            Ok(())
        })
    }

    async fn burst(&mut self, place: usize, size: u32) -> Result<()> {
        let mut callers = Vec::new();
        for _ in 0..size {
            callers.push(Client::connect(self.daemon.socket()).await?);
        }
        let ready = Arc::new(Barrier::new(callers.len() + 1));
        let mut creating = JoinSet::new();
        for (number, client) in callers.iter().cloned().enumerate() {
            let (ready, subnet) = (Arc::clone(&ready), self.subnet.clone());
            creating.spawn(async move {
                ready.wait().await;
                create(&client, format!("burst-{number}"), subnet).await
            });
        }
        ready.wait().await;
        let start = Instant::now();
        let mut created = Vec::new();
        while let Some(done) = creating.join_next().await {
            created.push(done??);
        }
        let all = start.elapsed();
        tokio::time::sleep(SETTLE).await;
        let mut deleting = JoinSet::new();
        for (number, client) in callers.into_iter().enumerate() {
            deleting.spawn(async move { delete(&client, format!("burst-{number}")).await });
        }
        let mut deleted = Vec::new();
        while let Some(done) = deleting.join_next().await {
            deleted.push(done??);
        }
        if let Some(bursts) = self.bursts.get_mut(place) {
            bursts.all.push(all);
            bursts.creates.extend(created.iter().map(|(took, _)| *took));
            bursts.waited.extend(created.iter().map(|(_, waited)| *waited));
            bursts.deletes.extend(deleted);
        }
        Ok(())
    }
}

/// How long a create took, and how long of that it waited until it was begun.
async fn create(client: &Client, name: String, subnet: String) -> Result<(Duration, Duration)> {
    let request = CreateTaskRequest { name, subnet, ..CreateTaskRequest::default() };
    let start = Instant::now();
    let answer = client.tasks().create(request).await?;
    let took = start.elapsed();
    let waited = answer.metadata().get("enid-waited-us").context("no waiting time in the answer")?;
    Ok((took, Duration::from_micros(waited.to_str()?.parse()?)))
}

async fn delete(client: &Client, name: String) -> Result<Duration> {
    let start = Instant::now();
    client.tasks().delete(DeleteTaskRequest { name, ..DeleteTaskRequest::default() }).await?;
    Ok(start.elapsed())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn report(subjects: &[Subject]) {
    println!("\nOne create at a time; milliseconds");
    println!("{:<10} {:>9} {:>9} {:>9}", "", "creates", "median", "p99");
    for Subject { name, single, .. } in subjects {
        let (median, p99) = (quantile(single, 0.5), quantile(single, 0.99));
        println!("  {name:<8} {:>9} {:>9.3} {:>9.3}", single.len(), milliseconds(median), milliseconds(p99));
    }
    for (place, size) in SIZES.into_iter().enumerate() {
        println!("\n{size} callers at once, one create each, then one delete each; milliseconds");
        println!(
            "{:<10} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "", "rounds", "all", "median", "p99", "waited", "p99", "per s", "delete", "p99"
        );
        for subject in subjects {
            let Some(bursts) = subject.bursts.get(place) else { continue };
            let all = quantile(&bursts.all, 0.5);
            println!(
                "  {:<8} {:>7} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.0} {:>9.1} {:>9.1}",
                subject.name,
                bursts.all.len(),
                milliseconds(all),
                milliseconds(quantile(&bursts.creates, 0.5)),
                milliseconds(quantile(&bursts.creates, 0.99)),
                milliseconds(quantile(&bursts.waited, 0.5)),
                milliseconds(quantile(&bursts.waited, 0.99)),
                f64::from(size) / all.as_secs_f64(),
                milliseconds(quantile(&bursts.deletes, 0.5)),
                milliseconds(quantile(&bursts.deletes, 0.99)),
            );
        }
    }
}

/// What the daemon itself has counted.
fn report_stages(subject: &Subject, times: &SetupTimesResponse) {
    println!("\nStages of {}, as the daemon counts them; mean milliseconds", subject.name);
    println!("{:<10} {:>6} {:>9} {:>9} {:>9}", "", "limit", "admitted", "waited", "ran");
    for stage in &times.stages {
        let mean = |histogram: &Option<enid_api::v1::TimeHistogram>| {
            histogram.as_ref().filter(|times| times.count > 0).map_or(0.0, |times| {
                #[allow(clippy::cast_precision_loss, reason = "some thousands")]
                let count = times.count as f64;
                times.sum_seconds * 1000.0 / count
            })
        };
        println!(
            "  {:<8} {:>6} {:>9} {:>9.3} {:>9.3}",
            stage.stage,
            stage.limit,
            stage.admitted,
            mean(&stage.waited),
            mean(&stage.ran)
        );
    }
}
