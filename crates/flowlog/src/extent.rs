//! How far the files of a flow log reach, so that a batch whose writer was cut off can be taken back.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};

use serde::{Deserialize, Serialize};

use crate::directory::LogDirectory;
use crate::error::FlowLogError;

/// The lengths of a flow log's files at one moment, by their names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Extent(BTreeMap<String, u64>);

impl LogDirectory {
    /// How far the files reach now.
    pub fn extent(&self) -> Result<Extent, FlowLogError> {
        let mut lengths = BTreeMap::new();
        for (name, path) in self.files()? {
            let metadata = fs::metadata(&path).map_err(FlowLogError::io("examine", &path))?;
            lengths.insert(name.to_string(), metadata.len());
        }
        Ok(Extent(lengths))
    }

    /// Takes back what was appended since the files reached that far. Files that were removed since stay so.
    pub fn cut_back(&mut self, extent: &Extent) -> Result<(), FlowLogError> {
        self.close_files();
        for (name, path) in self.files()? {
            let Some(length) = extent.0.get(&name.to_string()) else {
                fs::remove_file(&path).map_err(FlowLogError::io("remove", &path))?;
                continue;
            };
            let file = OpenOptions::new().write(true).open(&path).map_err(FlowLogError::io("open", &path))?;
            let now = file.metadata().map_err(FlowLogError::io("examine", &path))?.len();
            if now > *length {
                file.set_len(*length).map_err(FlowLogError::io("cut", &path))?;
            }
        }
        Ok(())
    }
}
