//! What steps print, as files: `logs/<asset>/<run>.log`, each replaced when its step is made again.

use crate::error::reading;
use crate::files::{Output, create_folder, remove_if_there};
use assets_core::Reason;
use assets_core::key::Step;
use assets_core::logs::Logs;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;

/// The logs of a store.
#[derive(Debug, Clone)]
pub struct FolderLogs {
    root: PathBuf,
}

impl FolderLogs {
    /// The logs of the store at `root`, which need not exist yet.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where a step's log is, if it has one.
    pub fn path(&self, step: &Step) -> PathBuf {
        // Core encodes names so that they stay in their folder.
        self.root.join("logs").join(step.asset.as_str()).join(format!("{}.log", step.partition.file_stem()))
    }
}

impl Logs for FolderLogs {
    fn create(&self, step: &Step) -> Result<File, Reason> {
        let path = self.path(step);
        if let Some(folder) = path.parent() {
            create_folder(folder).map_err(|error| error.reason())?;
        }
        // A process of an earlier build may still hold the old one: it keeps that, under no name.
        self.clear(step)?;
        Output::new_log(&path).map(Output::into_file).map_err(|error| {
            let message = format!("the log {} can't be written: {error}", path.display());
            Reason::new("io_error", message).with("path", path.display().to_string())
        })
    }

    fn clear(&self, step: &Step) -> Result<(), Reason> {
        remove_if_there(&self.path(step)).map_err(|error| error.reason())
    }

    fn read(&self, step: &Step, last: u64) -> Result<Option<Vec<u8>>, Reason> {
        let path = self.path(step);
        let bytes = File::open(&path).and_then(|mut log| end_of(&mut log, last));
        match bytes {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(reading(&path)(error).reason()),
        }
    }
}

fn end_of(log: &mut File, last: u64) -> std::io::Result<Vec<u8>> {
    let size = log.seek(SeekFrom::End(0))?;
    log.seek(SeekFrom::Start(size.saturating_sub(last)))?;
    let mut bytes = Vec::new();
    log.take(last).read_to_end(&mut bytes)?;
    if size > last
        && let Some(end) = bytes.iter().position(|byte| *byte == b'\n')
    {
        bytes.drain(..=end);
    }
    Ok(bytes)
}
