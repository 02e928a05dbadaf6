//! Purge: takes everything of enid's off the host, for when it is not to come back.

use std::fs;
use std::io;

use enid_datapath::Datapath;
use enid_store::RunStore;

use crate::config::Config;
use crate::daemon::Directories;
use crate::run::{find_cgroup_directory, gone};
use crate::{EnidError, router, uplink};

/// Takes away every task, router, pinned map and rule that a daemon with these directories made, and the run
/// directory. What was declared, and the records, stay in the state directory.
///
/// It goes on past errors, and returns them all. The daemon must not be running.
pub fn purge(config: &Config, directories: &Directories) -> Vec<EnidError> {
    let mut errors = Vec::new();
    if directories.run_store().exists() {
        match RunStore::open(&directories.run_store()) {
            Ok(store) => purge_recorded(&store, &mut errors),
            // Without its records nothing is known to be enid's: somebody has to look.
            Err(error) => return vec![error.into()],
        }
    }
    errors.extend(Datapath::unpin(&config.paths.bpf).err().map(EnidError::from));
    let cgroup = match &config.paths.cgroup {
        Some(path) => Some(path.clone()),
        None => find_cgroup_directory().ok(),
    };
    errors.extend(cgroup.and_then(|path| remove_cgroups(&path).err()));
    errors.extend(remove_run_files(directories).err());
    errors
}

fn purge_recorded(store: &RunStore, errors: &mut Vec<EnidError>) {
    match store.tasks() {
        Ok(tasks) => {
            for record in tasks.iter().filter(|record| !record.task.netns_adopted) {
                errors.extend(enid_netns::unmount(&record.task.netns).err().map(EnidError::from));
            }
        }
        Err(error) => errors.push(error.into()),
    }
    match store.routers() {
        Ok(routers) => {
            // The links of tasks, adopted namespaces' too, go with their router's namespace.
            for record in &routers {
                errors.extend(router::remove(record).err());
            }
            if !routers.is_empty() {
                errors.extend(uplink::remove_host_rules().err());
            }
        }
        Err(error) => errors.push(error.into()),
    }
}

/// Removes what the daemon put into the run directory, and the directory if nothing else is in it.
fn remove_run_files(directories: &Directories) -> Result<(), EnidError> {
    let etc = directories.etc();
    gone(fs::remove_dir_all(&etc)).map_err(EnidError::file("remove", etc))?;
    for file in [directories.socket(), directories.run_store(), directories.exported(), directories.journal()]
    {
        gone(fs::remove_file(&file)).map_err(EnidError::file("remove", file))?;
    }
    match fs::remove_dir(&directories.run) {
        // Busy: something is mounted on it, a tmpfs of its own.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::ResourceBusy) =>
        {
            Ok(())
        }
        removed => gone(removed).map_err(EnidError::file("remove", &directories.run)),
    }
}

/// Removes a folder of cgroups, the innermost first; those that commands still run in say so.
fn remove_cgroups(path: &std::path::Path) -> Result<(), EnidError> {
    let Ok(entries) = fs::read_dir(path) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroups(&entry.path())?;
        }
    }
    fs::remove_dir(path).map_err(EnidError::file("remove", path))
}
