//! Intake: identifies source files, reads those that changed, and has them cut into slices, one a partition. Not an
//! asset: its results are source records, and rows held until a step asks for them.
//!
//! Not here: what the rows of a file mean. That is for its `FileReader`s to say; several may read one file, each for
//! assets of its own.

pub mod cell;
pub mod delimited;
mod examine;
pub mod format;
mod held;
pub mod iso;
mod limits;
mod listing;
pub mod reading;
mod slicing;
pub mod time;
mod vanished;
mod walk;

pub use limits::{Limits, ROW_BYTES, Taken};
pub use listing::Patterns;
pub use slicing::{Slicing, slice};

use crate::files;
use assets_core::hash::{Digest, Hasher};
use assets_core::ledger::Ledger;
use assets_core::record::{SliceRecord, SourceRecord};
use assets_core::source::{Delivery, Identified, Source};
use assets_core::{AssetName, Fact, Fingerprint, ObjectId, Partition, Reason, Step};
use examine::Found;
use held::{HeldRows, Large};
use limits::{Turns, width};
use listing::{Listed, Listing};
use polars::prelude::DataFrame;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vanished::{Lost, Seen};

/// A file, read and cut.
#[derive(Default)]
pub struct Parsed {
    /// Slices with their rows; without them where they were too many to be held.
    pub slices: Vec<(SliceRecord, Option<DataFrame>)>,
    /// What a person should know.
    pub warnings: Vec<Reason>,
    /// What the rows take, as far as that is counted.
    pub taken: Option<Taken>,
}

/// Takes the rows of a slice, batch by batch. Others may wait for the file or for memory meanwhile: it must not leave its
/// step's slot (`slots::waiting`).
pub type TakeRows<'a> = dyn FnMut(DataFrame) -> Result<(), Reason> + 'a;

/// Reads files for some assets.
pub trait FileReader: Send + Sync {
    /// The assets that its slices are for.
    fn assets(&self) -> Vec<&AssetName>;

    /// Those of them that have a step whether or not anything is delivered: the unpartitioned ones.
    fn unpartitioned(&self) -> Vec<&AssetName>;

    /// The hash of all that decides how a file is read.
    fn fingerprint(&self) -> Fingerprint;

    /// The same one by one, by the names that people know.
    fn settings(&self) -> reading::Settings;

    /// Slices of a file that is not there any more, read with the settings `before`: which of those have changed so that
    /// the rows can't stand for what would be read now, if any.
    fn outdated(&self, slices: &[&SliceRecord], before: &reading::Settings) -> Option<reading::Outdated>;

    /// What to say where there is no file at all to read.
    fn without_files(&self, _patterns: &[String]) -> Option<Reason> {
        None
    }

    /// Reads a file, which people know by that name, within limits.
    ///
    /// # Errors
    /// Why nothing of the file can be used.
    fn read(&self, path: &Path, name: &str, limits: &Limits) -> Result<Parsed, Reason>;

    /// Reads what a file holds for these steps, which are in order; without the rows where they were too many to be held.
    ///
    /// # Errors
    /// Why it can't be read.
    fn read_some(&self, path: &Path, name: &str, limits: &Limits, steps: &[Step]) -> Result<Parsed, Reason> {
        let mut parsed = self.read(path, name, limits)?;
        parsed.slices.retain(|(slice, _)| steps.binary_search(&Step::new(&slice.asset, &slice.partition)).is_ok());
        Ok(parsed)
    }

    /// Reads what a file holds for one step, and no more of it at once than is needed; `None` where it holds nothing.
    ///
    /// # Errors
    /// Why it can't be read; what `each` says.
    fn read_one(
        &self,
        path: &Path,
        name: &str,
        step: &Step,
        each: &mut TakeRows<'_>,
    ) -> Result<Option<SliceRecord>, Reason> {
        let parsed = self.read(path, name, &Limits::of(u64::MAX))?;
        let mut slices = parsed.slices.into_iter();
        let Some((slice, rows)) = slices.find(|(slice, _)| is_of(slice, step)) else { return Ok(None) };
        rows.map_or(Ok(()), each)?;
        Ok(Some(slice))
    }
}

fn is_of(slice: &SliceRecord, step: &Step) -> bool {
    slice.asset == step.asset && slice.partition == step.partition
}

/// The sources of a project.
pub struct Intake {
    readers: Vec<Patterns>,
    limits: Limits,
    /// Of readings for steps.
    again: Arc<Turns>,
    /// Rows of slices that were read while identifying, until a step takes them.
    held: Mutex<HeldRows>,
    /// Where listed files are, and which readers list them.
    paths: Mutex<HashMap<String, (PathBuf, Vec<usize>)>>,
    /// One reader a file: steps of several partitions ask for the same file at once.
    files: Mutex<HashMap<String, Arc<Mutex<()>>>>,
    /// Files with more rows than can be held, by who reads them, with their slices in the order of steps.
    large: Mutex<Large>,
    /// What was found of files when they were read or hashed last: once more, that is true for the same stat. Sources may be
    /// identified for a part of what there is, and then for all of it.
    found: Mutex<HashMap<String, Found>>,
}

fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Intake {
    /// Sources by patterns, each with who reads them, within `memory` bytes.
    pub fn new(readers: Vec<Patterns>, memory: u64) -> Self {
        Self {
            readers,
            limits: Limits::of(memory),
            again: Turns::of(width()),
            held: Mutex::default(),
            paths: Mutex::default(),
            files: Mutex::default(),
            large: Mutex::default(),
            found: Mutex::default(),
        }
    }

    /// Who reads an asset's slices.
    fn reader_of(&self, asset: &AssetName) -> Option<usize> {
        self.readers.iter().position(|own| own.reader.assets().contains(&asset))
    }

    fn readings(&self, file: &Listed) -> Fingerprint {
        self.fingerprint_of(file.readers.iter().map(|at| self.readers[*at].reader.fingerprint()).collect())
    }

    fn fingerprint_of(&self, mut all: Vec<Fingerprint>) -> Fingerprint {
        if let [one] = all.as_slice() {
            return *one;
        }
        all.sort();
        let mut hasher = Hasher::new("assets.readings.1");
        all.iter().for_each(|one| {
            hasher.bytes(one.0.as_bytes());
        });
        Fingerprint(hasher.finish())
    }

    /// Where a source that is not listed any more has moved: a file with its content that is new, and read by whoever
    /// read it.
    fn moved(&self, record: &SourceRecord, new: &BTreeMap<ObjectId, Vec<&Listed>>) -> Option<String> {
        let owners: BTreeSet<usize> = record.slices.iter().filter_map(|slice| self.reader_of(&slice.asset)).collect();
        let same = new.get(&record.content?)?;
        let found = same.iter().rfind(|file| owners.iter().all(|owner| file.readers.contains(owner)));
        found.map(|file| file.name.clone())
    }

    /// The steps that are there whether or not anything is delivered for them.
    fn always(&self) -> BTreeMap<Step, Delivery> {
        let assets = self.readers.iter().flat_map(|own| own.reader.unpartitioned());
        assets.map(|asset| (Step::new(asset, &Partition::none()), Delivery::default())).collect()
    }

    /// Adds what a source delivers to the steps that read it. Slices of assets that are none any more deliver nothing.
    /// What is there no more is told, with what of it can't be read again.
    fn deliver(&self, identified: &mut Identified, record: &SourceRecord, seen: Seen<'_>) -> Vec<Lost> {
        let mut gone: Vec<&SliceRecord> = Vec::new();
        for slice in &record.slices {
            let Some(owner) = self.reader_of(&slice.asset) else { continue };
            let step = Step::new(&slice.asset, &slice.partition);
            let delivery = identified.deliveries.entry(step).or_default();
            delivery.slices.push(record.delivers(slice));
            if seen.is_lost_to(owner) {
                gone.push(slice);
            } else if let Some(problem) = record.problem.as_ref().filter(|problem| concerns(problem, &slice.asset)) {
                let message = format!("{} could be read before and can't be now: {}", record.path, problem.message);
                let failure = Reason::new("source_unreadable", message);
                delivery.failure =
                    Some(failure.with("path", record.path.as_str()).with("cause", problem.code.as_str()));
            }
        }
        if gone.is_empty() && !matches!(seen, Seen::Nowhere) {
            return Vec::new();
        }
        self.vanished(identified, record, &gone, seen)
    }

    /// Those that were there before, and are not listed any more.
    fn unlisted(
        &self,
        identified: &mut Identified,
        gone: &[&SourceRecord],
        new: &BTreeMap<ObjectId, Vec<&Listed>>,
        problems: &[(String, Reason)],
    ) -> Vec<Lost> {
        let mut lost = Vec::new();
        for record in gone {
            let ours = record.slices.is_empty() || record.slices.iter().any(|s| self.reader_of(&s.asset).is_some());
            if !ours {
                continue;
            }
            // Not seen because its folder could not be: that is no word on whether it is there.
            if let Some((_, reason)) = problems.iter().find(|(folder, _)| Path::new(&record.path).starts_with(folder)) {
                identified.problems.push((record.path.clone(), reason.clone()));
                identified.warnings.extend(reading::warnings(record));
                let record = SourceRecord { problem: Some(reason.clone()), ..(*record).clone() };
                lost.extend(self.deliver(identified, &record, Seen::Unknown));
            } else if let Some(new) = self.moved(record, new) {
                identified.changed.push(SourceRecord { moved_to: Some(new), ..(*record).clone() });
            } else {
                identified.warnings.extend(reading::warnings(record));
                lost.extend(self.deliver(identified, record, Seen::Nowhere));
            }
        }
        lost
    }
}

/// Whether a problem of a file is one of that asset: where only some readers can't read it, it says which assets'.
fn concerns(problem: &Reason, asset: &AssetName) -> bool {
    match problem.facts.get("assets") {
        Some(Fact::Texts(assets)) => assets.iter().any(|name| name == asset.as_str()),
        _ => true,
    }
}

impl Source for Intake {
    fn identify(&self, known: &Ledger, rehash: bool) -> Result<Identified, Reason> {
        locked(&self.held).ask_again();
        let (listing, records) = self.examine_listed(known, rehash)?;
        let Listing { files, problems, missing: not_there } = listing;
        let paths = files.iter().map(|file| (file.name.clone(), (file.path.clone(), file.readers.clone())));
        *locked(&self.paths) = paths.collect();
        let mut identified = Identified { files: files.len(), ..Identified::default() };
        let mut new_contents: BTreeMap<ObjectId, Vec<&Listed>> = BTreeMap::new();
        for (file, record) in files.iter().zip(&records) {
            let is_new = known.sources().get(&record.path).is_none_or(|before| before.content != record.content);
            if let Some(content) = record.content.filter(|_| is_new) {
                new_contents.entry(content).or_default().push(file);
            }
        }
        identified.deliveries = self.always();
        let here: BTreeSet<&str> = records.iter().map(|record| record.path.as_str()).collect();
        let gone: Vec<&SourceRecord> =
            known.sources().values().filter(|record| !here.contains(record.path.as_str())).collect();
        let mut lost = self.unlisted(&mut identified, &gone, &new_contents, &problems);
        // One that was there before is told as vanished or moved.
        let unknown = not_there.iter().filter(|name| !known.sources().contains_key(*name));
        identified.warnings.extend(unknown.map(|name| missing(name)));
        for (at, own) in self.readers.iter().enumerate() {
            let named = own.patterns.iter().any(|pattern| not_there.contains(pattern));
            if !named && !files.iter().any(|file| file.readers.contains(&at)) {
                identified.warnings.extend(own.reader.without_files(&own.patterns));
            }
        }
        let unlisted: Vec<_> =
            problems.into_iter().filter(|problem| !identified.problems.iter().any(|(_, r)| *r == problem.1)).collect();
        identified.problems.extend(unlisted);
        for (file, record) in files.iter().zip(records) {
            identified.problems.extend(record.problem.clone().map(|problem| (record.path.clone(), problem)));
            identified.warnings.extend(reading::warnings(&record));
            lost.extend(self.deliver(&mut identified, &record, Seen::At(file)));
            if known.sources().get(&record.path) != Some(&record) {
                identified.changed.push(record);
            }
        }
        vanished::fail(self, &mut identified, &lost);
        vanished::fail_unstored(&mut identified, known);
        identified.warnings = files::told_once(std::mem::take(&mut identified.warnings));
        Ok(identified)
    }

    fn delivered(&self, records: &[&SourceRecord]) -> BTreeMap<Step, Delivery> {
        let mut deliveries = self.always();
        for record in records {
            for slice in record.slices.iter().filter(|slice| self.reader_of(&slice.asset).is_some()) {
                let delivery = deliveries.entry(Step::new(&slice.asset, &slice.partition)).or_default();
                delivery.slices.push(record.delivers(slice));
            }
        }
        deliveries
    }

    fn glance(&self) -> Option<Digest<16>> {
        listing::glance(&self.readers)
    }

    fn bytes(&self, path: &str) -> Option<u64> {
        let listed = locked(&self.paths).get(path).map(|(path, _)| path.clone());
        let places = listed.into_iter().chain(self.readers.iter().map(|own| own.base.join(path)));
        let mut files = places.filter_map(|place| fs::metadata(place).ok()).filter(fs::Metadata::is_file);
        files.next().map(|metadata| metadata.len())
    }
}

/// A source that can't be read, and why.
pub fn unreadable(name: &str, error: &dyn std::fmt::Display) -> Reason {
    Reason::new("source_unreadable", format!("{name} can't be read: {error}")).with("path", name)
}

/// A file that the settings name, without pattern, and that is not there.
fn missing(name: &str) -> Reason {
    let message = format!("the source {name} is not there");
    Reason::new("source_missing", message).with("path", name)
}
