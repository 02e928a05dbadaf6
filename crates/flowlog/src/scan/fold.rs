//! Adding records up on several cores.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use crate::error::FlowLogError;
use crate::scan::list::ScanFile;
use crate::scan::parquet::ParquetFile;
use crate::scan::{Meter, Opened, Progress, Scan, ScannedRecord};

/// A piece of work: a file of lines is one, and so is each row group of a Parquet file.
enum Task<'a> {
    File(&'a ScanFile),
    Group(Arc<ParquetFile>, usize),
}

/// The tasks that are left, and how many are being done: these may bring more.
struct Queue<'a> {
    state: Mutex<(VecDeque<Task<'a>>, usize)>,
    changed: Condvar,
}

impl<'a> Queue<'a> {
    /// The next task; none when there is and will be no more.
    fn take(&self) -> Option<Task<'a>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(task) = state.0.pop_front() {
                state.1 += 1;
                return Some(task);
            }
            if state.1 == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A task is done. Those that it brought come next, so that few files are open at a time.
    fn done(&self, brought: impl DoubleEndedIterator<Item = Task<'a>>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 -= 1;
        for task in brought.rev() {
            state.0.push_front(task);
        }
        self.changed.notify_all();
    }
}

impl Scan {
    /// Reads all records in any order, on so many threads: each has a total of its own, begun by `begin`, to which `add`
    /// adds records. Returns the totals. `report` gets what can't be read.
    pub fn fold<T: Send>(
        &mut self,
        threads: usize,
        progress: Progress<'_>,
        report: &(dyn Fn(FlowLogError) + Sync),
        begin: impl Fn() -> T + Sync,
        add: impl Fn(&mut T, &ScannedRecord<'_>) + Sync,
    ) -> Vec<T> {
        std::mem::take(&mut self.listed.errors).into_iter().for_each(report);
        let scan = &*self;
        let meter = scan.meter(progress);
        let tasks = scan.listed.files.iter().map(Task::File).collect();
        let queue = Queue { state: Mutex::new((tasks, 0)), changed: Condvar::new() };
        let work = || {
            let mut total = begin();
            while let Some(task) = queue.take() {
                let groups = scan.work(task, &meter, report, &mut |record| add(&mut total, record));
                queue.done(groups.into_iter());
            }
            total
        };
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut totals = vec![work()];
            for other in others {
                // A thread only panics where `add` does; then so does this one.
                totals.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            totals
        })
    }

    /// Does a task; returns those that it brought.
    fn work<'a>(
        &'a self,
        task: Task<'a>,
        meter: &Meter<'_>,
        report: &(dyn Fn(FlowLogError) + Sync),
        add: &mut dyn FnMut(&ScannedRecord<'_>),
    ) -> Vec<Task<'a>> {
        let mut use_record = |record: Result<ScannedRecord<'_>, FlowLogError>| {
            match record {
                Ok(record) => add(&record),
                Err(error) => report(error),
            }
            ControlFlow::Continue(())
        };
        let _ = match task {
            Task::Group(file, group) => self.read_group(&file, group, meter, &mut use_record),
            Task::File(file) => match self.open(file, meter) {
                Err(error) => use_record(Err(error)),
                Ok(None) => ControlFlow::Continue(()),
                Ok(Some(Opened::Lines(reader))) => self.read_lines(reader, &mut use_record),
                Ok(Some(Opened::Parquet(file, groups))) => {
                    let file = Arc::new(file);
                    return groups.into_iter().map(|group| Task::Group(Arc::clone(&file), group)).collect();
                }
            },
        };
        Vec::new()
    }
}
