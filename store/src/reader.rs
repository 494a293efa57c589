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
use std::sync::{Arc, OnceLock};

/// Every record by step and fingerprint, newest first.
type ByFingerprint = HashMap<(Step, Fingerprint), Vec<Arc<StepRecord>>>;

/// A store to read from. Holds nothing open.
#[derive(Debug, Clone)]
pub struct Reader {
    root: PathBuf,
    /// Filled by the first question for an older record: a plan asks it for every stale step, and one scan is enough.
    by_fingerprint: Arc<OnceLock<ByFingerprint>>,
}

impl Reader {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), by_fingerprint: Arc::default() }
    }

    /// Its objects and published tables, to read.
    pub fn tables(&self) -> FolderTables {
        FolderTables::to_read(&self.root)
    }

    /// Ends of segments that can't be read. Beside a build the last one may just be on its way.
    pub fn torn(&self) -> Result<Vec<Torn>, StoreError> {
        self.scan(|_| ())
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
        if self.by_fingerprint.get().is_none() {
            let mut all = ByFingerprint::new();
            self.scan(|entry| {
                if let Entry::Step(record) = entry {
                    all.entry((record.step.clone(), record.fingerprint)).or_default().push(Arc::from(record));
                }
            })?;
            all.values_mut().for_each(|records| records.sort_by_key(|record| std::cmp::Reverse(record.generation)));
            // Whoever was first has read the same journal.
            let _ = self.by_fingerprint.set(all);
        }
        let all = self.by_fingerprint.get();
        Ok(all.and_then(|all| all.get(&(step.clone(), *fingerprint))).cloned().unwrap_or_default())
    }

    fn history(&self, step: &Step) -> Result<Vec<Past>, CatalogError> {
        let mut found = Vec::new();
        self.scan(|entry| match entry {
            Entry::Step(record) if record.step == *step => {
                found.push((record.generation, 0, Past::Record(record.id(), Arc::from(record))));
            }
            // An attempt stands behind the record that was newest then.
            Entry::Attempt(attempt) if attempt.step == *step => {
                found.push((attempt.after_generation, 1, Past::Attempt(attempt)));
            }
            _ => {}
        })?;
        found.sort_by_key(|(generation, kind, _)| (*generation, *kind));
        Ok(found.into_iter().rev().map(|(_, _, past)| past).collect())
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
