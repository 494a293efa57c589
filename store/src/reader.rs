//! Reading without writing anything: beside a build, on a read-only store, for other users, and where there is no
//! store yet. What is now is answered from the snapshot of tips and the journal behind it, what was from the journal; the
//! index belongs to whichever writer has it open.

use crate::error::StoreError;
use crate::fold;
use crate::journal::{self, Torn};
use crate::lock;
use crate::objects::FolderTables;
use crate::places;
use crate::tail::Tail;
use assets_core::catalog::{CatalogError, Neighbours, Past, Records};
use assets_core::excerpt::Excerpt;
use assets_core::hash::{Fingerprint, ObjectId, RecordId};
use assets_core::key::Step;
use assets_core::ledger::Ledger;
use assets_core::record::{Entry, StepRecord};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// When a thing happened to a step: the generation that it made or followed, records before attempts, then by the clock.
/// The order in which segments are read must not show.
type Place = (u64, u8, i64);

/// All that happened, oldest first, and how far the journal was read for it.
#[derive(Debug)]
struct Scanned {
    tail: Tail,
    all: HashMap<Step, Vec<(Place, Past)>>,
}

/// A store to read from.
#[derive(Debug, Clone)]
pub struct Reader {
    root: PathBuf,
    /// Filled by the first question for what was: a plan asks for every stale step, and one scan is enough; later ones
    /// read what was appended since.
    histories: Arc<Mutex<Option<Scanned>>>,
    /// So that nothing is removed meanwhile, where that can be said.
    _reading: Option<Arc<File>>,
}

impl Reader {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), histories: Arc::default(), _reading: lock::reading(root) }
    }

    /// One for a process that writes: nothing is removed while it does.
    pub(crate) fn of_writer(root: &Path) -> Self {
        Self { root: root.to_owned(), histories: Arc::default(), _reading: None }
    }

    /// Its objects and published tables, to read.
    pub fn tables(&self) -> FolderTables {
        FolderTables::to_read(&self.root)
    }

    /// Ends of segments that can't be read. Beside a build the last one may just be on its way.
    pub fn torn(&self) -> Result<Vec<Torn>, StoreError> {
        Ok(journal::read(&self.root.join("journal"), &mut |_| ())?.1)
    }

    /// Names the journal as it is now, as `Writer::position` does.
    pub fn position(&self) -> Result<String, StoreError> {
        Ok(journal::position(fold::part(&self.root, &Excerpt::of_assets([]))?.tail.ends()))
    }

    /// The position up to which everything is published, if that is known.
    pub fn published(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.mark()).ok()?;
        text.strip_suffix('\n').map(str::to_owned)
    }

    pub(crate) fn mark(&self) -> PathBuf {
        self.root.join("tables/.published")
    }

    fn history_of<T>(&self, step: &Step, answer: impl FnOnce(&[(Place, Past)]) -> T) -> Result<T, StoreError> {
        let mut known = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scanned = known.take().unwrap_or_else(|| Scanned::new(&self.root));
        scanned.advance()?;
        if scanned.tail.has_shrunk() {
            scanned = Scanned::new(&self.root);
            scanned.advance()?;
        }
        let found = answer(scanned.all.get(step).map_or(&[], Vec::as_slice));
        *known = Some(scanned);
        Ok(found)
    }

    /// Reads all of it. Where segments are put together meanwhile, some of it is told twice.
    fn scan(&self, mut each: impl FnMut(Entry)) -> Result<(), StoreError> {
        loop {
            let mut tail = Tail::new(&self.root.join("journal"));
            tail.advance(&|_| false, &mut |_, entries, _| entries.into_iter().for_each(&mut each))?;
            if !tail.has_shrunk() {
                return Ok(());
            }
        }
    }
}

impl Scanned {
    fn new(root: &Path) -> Self {
        Self { tail: Tail::new(&root.join("journal")), all: HashMap::new() }
    }

    fn advance(&mut self) -> Result<(), StoreError> {
        let Self { tail, all } = self;
        tail.advance(&|_| false, &mut |_, entries, _| {
            for entry in entries {
                let (step, place, past) = match entry {
                    Entry::Step(record) => {
                        let place = (record.generation, 0, record.span.end_us);
                        (record.step.clone(), place, Past::Record(record.id(), record))
                    }
                    // An attempt stands behind the record that was newest then.
                    Entry::Attempt(attempt) => {
                        let place = (attempt.after_generation, 1, attempt.span.end_us);
                        (attempt.step.clone(), place, Past::Attempt(attempt))
                    }
                    _ => continue,
                };
                let own: &mut Vec<(Place, Past)> = all.entry(step).or_default();
                let at = own.partition_point(|(other, _)| *other <= place);
                own.insert(at, (place, past));
            }
        })
    }
}

/// Codes of the reasons for which an entry can be asked.
pub(crate) fn codes(entry: &Entry) -> Vec<&str> {
    match entry {
        Entry::Attempt(attempt) => vec![&attempt.reason.code],
        Entry::Step(record) => {
            let columns = record.outputs.iter().flat_map(|output| &output.unavailable);
            columns.map(|column| column.reason.code.as_str()).collect()
        }
        Entry::Begin(_) | Entry::Source(_) | Entry::End(_) => Vec::new(),
    }
}

/// The step an entry is about, and the build that wrote it.
pub(crate) fn step_and_build(entry: &Entry) -> Option<(&Step, &str)> {
    match entry {
        Entry::Step(record) => Some((&record.step, &record.build)),
        Entry::Attempt(attempt) => Some((&attempt.step, &attempt.build)),
        Entry::Begin(_) | Entry::Source(_) | Entry::End(_) => None,
    }
}

impl Records for Reader {
    fn ledger(&self) -> Result<Ledger, CatalogError> {
        Ok(fold::all(&self.root)?.ledger)
    }

    fn ledger_of(&self, excerpt: &Excerpt) -> Result<Ledger, CatalogError> {
        Ok(fold::part(&self.root, excerpt)?.ledger)
    }

    fn neighbours(&self, of: &Neighbours<'_>) -> Result<Vec<(Step, u64)>, CatalogError> {
        Ok(places::neighbours(&self.root, of)?)
    }

    fn by_fingerprint(&self, step: &Step, fingerprint: &Fingerprint) -> Result<Vec<Arc<StepRecord>>, CatalogError> {
        let fits = |(_, past): &(Place, Past)| match past {
            Past::Record(_, record) if record.fingerprint == *fingerprint => Some(Arc::clone(record)),
            _ => None,
        };
        Ok(self.history_of(step, |pasts| pasts.iter().rev().filter_map(fits).collect())?)
    }

    fn history(&self, step: &Step) -> Result<Vec<Past>, CatalogError> {
        Ok(self.history_of(step, |pasts| pasts.iter().rev().map(|(_, past)| past.clone()).collect())?)
    }

    fn of_object(&self, object: &ObjectId) -> Result<Vec<RecordId>, CatalogError> {
        let mut found = BTreeSet::new();
        self.scan(|entry| match entry {
            Entry::Step(record) if record.objects().any(|needed| needed == object) => {
                found.insert(record.id());
            }
            _ => {}
        })?;
        Ok(found.into_iter().collect())
    }

    fn of_build(&self, build: &str) -> Result<Vec<Step>, CatalogError> {
        let mut found = Vec::new();
        self.scan(|entry| match step_and_build(&entry) {
            Some((step, by)) if by == build => found.push(step.clone()),
            _ => {}
        })?;
        Ok(distinct(found))
    }

    fn with_reason(&self, code: &str) -> Result<Vec<Step>, CatalogError> {
        let mut found = BTreeSet::new();
        self.scan(|entry| match step_and_build(&entry) {
            Some((step, _)) if codes(&entry).contains(&code) => {
                found.insert(step.clone());
            }
            _ => {}
        })?;
        Ok(found.into_iter().collect())
    }
}

/// Each step where it comes first.
pub(crate) fn distinct(mut steps: Vec<Step>) -> Vec<Step> {
    let mut seen = HashSet::new();
    steps.retain(|step| seen.insert(step.clone()));
    steps
}
