//! Intake: reads one source file and cuts it into slices, one a run. Which files there are, and which of them changed, is
//! `assets_frames::intake`.
//!
//! Not here: what the rows mean. A row without a usable run id has no step, so it goes to `intake_rejects`; all else
//! is kept as delivered.

mod cells;
pub mod delivered;
pub mod reader;
mod rows;
mod run;
pub mod run_id;

pub use rows::Reading;

use crate::columns::RUN;
use assets_core::hash::Hasher;
use assets_core::record::SliceRecord;
use assets_core::{AssetName, Fingerprint, Partition, Reason, Step};
use assets_frames::intake::reading::{NOT_SET, Outdated, Settings, other_zone};
use assets_frames::intake::{FileReader, Limits, Parsed, TakeRows};
use std::collections::BTreeSet;
use std::path::Path;

/// What the setting of one alias begins with.
const ALIAS: &str = "run_alias.";

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

    fn settings(&self) -> Settings {
        let Reading { timezone, attributes, aliases } = &self.reading;
        let zone = timezone.as_ref().map_or(NOT_SET, |zone| zone.name());
        let aliases = aliases.iter().map(|(from, to)| (format!("{ALIAS}{from}"), to.clone()));
        let others = [("timezone", zone.to_owned()), ("run_attributes", attributes.join(", "))];
        others.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(aliases).collect()
    }

    /// An attribute that was not kept when the file was read is null.
    fn outdated(&self, slices: &[&SliceRecord], before: &Settings) -> Option<Outdated> {
        let now = self.settings();
        let zone = now.get("timezone").map_or(NOT_SET, String::as_str);
        if let Some(old) = before.get("timezone").filter(|old| other_zone(Some(*old), zone)) {
            return Some(Outdated::all_of(slices, "timezone", old, zone));
        }
        let delivers = |run: &str| slices.iter().any(|slice| slice.partition == run_partition(run));
        let aliases: BTreeSet<&String> =
            before.keys().chain(now.keys()).filter(|name| name.starts_with(ALIAS)).collect();
        aliases.into_iter().find_map(|name| {
            let (old, new) = (before.get(name), now.get(name));
            // The rows of a spelling are under the name that it stood for then.
            let had = old.map_or(&name[ALIAS.len()..], String::as_str);
            if old == new || !delivers(had) {
                return None;
            }
            let runs = [Some(had), new.map(String::as_str)].into_iter().flatten().map(run_partition).collect();
            let text = |value: Option<&String>| value.map_or(NOT_SET, String::as_str).to_owned();
            Some(Outdated { setting: name.clone(), old: text(old), new: text(new), partitions: Some(runs) })
        })
    }

    fn read(&self, path: &Path, name: &str, limits: &Limits) -> Result<Parsed, Reason> {
        reader::read(path, name, self, limits)
    }

    fn read_some(&self, path: &Path, name: &str, limits: &Limits, steps: &[Step]) -> Result<Parsed, Reason> {
        reader::read_some(path, name, self, limits, steps.iter().map(|step| run_of(step).map(str::to_owned)).collect())
    }

    fn read_one(
        &self,
        path: &Path,
        name: &str,
        step: &Step,
        each: &mut TakeRows<'_>,
    ) -> Result<Option<SliceRecord>, Reason> {
        reader::read_run(path, name, self, run_of(step), each)
    }
}

/// The run of a step; rows without a usable id have none.
fn run_of(step: &Step) -> Option<&str> {
    step.partition.keys().next().map(|(_, run)| run)
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
