//! Reading without writing anything: beside a build, on a read-only store, for other users, and where there is no
//! store yet. Everything is answered from the journal; the index belongs to the writer.

use crate::error::StoreError;
use crate::journal::{self, Torn};
use crate::objects::FolderTables;
use assets_core::catalog::{CatalogError, Past, Records};
use assets_core::hash::{Fingerprint, ObjectId, RecordId};
use assets_core::key::Step;
use assets_core::ledger::Ledger;
use assets_core::record::{Entry, StepRecord};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// All that happened to each step, newest first.
type Histories = HashMap<Step, Vec<Past>>;

/// Those of a journal of so many bytes.
type Scanned = (u64, Arc<Histories>);

/// A store to read from. Holds nothing open.
#[derive(Debug, Clone)]
pub struct Reader {
    root: PathBuf,
    /// Filled by the first question for what was: a plan asks for every stale step, and one scan is enough.
    histories: Arc<Mutex<Option<Scanned>>>,
}

impl Reader {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), histories: Arc::default() }
    }

    /// Its objects and published tables, to read.
    pub fn tables(&self) -> FolderTables {
        FolderTables::to_read(&self.root)
    }

    /// Ends of segments that can't be read. Beside a build the last one may just be on its way.
    pub fn torn(&self) -> Result<Vec<Torn>, StoreError> {
        self.scan(|_| ())
    }

    /// Names the journal as it is now, as `Writer::position` does.
    pub fn position(&self) -> Result<String, StoreError> {
        Ok(journal::position(&journal::read(&self.root.join("journal"), &mut |_| ())?.0))
    }

    /// The position up to which everything is published, if that is known.
    pub fn published(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.mark()).ok()?;
        text.strip_suffix('\n').map(str::to_owned)
    }

    pub(crate) fn mark(&self) -> PathBuf {
        self.root.join("tables/.published")
    }

    fn histories(&self) -> Result<Arc<Histories>, StoreError> {
        let bytes = journal::bytes(&self.root.join("journal"))?;
        let mut known = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, all)) = known.as_ref().filter(|(at, _)| *at == bytes) {
            return Ok(Arc::clone(all));
        }
        let mut found: HashMap<Step, Vec<(u64, u8, Past)>> = HashMap::new();
        self.scan(|entry| match entry {
            Entry::Step(record) => {
                let (step, generation, id) = (record.step.clone(), record.generation, record.id());
                found.entry(step).or_default().push((generation, 0, Past::Record(id, Arc::from(record))));
            }
            // An attempt stands behind the record that was newest then.
            Entry::Attempt(attempt) => {
                let (step, generation) = (attempt.step.clone(), attempt.after_generation);
                found.entry(step).or_default().push((generation, 1, Past::Attempt(attempt)));
            }
            _ => {}
        })?;
        let all = found.into_iter().map(|(step, mut pasts)| {
            pasts.sort_by_key(|(generation, kind, _)| (*generation, *kind));
            (step, pasts.into_iter().rev().map(|(_, _, past)| past).collect())
        });
        let all = Arc::new(all.collect());
        *known = Some((bytes, Arc::clone(&all)));
        Ok(all)
    }

    fn scan(&self, mut each: impl FnMut(Entry)) -> Result<Vec<Torn>, StoreError> {
        Ok(journal::read(&self.root.join("journal"), &mut each)?.1)
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
        let mut ledger = Ledger::default();
        self.scan(|entry| ledger.apply(entry))?;
        Ok(ledger)
    }

    fn by_fingerprint(&self, step: &Step, fingerprint: &Fingerprint) -> Result<Vec<Arc<StepRecord>>, CatalogError> {
        let all = self.histories()?;
        let records = all.get(step).into_iter().flatten().filter_map(|past| match past {
            Past::Record(_, record) if record.fingerprint == *fingerprint => Some(Arc::clone(record)),
            _ => None,
        });
        Ok(records.collect())
    }

    fn history(&self, step: &Step) -> Result<Vec<Past>, CatalogError> {
        Ok(self.histories()?.get(step).cloned().unwrap_or_default())
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
