//! Intake: reads one source file and cuts it into slices, one a run. Which files there are, and which of them changed, is
//! `assets_frames::intake`.
//!
//! Not here: what the rows mean. A row without a usable run id has no step, so it goes to `intake_rejects`; all else
//! is kept as delivered.

pub mod delivered;
pub mod reader;
mod rows;
pub mod run_id;

pub use rows::Reading;

use crate::columns::RUN;
use assets_core::hash::Hasher;
use assets_core::record::SliceRecord;
use assets_core::{AssetName, Fingerprint, Partition, Reason, Step};
use assets_frames::intake::{FileReader, Parsed, TakeRows};
use std::path::Path;

/// Reads files of runs.
pub struct RunFiles {
    /// What decides how a file is read.
    pub reading: Reading,
    /// Who reads the runs.
    pub raw: AssetName,
    /// Who reads rows without a usable run id.
    pub rejects: AssetName,
}

impl FileReader for RunFiles {
    fn assets(&self) -> Vec<&AssetName> {
        vec![&self.raw, &self.rejects]
    }

    fn unpartitioned(&self) -> Vec<&AssetName> {
        vec![&self.rejects]
    }

    fn fingerprint(&self) -> Fingerprint {
        self.reading.fingerprint()
    }

    fn read(&self, path: &Path, name: &str, rows_most: usize) -> Result<Parsed, Reason> {
        reader::read(path, name, self, rows_most)
    }

    fn read_one(
        &self,
        path: &Path,
        name: &str,
        step: &Step,
        each: &mut TakeRows<'_>,
    ) -> Result<Option<SliceRecord>, Reason> {
        let run = step.partition.keys().next().map(|(_, run)| run);
        reader::read_run(path, name, self, run, each)
    }
}

/// The partition of a run.
pub fn run_partition(run: &str) -> Partition {
    Partition::one(RUN, run)
}

impl Reading {
    /// What a run is called that was delivered under that id.
    fn named<'a>(&'a self, id: &'a str) -> &'a str {
        self.aliases.get(id).map_or(id, String::as_str)
    }

    /// The hash of all that decides how a file is read.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hasher = Hasher::new("assets.reading.2");
        hasher.optional(self.timezone.as_ref().map(|zone| zone.name()));
        hasher.number(self.attributes.len() as u64);
        self.attributes.iter().for_each(|name| {
            hasher.text(name);
        });
        hasher.number(self.aliases.len() as u64);
        for (from, to) in &self.aliases {
            hasher.text(from).text(to);
        }
        Fingerprint(hasher.finish())
    }
}
