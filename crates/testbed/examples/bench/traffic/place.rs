//! Threads in a namespace and on a CPU.

use std::io;
use std::os::fd::OwnedFd;
use std::thread::{self, Scope, ScopedJoinHandle};

use anyhow::{Context as _, Result, anyhow, ensure};
use enid_testbed::floor::enter_namespace;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Starts `work` on a thread of its own, in a namespace and on one CPU, before whatever else runs there: so that others on
/// this machine have as little say as they can have.
pub(crate) fn placed<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    namespace: &'scope OwnedFd,
    cpu: usize,
    work: impl FnOnce() -> Result<T> + Send + 'scope,
) -> ScopedJoinHandle<'scope, Result<T>> {
    on_cpu(scope, namespace, cpu, || {
        run_before_others(1)?;
        work()
    })
}

/// The same, before those.
pub(crate) fn placed_before<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    namespace: &'scope OwnedFd,
    cpu: usize,
    work: impl FnOnce() -> Result<T> + Send + 'scope,
) -> ScopedJoinHandle<'scope, Result<T>> {
    on_cpu(scope, namespace, cpu, || {
        run_before_others(2)?;
        work()
    })
}

fn on_cpu<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    namespace: &'scope OwnedFd,
    cpu: usize,
    work: impl FnOnce() -> Result<T> + Send + 'scope,
) -> ScopedJoinHandle<'scope, Result<T>> {
    scope.spawn(move || {
        enter_namespace(namespace)?;
        let mut cpus = CpuSet::new();
        cpus.set(cpu);
        sched_setaffinity(None, &cpus).with_context(|| format!("run on CPU {cpu}"))?;
        work()
    })
}

/// What a thread returned.
pub(crate) fn joined<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(anyhow!("a thread ended early")))
}

/// Does `work` in a namespace, on a thread of its own: this one stays where it is.
pub(crate) fn inside<T: Send>(namespace: &OwnedFd, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        joined(scope.spawn(|| {
            enter_namespace(namespace)?;
            work()
        }))
    })
}

/// Lets the calling thread interrupt those that make traffic: else it would not know in time when their time is over.
pub(crate) fn take_the_lead() -> Result<()> {
    run_before_others(3)
}

/// Makes the calling thread a real-time one, but none of those that it starts: sched(7).
fn run_before_others(sched_priority: i32) -> Result<()> {
    let parameters = libc::sched_param { sched_priority };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the parameters are read during the call; 0 is the calling thread.
    let outcome = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    ensure!(outcome == 0, "can't be a real-time thread: {}", io::Error::last_os_error());
    Ok(())
}
