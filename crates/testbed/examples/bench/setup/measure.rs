//! The measurements: each times callers of contenders, interleaved where several are compared.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use enid_testbed::floor;

use super::contender::{Caller, Contender, count_devices, wait_for_devices};

/// Time for the kernel's own work behind a deletion (RCU, namespaces being dismantled), so that one contender's
/// leavings are not counted against the next.
const SETTLE: Duration = Duration::from_millis(30);

/// One contender's times.
#[derive(Default)]
pub(crate) struct Times {
    pub(crate) create: Vec<Duration>,
    pub(crate) delete: Vec<Duration>,
}

/// The median, or another quantile by the nearest rank.
pub(crate) fn quantile(times: &[Duration], quantile: f64) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank among some hundred values"
    )]
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Creates and deletes `rounds` tasks with each contender, taking turns. Numbers begin at `first`.
pub(crate) fn latency(contenders: &[&dyn Contender], first: u32, rounds: u32) -> Result<Vec<Times>> {
    let mut callers = Vec::new();
    for contender in contenders {
        floor::enter_namespace(contender.host())?;
        callers.push((*contender, contender.caller()?, Times::default()));
    }
    for task in first..first + rounds {
        for (contender, caller, times) in &mut callers {
            let before = count_devices(*contender)?;
            times.create.push(timed(|| caller.create(task))?);
            times.delete.push(timed(|| caller.delete(task))?);
            wait_for_devices(*contender, before)?;
            thread::sleep(SETTLE);
        }
    }
    Ok(callers.into_iter().map(|(_, _, times)| times).collect())
}

/// Creates tasks `first` to `first + count`, by `callers` at once, each with a like share. Returns how long it took.
pub(crate) fn create_by(contender: &dyn Contender, callers: u32, first: u32, count: u32) -> Result<Duration> {
    at_once(contender, callers, |caller, position| {
        (first..first + count)
            .filter(|task| task % callers == position)
            .try_for_each(|task| caller.create(task))
    })
}

/// What a burst of deletions took.
pub(crate) struct Burst {
    /// Until the last caller had its answer.
    pub(crate) answered: Duration,
    /// Until the last device was gone.
    pub(crate) gone: Duration,
}

/// Deletes tasks `first` to `first + count`, by `callers` at once, each with a like share.
pub(crate) fn delete_by(contender: &dyn Contender, callers: u32, first: u32, count: u32) -> Result<Burst> {
    let before = count_devices(contender)?;
    let start = Instant::now();
    let answered = at_once(contender, callers, |caller, position| {
        (first..first + count)
            .filter(|task| task % callers == position)
            .try_for_each(|task| caller.delete(task))
    })?;
    let unready = start.elapsed().saturating_sub(answered);
    wait_for_devices(contender, before.saturating_sub(count as usize))?;
    Ok(Burst { answered, gone: start.elapsed().saturating_sub(unready) })
}

/// Runs `work` on as many threads, in the contender's host, each with a caller of its own and a position from 0.
/// Returns the time from when all were ready until the last was done.
fn at_once(
    contender: &dyn Contender,
    callers: u32,
    work: impl Fn(&mut dyn Caller, u32) -> Result<()> + Sync,
) -> Result<Duration> {
    let ready = Barrier::new(callers as usize + 1);
    thread::scope(|scope| -> Result<Duration> {
        let threads: Vec<_> = (0..callers)
            .map(|position| {
                let (ready, work) = (&ready, &work);
                scope.spawn(move || {
                    let caller = floor::enter_namespace(contender.host())
                        .map_err(Into::into)
                        .and_then(|()| contender.caller());
                    // Reached whether or not it went well: the others wait here.
                    ready.wait();
                    work(caller?.as_mut(), position)
                })
            })
            .collect();
        ready.wait();
        let start = Instant::now();
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a caller's thread ended early"))??;
        }
        Ok(start.elapsed())
    })
    .with_context(|| format!("{callers} callers of {}", contender.name()))
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}
