//! How far reading is, on the standard error of somebody who waits.

use std::io::{IsTerminal, Write, stderr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::text::{count, grouped};

/// What is read sooner is not worth a bar.
const PATIENCE: Duration = Duration::from_secs(1);
/// More often than a person sees it change.
const BETWEEN: Duration = Duration::from_millis(100);
const WIDTH: u64 = 30;
/// Back to the line's beginning, all that is on it gone.
const CLEAR: &str = "\r\x1b[K";

/// A bar that appears on a terminal once reading has taken a while, and is gone when the value is.
#[derive(Debug)]
pub(in crate::commands) struct Progress {
    is_terminal: bool,
    began: Instant,
    /// When the bar is drawn next, in milliseconds after the beginning.
    next: AtomicU64,
    is_shown: Mutex<bool>,
}

impl Progress {
    /// Begins to measure the time.
    pub(in crate::commands) fn new() -> Self {
        Self {
            is_terminal: stderr().is_terminal(),
            began: Instant::now(),
            next: AtomicU64::new(milliseconds(PATIENCE)),
            is_shown: Mutex::new(false),
        }
    }

    /// So many bytes of all are done.
    pub(in crate::commands) fn bytes(&self, done: u64, total: u64) {
        self.draw(|| bar(done, total));
    }

    /// So many records are read, of nobody knows how many.
    pub(in crate::commands) fn records(&self, read: usize) {
        self.draw(|| format!("{} read", count(read, "record")));
    }

    /// Whether to draw at this time; of several threads, to one.
    fn is_due(&self, now: Duration) -> bool {
        let (now, next) = (milliseconds(now), self.next.load(Ordering::Relaxed));
        let later = now.saturating_add(milliseconds(BETWEEN));
        now >= next && self.next.compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn draw(&self, text: impl FnOnce() -> String) {
        if !self.is_terminal || !self.is_due(self.began.elapsed()) {
            return;
        }
        if let Ok(mut is_shown) = self.is_shown.lock() {
            *is_shown = true;
            // A terminal that is gone needs no bar.
            let _ = write!(stderr(), "{CLEAR}{}", text());
        }
    }

    /// Takes the bar away, for what is printed next.
    pub(in crate::commands) fn clear(&self) {
        if self.is_terminal
            && let Ok(mut is_shown) = self.is_shown.lock()
            && std::mem::take(&mut *is_shown)
        {
            let _ = write!(stderr(), "{CLEAR}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn bar(done: u64, total: u64) -> String {
    let part = |whole: u64| u128::from(done) * u128::from(whole) / u128::from(total.max(1));
    let filled: String =
        (0..WIDTH).map(|place| if u128::from(place) < part(WIDTH) { '#' } else { '.' }).collect();
    let mebibytes = |bytes: u64| grouped(bytes >> 20);
    format!("[{filled}] {} %, {} of {} MiB", part(100), mebibytes(done), mebibytes(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_grows_with_what_is_done() {
        assert_eq!(bar(0, 0), format!("[{}] 0 %, 0 of 0 MiB", ".".repeat(30)));
        let half = format!("[{}{}] 50 %, 2,048 of 4,096 MiB", "#".repeat(15), ".".repeat(15));
        assert_eq!(bar(2 << 30, 4 << 30), half);
        assert!(bar(u64::MAX, u64::MAX).starts_with(&format!("[{}] 100 %", "#".repeat(30))));
    }

    #[test]
    fn it_appears_after_a_second_and_then_ten_times_a_second() {
        let progress = Progress::new();
        let due =
            [0, 999, 1_000, 1_001, 1_099, 1_100, 5_000].map(|at| progress.is_due(Duration::from_millis(at)));
        assert_eq!(due, [false, false, true, false, false, true, true]);
    }
}
