//! Purge: takes everything of enid's off the host, for when it is not to come back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use enid_datapath::Datapath;
use enid_model::{EniId, TrafficClass};
use enid_store::RunStore;

use crate::config::Config;
use crate::daemon::Directories;
use crate::run::{find_cgroup_directory, gone};
use crate::sole::Sole;
use crate::{EnidError, router, tasks, uplink};

/// Takes away every task, router, pinned map and rule that a daemon with these directories made, and the run
/// directory. What was declared, and the records, stay in the state directory.
///
/// It goes on past errors, and returns them all. The daemon must not be running.
pub fn purge(config: &Config, directories: &Directories) -> Vec<EnidError> {
    if !directories.run_store().exists() {
        // Nothing says that what may be there is enid's.
        tracing::info!(run_directory = %directories.run.display(), "no enid has left anything here");
        return Vec::new();
    }
    let (claim, store) = match claim(config, directories) {
        Ok(claimed) => claimed,
        Err(error) => return vec![error],
    };
    let mut errors = Vec::new();
    purge_recorded(&store, &mut errors);
    let cgroup = match &config.paths.cgroup {
        Some(path) => Some(path.clone()),
        None => find_cgroup_directory().ok(),
    };
    errors.extend(cgroup.and_then(|path| remove_cgroups(&path).err()));
    drop(store);
    errors.extend(remove_run_files(directories).err());
    drop(claim);
    errors.extend(Datapath::unpin(&config.paths.bpf).err().map(EnidError::from));
    errors
}

/// Makes sure that no daemon is running, nor starts meanwhile.
fn claim(config: &Config, directories: &Directories) -> Result<(Sole, RunStore), EnidError> {
    Ok((Sole::claim(&config.paths.bpf)?, RunStore::open(&directories.run_store())?))
}

fn purge_recorded(store: &RunStore, errors: &mut Vec<EnidError>) {
    match store.tasks() {
        Ok(tasks) => {
            let removed = tasks.iter().map(tasks::remove_name);
            errors.extend(removed.filter_map(|removed| removed.err().map(EnidError::from)));
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
    for folder in of_enis(&etc) {
        gone(fs::remove_dir_all(&folder)).map_err(EnidError::file("remove", folder))?;
    }
    for file in
        [directories.socket(), directories.dial_socket(), directories.run_store(), directories.exported()]
    {
        gone(fs::remove_file(&file)).map_err(EnidError::file("remove", file))?;
    }
    for folder in [etc, directories.run.clone()] {
        match fs::remove_dir(&folder) {
            // Something else is in it, or it is mounted: a tmpfs of its own.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::ResourceBusy) => {
            }
            removed => gone(removed).map_err(EnidError::file("remove", folder))?,
        }
    }
    Ok(())
}

/// Removes the cgroups of ENIs; one that a command still runs in says so.
fn remove_cgroups(path: &Path) -> Result<(), EnidError> {
    for eni in of_enis(path) {
        for class in TrafficClass::ALL {
            let cgroup = eni.join(class.as_str());
            gone(fs::remove_dir(&cgroup)).map_err(EnidError::file("remove", cgroup))?;
        }
        gone(fs::remove_dir(&eni)).map_err(EnidError::file("remove", eni))?;
    }
    // It stays if it is not enid's alone.
    let _ = fs::remove_dir(path);
    Ok(())
}

/// The folders in a folder that are named after ENIs: nothing else there is enid's.
fn of_enis(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let folders = entries.flatten().map(|entry| entry.path());
    let named = |folder: &PathBuf| {
        folder.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.parse::<EniId>().is_ok())
    };
    folders.filter(named).collect()
}
