//! The catalog: an index of the journal in sled, for questions about what was. sled lives here alone.
//!
//! It is never the truth. Whatever is odd about it (another format, damage, a panic inside sled, a machine that went
//! down while it was open, more folded than the journal holds) has one answer: it is deleted and folded again.
//!
//! Keys are postcard, whose fields delimit themselves, so that no step's key begins another's; numbers in keys are
//! big-endian, so that they sort. What is inserted costs the same however long it is, so what comes together lies together:
//! records in blocks, a build's steps in lists. Not here: whether sled's files can be believed (`trust`).

mod pieces;

use crate::codec;
use crate::error::StoreError;
use crate::files;
use crate::journal::{self, End, Ends};
use crate::reader::{codes, distinct, step_and_build};
use crate::trust;
use assets_core::catalog::{Past, WantedParts};
use assets_core::hash::{Digest, Fingerprint, ObjectId, RecordId};
use assets_core::key::Step;
use assets_core::panics::caught;
use assets_core::record::{AttemptRecord, Entry, StepRecord};
use serde::Serialize;
use sled::{Batch, Db, Tree};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const CACHE_BYTES: u64 = 64 << 20;
/// Entries folded at once: enough that sled's cost per batch vanishes, few enough for memory.
const FOLD_ENTRIES: usize = 1000;
/// Bytes of records that lie in one block: it is read whole for one of them.
const BLOCK_BYTES: usize = 16 << 10;
const COUNT: &[u8] = b"count";

/// Why the index can't be used. The journal answers instead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    #[error(transparent)]
    Sled(#[from] sled::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("it does not belong to this journal")]
    Foreign,
    #[error("an entry is missing or can't be understood")]
    Damaged,
    #[error(transparent)]
    Malformed(#[from] postcard::Error),
    #[error("it panicked")]
    Panicked,
}

type Result<T> = std::result::Result<T, IndexError>;

/// Runs something in sled, which panics on some damage: the journal answers then.
fn guarded<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    caught(run).unwrap_or(Err(IndexError::Panicked))
}

/// The open index.
pub(crate) struct Index {
    folder: PathBuf,
    /// `None` only while it is dropped.
    trees: Option<Trees>,
    broken: AtomicBool,
}

struct Trees {
    db: Db,
    records: Tree,
    history: Tree,
    object: Tree,
    build: Tree,
    reason: Tree,
    mark: Tree,
}

impl Index {
    /// Opens the index and folds in what it lacks of the journal, which is whole up to `ends`. Makes it anew if it
    /// can't be trusted.
    pub(crate) fn open(root: &Path, ends: &Ends) -> Result<Self> {
        let folder = root.join("catalog");
        if trust::trusted(&folder)
            && let Ok(index) = Self::try_open(&folder, root, ends)
        {
            return Ok(index);
        }
        trust::remove(&folder)?;
        Self::try_open(&folder, root, ends)
    }

    fn try_open(folder: &Path, root: &Path, ends: &Ends) -> Result<Self> {
        files::create_folder(folder)?;
        trust::opened(folder)?;
        let trees = guarded(|| Trees::open(folder))?;
        let index = Self { folder: folder.to_owned(), trees: Some(trees), broken: AtomicBool::new(false) };
        match guarded(|| index.trees().catch_up(&root.join("journal"), ends)) {
            Ok(()) => Ok(index),
            Err(error) => {
                index.give_up();
                Err(error)
            }
        }
    }

    fn trees(&self) -> &Trees {
        self.trees.as_ref().expect("taken by drop alone")
    }

    /// Never to be trusted again: the next one to open it makes it anew.
    pub(crate) fn give_up(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Folds in what it lacks of the journal, which is whole up to `ends`.
    pub(crate) fn catch_up(&self, root: &Path, ends: &Ends) -> Result<()> {
        guarded(|| self.trees().catch_up(&root.join("journal"), ends))
    }

    /// As `Records::by_fingerprint`.
    pub(crate) fn by_fingerprint(&self, step: &Step, fingerprint: &Fingerprint) -> Result<Vec<Arc<StepRecord>>> {
        guarded(|| self.trees().records_where(step, &|happened| Ok(happened.fingerprint == fingerprint.0.as_bytes())))
    }

    /// As `Records::history`.
    pub(crate) fn history(&self, step: &Step) -> Result<Vec<Past>> {
        guarded(|| {
            let trees = self.trees();
            let pasts = pieces::scan(&trees.history, &key(step, &[]))?;
            pasts.iter().rev().map(|(key, value)| trees.past(key, value)).collect()
        })
    }

    /// As `Records::with_parts`.
    pub(crate) fn with_parts(&self, step: &Step, is_wanted: &WantedParts<'_>) -> Result<Vec<Arc<StepRecord>>> {
        guarded(|| {
            let has_wanted = |happened: &HappenedRecord<'_>| {
                Ok(is_wanted(&postcard::from_bytes::<Vec<Vec<Fingerprint>>>(happened.parts)?))
            };
            self.trees().records_where(step, &has_wanted)
        })
    }

    /// As `Records::of_object`.
    pub(crate) fn of_object(&self, object: &ObjectId) -> Result<Vec<RecordId>> {
        guarded(|| {
            let keys = self.trees().object.scan_prefix(object.0.as_bytes()).keys();
            keys.map(|key| record_id(&key?[32..])).collect()
        })
    }

    /// As `Records::of_build`.
    pub(crate) fn of_build(&self, build: &str) -> Result<Vec<Step>> {
        guarded(|| {
            let lists = pieces::scan(&self.trees().build, &key(build, &[]))?;
            let lists = lists.iter().map(|(_, list)| Ok(postcard::from_bytes::<Vec<Step>>(list)?));
            Ok(distinct(lists.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect()))
        })
    }

    /// As `Records::with_reason`.
    pub(crate) fn with_reason(&self, code: &str) -> Result<Vec<Step>> {
        guarded(|| {
            let prefix = key(code, &[]);
            let keys = self.trees().reason.scan_prefix(&prefix).keys();
            let steps = keys.map(|key| Ok(postcard::from_bytes(&key?[prefix.len()..])?));
            let mut steps = steps.collect::<Result<Vec<Step>>>()?;
            steps.sort();
            Ok(steps)
        })
    }
}

impl Drop for Index {
    /// Makes it durable, then vouches for its files as they are. One that is broken is left alone, which costs its memory until
    /// the process ends: sled may wait for ever for what it could not write.
    fn drop(&mut self) {
        let Some(trees) = self.trees.take() else { return };
        let is_broken = self.broken.load(Ordering::Relaxed);
        let flushed = if is_broken { Err(IndexError::Damaged) } else { guarded(|| Ok(trees.db.flush()?)) };
        if flushed.is_err() {
            std::mem::forget(trees);
            return trust::withdraw(&self.folder);
        }
        let closed = guarded(|| {
            drop(trees);
            Ok(())
        });
        let vouched = closed.and_then(|()| Ok(trust::closed(&self.folder)?));
        if vouched.is_err() {
            trust::withdraw(&self.folder);
        }
    }
}

impl Trees {
    fn open(folder: &Path) -> Result<Self> {
        let db = sled::Config::new().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(None).open()?;
        Ok(Self {
            records: db.open_tree("records")?,
            history: db.open_tree("history")?,
            object: db.open_tree("object")?,
            build: db.open_tree("build")?,
            reason: db.open_tree("reason")?,
            mark: db.open_tree("mark")?,
            db,
        })
    }

    fn catch_up(&self, journal: &Path, ends: &Ends) -> Result<()> {
        for key in self.mark.iter().keys() {
            let key = key?;
            let known = std::str::from_utf8(&key).is_ok_and(|name| ends.contains_key(name));
            if key != COUNT && !known {
                return Err(IndexError::Foreign);
            }
        }
        for (name, end) in ends {
            let marked = self.mark.get(name)?.map(|value| End::from_value(&value)).transpose()?.unwrap_or_default();
            if marked == *end {
                continue;
            }
            if marked.offset >= end.offset {
                return Err(IndexError::Foreign);
            }
            self.fold_segment(journal, name, marked, *end)?;
        }
        Ok(())
    }

    /// Folds in what lies between the mark and `until`. Reads from the beginning, to see that the frame at the mark
    /// is the one that was folded.
    fn fold_segment(&self, journal: &Path, name: &str, marked: End, until: End) -> Result<()> {
        let mut pending = Pending::new(self.count()?);
        let (mut at_mark, mut failed) = (marked.crc == 0, None);
        let (reached, _) = journal::read_segment(journal, name, &mut |entries, end| {
            if end.offset <= marked.offset {
                at_mark |= end == marked;
                return true;
            }
            if !at_mark {
                return false;
            }
            entries.iter().for_each(|entry| pending.add(entry));
            if pending.entries >= FOLD_ENTRIES || end.offset >= until.offset {
                let next = Pending::new(pending.count);
                failed = std::mem::replace(&mut pending, next).apply(self, name, end).err();
            }
            failed.is_none() && end.offset < until.offset
        })?;
        match failed {
            Some(error) => Err(error),
            None if reached != until => Err(IndexError::Foreign),
            None if until.crc == 0 => {
                // A segment without a frame.
                self.mark.insert(name, until.to_value())?;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// How many entries were folded: the number of the next one.
    fn count(&self) -> Result<u64> {
        let Some(value) = self.mark.get(COUNT)? else { return Ok(0) };
        let bytes = value.as_ref().try_into().map_err(|_| IndexError::Damaged)?;
        Ok(u64::from_be_bytes(bytes))
    }

    /// The record that happened, out of its block. What a killed process left half folded may have lain there before.
    fn record(&self, happened: &HappenedRecord<'_>) -> Result<(RecordId, Arc<StepRecord>)> {
        let block = pieces::last_up_to(&self.records, happened.number)?.ok_or(IndexError::Damaged)?;
        let (number, id) = (happened.number.to_be_bytes(), record_id(happened.id)?);
        let mut rest = &block[..];
        while let Some((head, behind)) = rest.split_first_chunk::<12>() {
            let (own, length) = head.split_at(8);
            let length = u32::from_be_bytes(length.try_into().map_err(|_| IndexError::Damaged)?) as usize;
            let (entry, others) = behind.split_at_checked(length).ok_or(IndexError::Damaged)?;
            if own == number {
                return match codec::decode(entry) {
                    Ok(Entry::Step(record)) if record.id() == id => Ok((id, record)),
                    _ => Err(IndexError::Damaged),
                };
            }
            rest = others;
        }
        Err(IndexError::Damaged)
    }

    fn past(&self, key: &[u8], value: &[u8]) -> Result<Past> {
        match happened(key, value)? {
            Happened::Record(happened) => self.record(&happened).map(|(id, record)| Past::Record(id, record)),
            Happened::Attempt(attempt) => Ok(Past::Attempt(attempt)),
        }
    }

    /// The records of a step of which what is known beside them says so, the newest first.
    fn records_where(
        &self,
        step: &Step,
        is_wanted: &dyn Fn(&HappenedRecord<'_>) -> Result<bool>,
    ) -> Result<Vec<Arc<StepRecord>>> {
        let mut records = Vec::new();
        for (key, value) in pieces::scan(&self.history, &key(step, &[]))?.iter().rev() {
            if let Happened::Record(happened) = happened(key, value)?
                && is_wanted(&happened)?
            {
                records.push(self.record(&happened)?.1);
            }
        }
        Ok(records)
    }
}

/// What the tree `history` says: an attempt as it is, and what is known of a record beside it.
enum Happened<'a> {
    Record(HappenedRecord<'a>),
    Attempt(AttemptRecord),
}

struct HappenedRecord<'a> {
    number: u64,
    id: &'a [u8],
    fingerprint: &'a [u8],
    /// Fingerprints of its parts, as postcard.
    parts: &'a [u8],
}

const RECORD: u8 = 0;
const ATTEMPT: u8 = 1;

fn happened<'a>(key: &[u8], value: &'a [u8]) -> Result<Happened<'a>> {
    match value.split_first() {
        Some((&RECORD, rest)) => {
            let number = key.last_chunk().ok_or(IndexError::Damaged)?;
            let (id, rest) = rest.split_at_checked(16).ok_or(IndexError::Damaged)?;
            let (fingerprint, parts) = rest.split_at_checked(16).ok_or(IndexError::Damaged)?;
            Ok(Happened::Record(HappenedRecord { number: u64::from_be_bytes(*number), id, fingerprint, parts }))
        }
        Some((&ATTEMPT, rest)) => match codec::decode(rest) {
            Ok(Entry::Attempt(attempt)) => Ok(Happened::Attempt(attempt)),
            _ => Err(IndexError::Damaged),
        },
        _ => Err(IndexError::Damaged),
    }
}

/// Entries on their way into the trees.
struct Pending {
    count: u64,
    entries: usize,
    /// Blocks of records by the number of the first: number, length and bytes of each.
    records: Vec<(u64, Vec<u8>)>,
    history: Vec<(Vec<u8>, Vec<u8>)>,
    object: Batch,
    /// Steps by who made them, with the number of the first.
    builds: BTreeMap<String, (u64, Vec<Step>)>,
    reason: Batch,
}

impl Pending {
    fn new(count: u64) -> Self {
        let (records, history, object, builds, reason) = Default::default();
        Self { count, entries: 0, records, history, object, builds, reason }
    }

    fn add(&mut self, entry: &Entry) {
        let number = self.count.to_be_bytes();
        match entry {
            Entry::Step(record) => {
                let (id, generation) = (record.id(), record.generation.to_be_bytes());
                let id = id.0.as_bytes();
                self.add_record(&codec::encode(entry));
                let ended = sortable(record.span.end_us);
                let mut value = [&[RECORD], &id[..], record.fingerprint.0.as_bytes()].concat();
                value = postcard::to_extend(&record.part_fingerprints(), value).expect("plain data always encodes");
                self.history.push((key(&record.step, &[&generation, &[RECORD], &ended, &number]), value));
                for object in record.objects() {
                    self.object.insert([&object.0.as_bytes()[..], id].concat(), &[]);
                }
            }
            Entry::Attempt(attempt) => {
                let after = attempt.after_generation.to_be_bytes();
                let ended = sortable(attempt.span.end_us);
                let value = [&[ATTEMPT], &codec::encode(entry)[..]].concat();
                self.history.push((key(&attempt.step, &[&after, &[ATTEMPT], &ended, &number]), value));
            }
            Entry::Begin(_) | Entry::Source(_) | Entry::End(_) => {}
        }
        if let Some((step, build)) = step_and_build(entry) {
            let codes = codes(entry);
            if !codes.is_empty() {
                let step = key(step, &[]);
                codes.into_iter().for_each(|code| self.reason.insert(key(code, &[&step]), &[]));
            }
            match self.builds.get_mut(build) {
                Some((_, steps)) => steps.push(step.clone()),
                None => drop(self.builds.insert(build.to_owned(), (self.count, vec![step.clone()]))),
            }
        }
        self.count += 1;
        self.entries += 1;
    }

    fn add_record(&mut self, bytes: &[u8]) {
        let (number, length) = (self.count.to_be_bytes(), u32::try_from(bytes.len()).expect("a frame is smaller"));
        let record = [&number[..], &length.to_be_bytes(), bytes];
        match self.records.last_mut().filter(|(_, block)| block.len() + bytes.len() <= BLOCK_BYTES) {
            Some((_, block)) => record.into_iter().for_each(|part| block.extend_from_slice(part)),
            None => self.records.push((self.count, record.concat())),
        }
    }

    /// Records first, so that nothing ever points to one that isn't there; the mark last, so that it never says too
    /// much. In the order of keys, where neighbours are at hand.
    fn apply(mut self, trees: &Trees, segment: &str, end: End) -> Result<()> {
        for (first, block) in self.records {
            pieces::insert(&trees.records, &first.to_be_bytes(), &block)?;
        }
        self.history.sort_unstable();
        for (key, value) in self.history {
            pieces::insert(&trees.history, &key, &value)?;
        }
        trees.object.apply_batch(self.object)?;
        for (build, (first, steps)) in self.builds {
            let steps = postcard::to_stdvec(&steps).expect("names always encode");
            pieces::insert(&trees.build, &key(&build, &[&first.to_be_bytes()]), &steps)?;
        }
        trees.reason.apply_batch(self.reason)?;
        let mut mark = Batch::default();
        mark.insert(segment, end.to_value());
        mark.insert(COUNT, &self.count.to_be_bytes());
        Ok(trees.mark.apply_batch(mark)?)
    }
}

impl End {
    fn to_value(self) -> Vec<u8> {
        [&self.offset.to_be_bytes()[..], &self.crc.to_be_bytes()].concat()
    }

    fn from_value(value: &[u8]) -> Result<Self> {
        let (offset, crc) = value.split_first_chunk().ok_or(IndexError::Damaged)?;
        let crc = crc.try_into().map_err(|_| IndexError::Damaged)?;
        Ok(Self { offset: u64::from_be_bytes(*offset), crc: u32::from_be_bytes(crc) })
    }
}

fn key<T: Serialize + ?Sized>(head: &T, tail: &[&[u8]]) -> Vec<u8> {
    let mut bytes = postcard::to_stdvec(head).expect("names always encode");
    tail.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

/// A time whose bytes sort as it does.
fn sortable(time_us: i64) -> [u8; 8] {
    (time_us.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn record_id(bytes: &[u8]) -> Result<RecordId> {
    Ok(RecordId(Digest::from_bytes(bytes.try_into().map_err(|_| IndexError::Damaged)?)))
}
