//! Intake: identifies source files, reads those that changed, and cuts them into slices, one a run. Not an asset: its
//! results are source records, and rows held until `raw` asks for them.
//!
//! Not here: what the rows mean. A row without a usable run id has no step, so it goes to `intake_rejects`; all else
//! is kept as delivered.

pub mod delivered;
pub mod reader;
mod rows;
pub mod run_id;
pub mod time;

pub use rows::{Parsed, Reading};

use crate::columns::RUN;
use assets_core::hash::{ByteHasher, Hasher};
use assets_core::ledger::Ledger;
use assets_core::record::{FileStat, SliceRef, SourceRecord};
use assets_core::source::{Delivery, Identified, Source};
use assets_core::{AssetName, ContentHash, Fingerprint, ObjectId, Partition, Reason, Step};
use assets_frames::DataFrame;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// A stat younger than this may hide a later write within the clock's grain.
const STAT_TRUST_NS: i128 = 2_000_000_000;

/// The sources of a project.
pub struct Intake {
    /// Patterns, as the settings name them.
    patterns: Vec<String>,
    /// What they are relative to.
    base: PathBuf,
    reading: Reading,
    raw: AssetName,
    rejects: AssetName,
    /// Rows of slices that were read while identifying, until a step takes them.
    held: Mutex<HashMap<SliceKey, DataFrame>>,
    /// One reader a file: steps of several runs ask for the same file at once.
    files: Mutex<HashMap<String, Arc<Mutex<()>>>>,
}

/// A path that can't be looked at, and why.
type Problem = (String, Reason);

/// Path, partition and content: two runs of one file may hold the same rows.
type SliceKey = (String, Partition, ContentHash);

/// A listed file.
struct Listed {
    name: String,
    path: PathBuf,
}

/// What the patterns give.
struct Listing {
    files: Vec<Listed>,
    /// What could not be listed.
    problems: Vec<Problem>,
    /// Names that are no patterns, and no files.
    missing: Vec<String>,
}

impl Intake {
    /// Sources by patterns relative to `base`.
    pub fn new(patterns: Vec<String>, base: PathBuf, reading: Reading, raw: AssetName, rejects: AssetName) -> Self {
        let (held, files) = (Mutex::default(), Mutex::default());
        Self { patterns, base, reading, raw, rejects, held, files }
    }

    fn list(&self) -> Result<Listing, Reason> {
        let mut found = BTreeMap::new();
        let (mut problems, mut missing) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        let name_of = |path: &Path| path.strip_prefix(&self.base).unwrap_or(path).display().to_string();
        for pattern in &self.patterns {
            let full = self.base.join(pattern);
            let bad = |error: &dyn std::fmt::Display| {
                Reason::new("bad_source_pattern", format!("the source pattern `{pattern}` can't be used: {error}"))
            };
            let text = full.to_str().ok_or_else(|| bad(&"it is not UTF-8"))?;
            // A file whose own name holds `[` or `*` is meant literally.
            let mut paths = Vec::new();
            if full.is_file() {
                paths.push(full.clone());
            } else {
                for entry in glob::glob(text).map_err(|error| bad(&error))? {
                    match entry {
                        Ok(path) => paths.push(path),
                        Err(error) => {
                            let name = name_of(error.path());
                            problems.push((name.clone(), unreadable(&name, error.error())));
                        }
                    }
                }
            }
            let names_one = !pattern.contains(['*', '?', '[']);
            if paths.is_empty() && names_one {
                missing.push(name_of(&full));
            }
            for path in paths.into_iter().filter(|path| !path.is_dir()) {
                // One file by two spellings or links is one source.
                if seen.insert(fs::canonicalize(&path).unwrap_or_else(|_| path.clone())) {
                    found.insert(name_of(&path), path);
                }
            }
        }
        let files = found.into_iter().map(|(name, path)| Listed { name, path }).collect();
        Ok(Listing { files, problems, missing })
    }

    /// The record of a file: the known one where its stat says so, else read again.
    fn examine(&self, file: &Listed, known: Option<&SourceRecord>, rehash: bool) -> SourceRecord {
        let reading = self.reading.fingerprint();
        let stat = match fs::metadata(&file.path) {
            Ok(metadata) if metadata.is_file() => stat_of(&metadata),
            // Opening a pipe would wait for whoever writes into it, for ever.
            Ok(_) => return self.unreadable(file, known, no_file(&file.name)),
            Err(error) => return self.unreadable(file, known, unreadable(&file.name, &error)),
        };
        let same_reading = known.filter(|record| record.reading == reading);
        if let Some(record) = same_reading.filter(|record| !rehash && record.stat == Some(stat)) {
            return record.clone();
        }
        let trusted = is_old_enough(&stat).then_some(stat);
        let content = match hash_file(&file.path) {
            Ok(content) => content,
            Err(error) => return self.unreadable(file, known, unreadable(&file.name, &error)),
        };
        if let Some(record) = same_reading.filter(|r| r.content == Some(content) && r.problem.is_none()) {
            return SourceRecord { stat: trusted, ..record.clone() };
        }
        match self.parse(file) {
            Ok(parsed) => {
                let after = fs::metadata(&file.path).map(|metadata| stat_of(&metadata));
                if after.ok() != Some(stat) {
                    let message = format!("{} changed while it was read: run the command again", file.name);
                    let reason = Reason::new("source_changed_while_reading", message);
                    return self.unreadable(file, known, reason.with("path", file.name.as_str()));
                }
                self.keep(&file.name, &parsed);
                SourceRecord {
                    path: file.name.clone(),
                    stat: trusted,
                    content: Some(content),
                    reading,
                    slices: parsed.slices.iter().map(|(slice, _)| slice.clone()).collect(),
                    problem: None,
                    warnings: parsed.warnings,
                    moved_to: None,
                }
            }
            Err(reason) => SourceRecord { stat: trusted, ..self.unreadable(file, known, reason) },
        }
    }

    /// A file that can't be read keeps the slices it had: their runs fail until it can, and nothing is forgotten.
    fn unreadable(&self, file: &Listed, known: Option<&SourceRecord>, reason: Reason) -> SourceRecord {
        SourceRecord {
            path: file.name.clone(),
            stat: None,
            content: known.and_then(|record| record.content),
            reading: self.reading.fingerprint(),
            slices: known.map(|record| record.slices.clone()).unwrap_or_default(),
            problem: Some(reason),
            warnings: Vec::new(),
            moved_to: None,
        }
    }

    fn parse(&self, file: &Listed) -> Result<Parsed, Reason> {
        reader::read(&file.path, &file.name, &self.reading, &self.raw, &self.rejects)
    }

    fn keep(&self, name: &str, parsed: &Parsed) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for (slice, frame) in &parsed.slices {
            held.insert((name.to_owned(), slice.partition.clone(), slice.hash), frame.clone());
        }
    }

    /// The rows of a partition's slice, as delivered; `None` where its file does not hold them any more.
    pub fn open(&self, partition: &Partition, slice: &SliceRef) -> Result<Option<DataFrame>, Reason> {
        let key = (slice.path.clone(), partition.clone(), slice.hash);
        let take = || self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        if let Some(frame) = take() {
            return Ok(Some(frame));
        }
        let guard = {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(files.entry(slice.path.clone()).or_default())
        };
        let _one_reader = guard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(frame) = take() {
            return Ok(Some(frame));
        }
        let path = self.base.join(&slice.path);
        if !path.exists() {
            return Ok(None);
        }
        let parsed = self.parse(&Listed { name: slice.path.clone(), path })?;
        self.keep(&slice.path, &parsed);
        Ok(take())
    }

    fn examine_all(&self, files: &[Listed], known: &Ledger, rehash: bool) -> Vec<SourceRecord> {
        let width = std::thread::available_parallelism().map_or(1, usize::from).min(files.len().max(1));
        let share = files.len().div_ceil(width).max(1);
        let one = &|file: &Listed| {
            let known = known.sources().get(&file.name);
            // A file that breaks its reader is one that can't be read; its neighbours are none of its business.
            catch_unwind(AssertUnwindSafe(|| self.examine(file, known, rehash))).unwrap_or_else(|_| {
                let message = format!("{} can't be read: it broke the reader, please report it", file.name);
                let reason = Reason::new("source_unreadable", message).with("path", file.name.as_str());
                self.unreadable(file, known, reason)
            })
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = files
                .chunks(share)
                .map(|chunk| scope.spawn(move || chunk.iter().map(one).collect::<Vec<_>>()))
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
        })
    }
}

impl Source for Intake {
    fn identify(&self, known: &Ledger, rehash: bool) -> Result<Identified, Reason> {
        let Listing { files, problems, missing: not_there } = self.list()?;
        let records = self.examine_all(&files, known, rehash);
        let mut identified = Identified { files: files.len(), ..Identified::default() };
        let here: BTreeSet<&str> = records.iter().map(|record| record.path.as_str()).collect();
        let new_contents: BTreeMap<ObjectId, &str> = records
            .iter()
            .filter(|record| known.sources().get(&record.path).is_none_or(|before| before.content != record.content))
            .filter_map(|record| Some((record.content?, record.path.as_str())))
            .collect();
        identified.deliveries.insert(Step::new(&self.rejects, &Partition::none()), Delivery::default());
        for (path, record) in known.sources() {
            if here.contains(path.as_str()) {
                continue;
            }
            // Not seen because its folder could not be: that is no word on whether it is there.
            if let Some((_, reason)) = problems.iter().find(|(folder, _)| Path::new(path).starts_with(folder)) {
                deliver(&mut identified, &SourceRecord { problem: Some(reason.clone()), ..record.clone() }, false);
                continue;
            }
            match record.content.and_then(|content| new_contents.get(&content)) {
                Some(new) => {
                    let moved = SourceRecord { moved_to: Some((*new).to_owned()), ..record.clone() };
                    identified.changed.push(moved);
                }
                None => deliver(&mut identified, record, true),
            }
        }
        // One that was there before is told as vanished or moved.
        let unknown = not_there.iter().filter(|name| !known.sources().contains_key(*name));
        identified.warnings.extend(unknown.map(|name| missing(name)));
        let unlisted: Vec<_> =
            problems.into_iter().filter(|problem| !identified.problems.iter().any(|(_, r)| *r == problem.1)).collect();
        identified.problems.extend(unlisted);
        for record in records {
            deliver(&mut identified, &record, false);
            if known.sources().get(&record.path) != Some(&record) {
                identified.changed.push(record);
            }
        }
        Ok(identified)
    }

    fn bytes(&self, path: &str) -> Option<u64> {
        fs::metadata(self.base.join(path)).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
    }
}

/// Adds what a source delivers to the steps that read it.
fn deliver(identified: &mut Identified, record: &SourceRecord, vanished: bool) {
    if let Some(problem) = record.problem.as_ref().filter(|_| !vanished) {
        identified.problems.push((record.path.clone(), problem.clone()));
    }
    identified.warnings.extend(record.warnings.iter().cloned());
    let mut runs = 0;
    for slice in &record.slices {
        let step = Step::new(&slice.asset, &slice.partition);
        let delivery = identified.deliveries.entry(step).or_default();
        delivery.slices.push(SliceRef { hash: slice.hash, rows: slice.rows, path: record.path.clone() });
        if vanished {
            runs += 1;
        } else if let Some(problem) = &record.problem {
            let message = format!("{} could be read before and can't be now: {}", record.path, problem.message);
            let failure = Reason::new("source_unreadable", message);
            delivery.failure = Some(failure.with("path", record.path.as_str()).with("cause", problem.code.as_str()));
        }
    }
    if vanished && runs > 0 {
        let stay = if runs == 1 { "its one run stays as it is" } else { &format!("its {runs} runs stay as they are") };
        let message = format!("{} is not there any more (or no pattern names it); {stay}", record.path);
        let warning =
            Reason::new("source_vanished", message).with("path", record.path.as_str()).with("runs", runs as usize);
        for slice in &record.slices {
            if let Some(delivery) = identified.deliveries.get_mut(&Step::new(&slice.asset, &slice.partition)) {
                delivery.warnings.push(warning.clone());
            }
        }
        identified.warnings.push(warning);
    }
}

fn unreadable(name: &str, error: &std::io::Error) -> Reason {
    Reason::new("source_unreadable", format!("{name} can't be read: {error}")).with("path", name)
}

fn no_file(name: &str) -> Reason {
    let message = format!("{name} can't be read: it is a pipe, socket or device and not a file");
    Reason::new("source_unreadable", message).with("path", name)
}

/// A file that the settings name, without pattern, and that is not there.
fn missing(name: &str) -> Reason {
    let message = format!("the source {name} is not there");
    Reason::new("source_missing", message).with("path", name)
}

fn stat_of(metadata: &fs::Metadata) -> FileStat {
    FileStat {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.size(),
        mtime_ns: metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec(),
        ctime_ns: metadata.ctime() * 1_000_000_000 + metadata.ctime_nsec(),
    }
}

fn is_old_enough(stat: &FileStat) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128);
    now - i128::from(stat.ctime_ns.max(stat.mtime_ns)) > STAT_TRUST_NS
}

fn hash_file(path: &Path) -> std::io::Result<ObjectId> {
    let mut file = fs::File::open(path)?;
    let mut hasher = ByteHasher::default();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// The partition of a run.
pub fn run_partition(run: &str) -> Partition {
    Partition::one(RUN, run)
}

impl Reading {
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
