//! The audit of a time range: what the spool has of it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use enid_flowlog::{Direction, Interface};
use enid_model::EniId;
use enid_spool::{Damage, Reader, SpoolError, Sum};

use super::account::{Account, Accounts};
use super::periods::{BatchTimes, choose};
use super::report::report;
use crate::commands::flows::progress::Progress;
use crate::commands::flows::spool_directory;
use crate::failure::Failure;
use crate::session::Session;
use crate::text::second;

/// Seconds from 1970, from and until.
pub(super) type Range = (Option<u64>, Option<u64>);

/// Prints the accounts of the ENIs that a range has.
pub(super) fn execute(session: &Session, task: Option<String>, range: Range) -> Result<ExitCode, Failure> {
    let spool = Spool::open(spool_directory(session)?)?;
    let chosen = choose(&spool.batches, None, range, |_| true).ok_or_else(nothing)?;
    say_what_is_gone(&spool, 0, range, chosen);
    let enis = spool.accounts(chosen, |_| true)?;
    finish(session, &spool, chosen, enis, task)
}

/// Says that there is less than was asked for, where the spool does not have all batches after one any more.
pub(super) fn say_what_is_gone(spool: &Spool, after: u64, (since, _): Range, chosen: (u64, u64)) {
    let is_gone = spool.batches.first().is_some_and(|first| first.number > after + 1);
    if is_gone && since.is_none_or(|since| since < chosen.0) {
        eprintln!("enictl: the spool has nothing from before {} any more", second(chosen.0));
    }
}

/// Prints the accounts, of one task if it is given.
pub(super) fn finish(
    session: &Session,
    spool: &Spool,
    (since, until): (u64, u64),
    enis: BTreeMap<EniId, Account>,
    task: Option<String>,
) -> Result<ExitCode, Failure> {
    let mut enis: Vec<Account> = enis.into_values().collect();
    if let Some(task) = task {
        enis.retain(|eni| eni.task.as_ref().is_some_and(|name| name.as_str() == task));
        if enis.is_empty() {
            return Err(Failure::NotFound(format!("there is nothing of a task `{task}` in this range")));
        }
    }
    enis.sort_by(|a, b| (&a.task, a.eni_id).cmp(&(&b.task, b.eni_id)));
    let accounts = Accounts { since, until, enis };
    session.format.print(&accounts, report)?;
    let is_whole = !spool.is_damaged.get() && accounts.enis.iter().all(Account::closes);
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The account of an ENI, whatever it was first heard of by.
fn of<'a>(accounts: &'a mut BTreeMap<EniId, Account>, interface: &Interface) -> &'a mut Account {
    accounts.entry(interface.eni).or_insert_with(|| Account::new(interface))
}

/// Why there is no answer.
pub(super) fn nothing() -> Failure {
    Failure::NotFound("the spool has nothing of this range".to_owned())
}

/// The daemon's spool, and when its batches were.
pub(super) struct Spool {
    folder: PathBuf,
    pub(super) batches: Vec<BatchTimes>,
    progress: Progress,
    is_damaged: Cell<bool>,
}

impl Spool {
    pub(super) fn open(folder: PathBuf) -> Result<Self, SpoolError> {
        let mut reader = Reader::open(&folder, 0)?;
        let mut batches = Vec::new();
        while let Some(batch) = reader.next_batch()? {
            batches.push(BatchTimes { number: batch.number, began: batch.began, until: batch.until() });
        }
        Ok(Self { folder, batches, progress: Progress::new(), is_damaged: Cell::new(false) })
    }

    /// The accounts of the ENIs that are wanted, with the records of the batches that begin in a range.
    pub(super) fn accounts(
        &self,
        (since, until): (u64, u64),
        is_wanted: impl Fn(&Interface) -> bool,
    ) -> Result<BTreeMap<EniId, Account>, SpoolError> {
        let is_chosen = |began: u64| since <= began && began < until;
        let first = self.batches.iter().find(|batch| is_chosen(batch.began)).map_or(1, |batch| batch.number);
        let last = self.batches.last().map_or(0, |batch| batch.number);
        let mut accounts: BTreeMap<EniId, Account> = BTreeMap::new();
        let mut reader = Reader::open(&self.folder, first.saturating_sub(1))?;
        let mut read = 0;
        while let Some(mut batch) = reader.next_batch()?.filter(|batch| batch.number <= last) {
            if !is_chosen(batch.began) {
                continue;
            }
            while let Some(records) = batch.next_records()? {
                read += records.len();
                self.progress.records(read);
                for record in records.iter().filter(|record| is_wanted(&record.interface)) {
                    let account = of(&mut accounts, &record.interface);
                    let Some(traffic) = record.traffic() else { continue };
                    let part = match traffic.direction {
                        Direction::Egress => &mut account.egress,
                        Direction::Ingress => &mut account.ingress,
                    };
                    part.records.add(Sum { packets: traffic.packets, bytes: traffic.bytes });
                }
            }
            for balance in batch.balances().iter().filter(|balance| is_wanted(&balance.interface)) {
                let account = of(&mut accounts, &balance.interface);
                account.egress.add(&balance.egress);
                account.ingress.add(&balance.ingress);
            }
            batch.damage().iter().for_each(|damage| self.report(damage));
        }
        self.progress.clear();
        Ok(accounts)
    }

    fn report(&self, Damage { file, offset, bytes, .. }: &Damage) {
        self.is_damaged.set(true);
        self.progress.clear();
        eprintln!("enictl: {}: {bytes} bytes at {offset} can't be read", Path::display(file));
    }
}
