//! Bursts: many creates and deletes at once, of which many are given up midway.

mod slots;
mod whole;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use enid_api::Client;
use enid_api::v1::{DeleteTaskRequest, SetupTimesRequest, SetupTimesResponse};
use enid_testbed::{DEADLINE, DaemonKind, Host, HostOptions, new_task, wait_until};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tonic::{Code, Request, Status};

use crate::networks::{host_as, subnet, vpcs};
use whole::{ENI_CAPACITY, Inventory, assert_whole};

const CALLERS: u32 = 8;
const REQUESTS: u32 = 200;
const SUBNETS: [&str; 3] = ["red/a", "red/b", "blue/a"];

fn options(prepared_slots: u32) -> HostOptions {
    HostOptions { prepared_slots, eni_capacity: ENI_CAPACITY, ..Default::default() }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn setup_times(host: &Host) -> SetupTimesResponse {
    host.call(async |client| client.host().setup_times(SetupTimesRequest {}).await).unwrap()
}

/// Waits until all that was begun is done, whether or not somebody waited for it.
#[track_caller]
fn wait_until_idle(host: &Host) {
    let idle = || setup_times(host).stages.iter().all(|stage| stage.running == 0 && stage.waiting == 0);
    assert!(wait_until(DEADLINE, idle), "{:?}", setup_times(host));
}

/// Waits until everything that is to be ready is.
#[track_caller]
fn wait_until_ready(host: &Host) {
    let ready = || {
        let slots = setup_times(host).prepared_slots;
        !slots.is_empty() && slots.iter().all(|slots| slots.ready == slots.wanted)
    };
    assert!(wait_until(DEADLINE, ready), "{:?}", setup_times(host));
}

/// How a caller lets go of a request.
#[derive(Clone, Copy)]
enum End {
    /// Not at all.
    Answer,
    /// It goes away after so long.
    Cancel(Duration),
    /// It has so long, and says so.
    Deadline(Duration),
}

/// One in three is given up, within the time that a burst takes.
fn end() -> End {
    let moment = Duration::from_micros(fastrand::u64(0..30_000));
    match fastrand::u32(0..6) {
        0 => End::Cancel(moment),
        1 => End::Deadline(moment),
        _ => End::Answer,
    }
}

/// A request with the deadline that it has, if it has one.
fn within<T>(request: T, end: End) -> Request<T> {
    let mut request = Request::new(request);
    if let End::Deadline(time) = end {
        request.set_timeout(time);
    }
    request
}

/// Asks for a create or a delete; the outcome is none if it was given up.
async fn ask(client: &Client, name: &str, subnet: Option<&str>, end: End) -> Option<Result<(), Status>> {
    let work = async {
        let mut tasks = client.tasks();
        if let Some(subnet) = subnet {
            let request = new_task(name, subnet);
            tasks.create(within(request, end)).await.map(drop)
        } else {
            let request = DeleteTaskRequest { name: name.to_owned(), ..DeleteTaskRequest::default() };
            tasks.delete(within(request, end)).await.map(drop)
        }
    };
    match end {
        End::Cancel(after) => tokio::time::timeout(after, work).await.ok(),
        _ => Some(work.await),
    }
}

/// Creates and deletes by several callers at once, a third of them given up midway. An error is one that `may_fail`.
fn storm(host: &Host, round: u32, may_fail: impl Fn(&Status) -> bool + Send + Sync + 'static) {
    let may_fail = Arc::new(may_fail);
    let given_up = Arc::new(AtomicU32::new(0));
    let socket = host.socket();
    runtime().block_on(async {
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (socket, may_fail, given_up) = (socket.clone(), Arc::clone(&may_fail), Arc::clone(&given_up));
            callers.spawn(async move {
                let Ok(client) = Client::connect(socket).await else { return };
                let mut requests = JoinSet::new();
                for number in 0..REQUESTS / CALLERS {
                    // Few names: of many there are a create and a delete at once.
                    let name = format!("t{round}-{}", fastrand::u32(0..REQUESTS / 3));
                    let is_create = fastrand::u32(0..3) > 0;
                    let client = client.clone();
                    requests.spawn(async move {
                        // The name says in which subnet, so that all who ask for it ask for the same.
                        let subnet = is_create.then(|| SUBNETS[name.len() % SUBNETS.len()]);
                        ask(&client, &name, subnet, end()).await
                    });
                    if number % 4 == 3 {
                        while let Some(done) = requests.join_next().await {
                            match done.unwrap() {
                                None => _ = given_up.fetch_add(1, Ordering::Relaxed),
                                Some(Ok(())) => {}
                                Some(Err(error)) if is_given_up(&error) => {
                                    given_up.fetch_add(1, Ordering::Relaxed);
                                }
                                Some(Err(error)) => assert!(may_fail(&error), "{error}"),
                            }
                        }
                    }
                }
            });
        }
        while let Some(caller) = callers.join_next().await {
            caller.unwrap();
        }
    });
    eprintln!("given up: {given_up:?}");
}

/// Whether a deadline passed, by the daemon's clock or by the caller's.
fn is_given_up(error: &Status) -> bool {
    matches!(error.code(), Code::DeadlineExceeded | Code::Cancelled)
}

fn routers(host: &Host) -> Vec<PathBuf> {
    vpcs(host).into_iter().filter_map(|vpc| vpc.router_netns).map(PathBuf::from).collect()
}

/// What there is while the daemon is stopped, once nothing is left of deleted tasks.
#[track_caller]
fn inventory(host: &mut Host) -> Inventory {
    assert_whole(host);
    let routers = routers(host);
    whole::stop(host);
    let inventory = Inventory::take(host, &routers);
    host.start_daemon();
    inventory
}

#[track_caller]
fn delete_all(host: &Host) {
    for task in host.tasks() {
        assert!(host.delete(&task.name));
    }
}

fn storm_leaves_what_is_listed(prepared_slots: u32) {
    let mut host = host_as(&options(prepared_slots));
    // Routers are made by a VPC's first task, and stay.
    for subnet in SUBNETS {
        host.create(&subnet.replace('/', "-"), subnet);
    }
    delete_all(&host);
    settle(&host, prepared_slots);
    let before = inventory(&mut host);
    for round in 0..3 {
        storm(&host, round, |_| false);
        wait_until_idle(&host);
        settle(&host, prepared_slots);
        assert_whole(&mut host);
    }
    assert!(!host.tasks().is_empty());
    delete_all(&host);
    settle(&host, prepared_slots);
    assert_eq!(inventory(&mut host), before);
    for name in SUBNETS {
        assert_eq!(subnet(&host, name).available_ipv4_addresses, Some(251), "{name}");
    }
}

/// Waits until nothing is under way in the background.
#[track_caller]
fn settle(host: &Host, prepared_slots: u32) {
    if prepared_slots == 0 {
        crate::kernel::assert_only_listed_tasks(host);
        return;
    }
    wait_until_ready(host);
    // Beside the tasks' there are the slots' host ends, and nothing else.
    let wanted = host.tasks().len() + routers(host).len() * prepared_slots as usize;
    let settled = wait_until(DEADLINE, || crate::kernel::host_ends(host).len() == wanted);
    assert!(settled, "{:?}", crate::kernel::host_ends(host));
}

#[test]
fn what_is_given_up_in_a_storm_leaves_nothing_half_made() {
    storm_leaves_what_is_listed(0);
}

#[test]
fn what_is_given_up_in_a_storm_leaves_nothing_half_made_with_slots() {
    storm_leaves_what_is_listed(12);
}

/// The daemon is killed in the middle of a storm, again and again.
fn kills_leave_what_is_listed(prepared_slots: u32) {
    let mut host = host_as(&HostOptions { daemon: DaemonKind::Process, ..options(prepared_slots) });
    for subnet in SUBNETS {
        host.create(&subnet.replace('/', "-"), subnet);
    }
    for round in 0..4 {
        let pid = host.daemon_process();
        std::thread::scope(|scope| {
            let host = &host;
            // An error is the kill.
            let storm = scope.spawn(move || storm(host, round, |_| true));
            // This is when the daemon is killed, not a wait for something.
            std::thread::sleep(Duration::from_millis(5 + u64::from(round) * 40));
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            storm.join().unwrap();
        });
        host.kill_daemon();
        host.start_daemon();
        wait_until_idle(&host);
        settle(&host, prepared_slots);
        assert_whole(&mut host);
    }
    delete_all(&host);
    settle(&host, prepared_slots);
    assert_whole(&mut host);
    for name in SUBNETS {
        assert_eq!(subnet(&host, name).available_ipv4_addresses, Some(251), "{name}");
    }
}

#[test]
fn kills_in_storms_leave_nothing_half_made() {
    kills_leave_what_is_listed(0);
}

#[test]
fn kills_in_storms_leave_nothing_half_made_with_slots() {
    kills_leave_what_is_listed(12);
}

#[test]
fn what_waits_is_admitted_in_order_and_shown() {
    let host = host_as(&options(0));
    host.create("first", "red/a");
    let socket = host.socket();
    let runtime = runtime();
    runtime.block_on(async {
        let client = Client::connect(&socket).await.unwrap();
        let mut creates = JoinSet::new();
        for number in 0..60 {
            let client = client.clone();
            creates.spawn(async move {
                let answer = client.tasks().create(new_task(&format!("t{number}"), "red/b")).await.unwrap();
                answer.metadata().get("enid-waited-us").unwrap().to_str().unwrap().parse::<u64>().unwrap()
            });
        }
        let mut waited = Vec::new();
        while let Some(time) = creates.join_next().await {
            waited.push(time.unwrap());
        }
        assert!(waited.iter().any(|time| *time > 0), "{waited:?}");
    });
    let times = setup_times(&host);
    let names: Vec<&str> = times.stages.iter().map(|stage| stage.stage.as_str()).collect();
    assert_eq!(names, ["create", "delete", "namespace", "link", "store"]);
    let create = &times.stages[0];
    assert_eq!((create.running, create.waiting, create.admitted), (0, 0, 61));
    let waited = create.waited.as_ref().unwrap();
    assert_eq!(waited.count, 61);
    assert_eq!(waited.buckets.last().unwrap().cumulative_count, 61);
    assert_eq!(waited.buckets.last().unwrap().upper_bound_seconds, None);
    assert!(create.ran.as_ref().unwrap().sum_seconds > 0.0);
    assert_eq!(times.prepared_slots, []);
}

#[test]
fn what_waits_beyond_its_deadline_was_never_begun() {
    let host = host_as(&options(0));
    host.create("first", "red/a");
    let socket = host.socket();
    let refused = runtime().block_on(async {
        let mut clients = Vec::new();
        for _ in 0..7 {
            clients.push(Client::connect(&socket).await.unwrap());
        }
        let mut creates = JoinSet::new();
        for number in 0..700_usize {
            // A connection has room for so many requests at once (HTTP/2's concurrent streams).
            let client = clients[number / 100].clone();
            creates.spawn(async move {
                let subnet = SUBNETS[number / 250];
                let mut request = Request::new(new_task(&format!("t{number}"), subnet));
                // Others are in front of them: these run out of time.
                if number >= 600 {
                    request.set_timeout(Duration::from_millis(300));
                }
                client.tasks().create(request).await.err().map(|error| (number, error))
            });
        }
        let mut refused = Vec::new();
        while let Some(done) = creates.join_next().await {
            refused.extend(done.unwrap());
        }
        refused
    });
    wait_until_idle(&host);
    let tasks: Vec<String> = host.tasks().into_iter().map(|task| task.name).collect();
    for (number, error) in &refused {
        assert!(*number >= 600 && is_given_up(error), "{error}");
        if error.code() == Code::DeadlineExceeded && error.message().contains("was not begun") {
            assert!(!tasks.contains(&format!("t{number}")), "{error}");
        }
    }
    let door = &setup_times(&host).stages[0];
    assert!(door.given_up > 0, "{refused:?}");
    // Each that was let in made its task, and no other did.
    assert_eq!(door.admitted, tasks.len() as u64);
}

#[test]
fn a_flood_of_cancelled_requests_holds_nobody_up() {
    let host = host_as(&options(0));
    host.create("first", "red/a");
    let socket = host.socket();
    runtime().block_on(async {
        let mut flood = JoinSet::new();
        for connection in 0..10 {
            let client = Client::connect(&socket).await.unwrap();
            for number in 0..200 {
                let client = client.clone();
                let name = format!("f{connection}-{number}");
                flood.spawn(async move {
                    ask(&client, &name, Some("red/b"), End::Cancel(Duration::from_millis(5))).await
                });
            }
        }
        while flood.join_next().await.is_some() {}
    });
    // Nothing is in front of it but what was begun.
    let asked = std::time::Instant::now();
    host.create("after", "red/a");
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    wait_until_idle(&host);
    let door = &setup_times(&host).stages[0];
    assert!(door.given_up > 0, "{door:?}");
    assert_eq!(door.admitted, host.tasks().len() as u64);
    crate::kernel::assert_only_listed_tasks(&host);
}

#[test]
fn deletes_do_not_wait_for_creates() {
    let host = host_as(&options(0));
    host.create("old", "red/a");
    let socket = host.socket();
    let before = runtime().block_on(async {
        let client = Client::connect(&socket).await.unwrap();
        let mut creates = JoinSet::new();
        for number in 0..200 {
            let client = client.clone();
            creates
                .spawn(async move { client.tasks().create(new_task(&format!("t{number}"), "red/b")).await });
        }
        let times = client.host();
        let waiting = async || {
            let times = times.clone().setup_times(SetupTimesRequest {}).await.unwrap().into_inner();
            times.stages[0].waiting
        };
        while waiting().await < 100 {}
        client
            .tasks()
            .delete(DeleteTaskRequest { name: "old".to_owned(), ..DeleteTaskRequest::default() })
            .await
            .unwrap();
        let still_waiting = waiting().await;
        while let Some(done) = creates.join_next().await {
            done.unwrap().unwrap();
        }
        still_waiting
    });
    assert!(before > 0, "the delete waited for all creates");
}
