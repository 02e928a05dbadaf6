//! Who is admitted when, whatever order things happen in.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};

use super::*;

/// What may happen to a stage.
#[derive(Debug, Clone)]
enum Event {
    Arrive,
    /// One of those that wait goes away.
    GiveUp(prop::sample::Index),
    /// One of those that are in it leaves.
    Leave(prop::sample::Index),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::Arrive),
        1 => any::<prop::sample::Index>().prop_map(Event::GiveUp),
        2 => any::<prop::sample::Index>().prop_map(Event::Leave),
    ]
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

type Waiting = Pin<Box<dyn Future<Output = Turn>>>;

/// Polls whoever waits, the last first: that must make no difference.
fn poll(waiting: &mut VecDeque<(u32, Waiting)>, inside: &mut Vec<(u32, Turn)>) {
    let mut context = Context::from_waker(Waker::noop());
    for place in (0..waiting.len()).rev() {
        if let Poll::Ready(turn) = waiting[place].1.as_mut().poll(&mut context) {
            let (number, _) = waiting.remove(place).unwrap();
            inside.push((number, turn));
        }
    }
}

proptest! {
    #[test]
    fn the_first_who_still_waits_is_the_next_to_be_admitted(limit in 1_u32..5, events in prop::collection::vec(event(), 0..80)) {
        let runtime = runtime();
        let stage = Arc::new(Stage::new("test", limit, runtime.handle().clone()));
        let (mut waiting, mut inside) = (VecDeque::<(u32, Waiting)>::new(), Vec::<(u32, Turn)>::new());
        // The same by numbers, as it should be.
        let (mut queue, mut admitted) = (VecDeque::new(), Vec::new());
        let (mut arrived, mut given_up) = (0, 0);
        for event in events {
            match event {
                Event::Arrive => {
                    let stage = Arc::clone(&stage);
                    waiting.push_back((arrived, Box::pin(async move { stage.enter().await })));
                    queue.push_back(arrived);
                    arrived += 1;
                }
                Event::GiveUp(who) if !waiting.is_empty() => {
                    let place = who.index(waiting.len());
                    waiting.remove(place);
                    queue.remove(place);
                    given_up += 1;
                }
                Event::Leave(who) if !inside.is_empty() => {
                    let (number, turn) = inside.remove(who.index(inside.len()));
                    drop(turn);
                    admitted.retain(|one| *one != number);
                }
                Event::GiveUp(_) | Event::Leave(_) => {}
            }
            while admitted.len() < limit as usize && let Some(next) = queue.pop_front() {
                admitted.push(next);
            }
            poll(&mut waiting, &mut inside);
            let mut numbers: Vec<u32> = inside.iter().map(|(number, _)| *number).collect();
            numbers.sort_unstable();
            let mut wanted = admitted.clone();
            wanted.sort_unstable();
            prop_assert_eq!(numbers, wanted);
            let reading = stage.read();
            prop_assert_eq!((reading.running as usize, reading.waiting as usize), (admitted.len(), queue.len()));
            prop_assert_eq!(reading.given_up, given_up);
            prop_assert_eq!(reading.admitted, u64::from(arrived) - given_up - queue.len() as u64);
            prop_assert_eq!(reading.waited.count, reading.admitted);
            prop_assert_eq!(reading.ran.count + u64::from(reading.running), reading.admitted);
        }
    }
}

#[test]
fn what_was_given_up_while_it_waited_is_never_done() {
    let runtime = runtime();
    let stage = Arc::new(Stage::new("test", 1, runtime.handle().clone()));
    runtime.block_on(async {
        let first = stage.enter().await;
        let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let run = |number: u32| {
            let (stage, said) = (Arc::clone(&stage), said.clone());
            tokio::spawn(async move { stage.enter().await.run(move || said.send(number).unwrap()).await })
        };
        let tasks: Vec<_> = (0..6).map(run).collect();
        while stage.read().waiting < 6 {
            tokio::task::yield_now().await;
        }
        for task in tasks.iter().step_by(2) {
            task.abort();
        }
        while stage.read().waiting > 3 {
            tokio::task::yield_now().await;
        }
        drop(first);
        for task in tasks {
            // Those that were aborted say so.
            let _ = task.await;
        }
        drop(said);
        let mut done = Vec::new();
        while let Some(number) = heard.recv().await {
            done.push(number);
        }
        assert_eq!(done, [1, 3, 5]);
    });
}

#[test]
fn what_has_begun_is_done_to_its_end_though_nobody_waits_for_it() {
    let runtime = runtime();
    let stage = Arc::new(Stage::new("test", 1, runtime.handle().clone()));
    runtime.block_on(async {
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let (ended, has_ended) = tokio::sync::oneshot::channel();
        let own = Arc::clone(&stage);
        let task = tokio::spawn(async move {
            let turn = own.enter().await;
            turn.run(move || {
                begun.send(()).unwrap();
                gone.recv().unwrap();
                ended.send(()).unwrap();
            })
            .await
        });
        has_begun.await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(stage.read().running, 1);
        go.send(()).unwrap();
        has_ended.await.unwrap();
        // Its turn ends with its work.
        let _next = stage.enter().await;
        assert_eq!(stage.read().admitted, 2);
    });
}
