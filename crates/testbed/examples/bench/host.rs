//! Namespaces and folders of what is measured.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use enid_testbed::floor;

/// Makes an empty network namespace to be somebody's host.
pub(crate) fn new_host() -> Result<OwnedFd> {
    // On a thread that ends with it: no later work runs where it should not.
    let host = thread::spawn(|| -> Result<OwnedFd> {
        let path = std::env::temp_dir().join(format!("bench-host-{}", std::process::id()));
        let host = floor::make_namespace(&path)?;
        floor::remove_namespace(&path)?;
        Ok(host)
    });
    host.join().unwrap_or_else(|_| Err(anyhow!("the thread that makes a host ended early")))
}

/// A folder of somebody's own below the working folder.
pub(crate) fn folder(work: &Path, name: &str) -> Result<PathBuf> {
    let folder = work.join(name);
    fs::create_dir(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}

/// Runs a program that must succeed, in the calling thread's namespace, from words with spaces between them.
pub(crate) fn run(line: &str) -> Result<()> {
    let mut words = line.split(' ');
    let output = Command::new(words.next().unwrap_or_default()).args(words).output();
    let output = output.with_context(|| format!("start `{line}`"))?;
    ensure!(output.status.success(), "`{line}`: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
