//! Adding records up on several cores.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use crate::error::FlowLogError;
use crate::scan::list::ScanFile;
use crate::scan::parquet::{ParquetFile, Rows};
use crate::scan::{Inner, Meter, Opened, Progress, Scan, ScannedRecord, totals};
use crate::summary::{GroupBy, Summary};

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

/// What a task finds.
enum Found<'a> {
    Record(ScannedRecord<'a>),
    Rows(&'a Rows),
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
        self.run(threads, progress, report, begin, |total, found| match found {
            Found::Record(record) => add(total, &record),
            Found::Rows(rows) => each_row(rows, report, |record| add(total, record)),
        })
    }

    /// Adds all records up, on so many threads. The query's needs are [`Summary::needs`], and its fields are best no
    /// more than these. `report` gets what can't be read.
    pub fn summarize(
        &mut self,
        group_by: GroupBy,
        threads: usize,
        progress: Progress<'_>,
        report: &(dyn Fn(FlowLogError) + Sync),
    ) -> Summary {
        let begin = || Summary::new(group_by);
        let parts = self.run(threads, progress, report, begin, |summary, found| match found {
            Found::Record(record) => summary.add(&record),
            Found::Rows(rows) => {
                totals::add(rows, summary)
                    .unwrap_or_else(|| each_row(rows, report, |record| summary.add(record)));
            }
        });
        let mut summary = begin();
        for part in parts {
            summary.merge(part);
        }
        summary
    }

    fn run<T: Send>(
        &mut self,
        threads: usize,
        progress: Progress<'_>,
        report: &(dyn Fn(FlowLogError) + Sync),
        begin: impl Fn() -> T + Sync,
        add: impl Fn(&mut T, Found<'_>) + Sync,
    ) -> Vec<T> {
        std::mem::take(&mut self.listed.errors).into_iter().for_each(report);
        let scan = &*self;
        let meter = scan.meter(progress);
        let tasks = scan.listed.files.iter().map(Task::File).collect();
        let queue = Queue { state: Mutex::new((tasks, 0)), changed: Condvar::new() };
        let work = || {
            let mut total = begin();
            while let Some(task) = queue.take() {
                let groups = scan.work(task, &meter, report, &mut |found| add(&mut total, found));
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
        add: &mut dyn FnMut(Found<'_>),
    ) -> Vec<Task<'a>> {
        match task {
            Task::Group(file, group) => match self.rows(&file, group, meter) {
                Err(error) => report(error),
                Ok(rows) => add(Found::Rows(&rows)),
            },
            Task::File(file) => match self.open(file, meter) {
                Err(error) => report(error),
                Ok(None) => {}
                Ok(Some(Opened::Lines(reader))) => {
                    let _ = self.read_lines(*reader, &mut |record| {
                        match record {
                            Ok(record) => add(Found::Record(record)),
                            Err(error) => report(error),
                        }
                        ControlFlow::Continue(())
                    });
                }
                Ok(Some(Opened::Parquet(file, groups))) => {
                    let file: Arc<ParquetFile> = file.into();
                    return groups.into_iter().map(|group| Task::Group(Arc::clone(&file), group)).collect();
                }
            },
        }
        Vec::new()
    }
}

fn each_row(rows: &Rows, report: &dyn Fn(FlowLogError), mut add: impl FnMut(&ScannedRecord<'_>)) {
    for row in rows.iter() {
        match row {
            Ok(row) => add(&ScannedRecord(Inner::Row(row))),
            Err(error) => report(error),
        }
    }
}
