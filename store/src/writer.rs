//! Writing: commits to the journal, and the answers of the one process that may write, from memory for what is now
//! and from the index for what was. Tables are in `objects`.

use crate::error::{StoreError, writing};
use crate::files;
use crate::index::Index;
use crate::journal::{self, Appender, Torn};
use crate::lock::WriterLock;
use crate::objects::FolderTables;
use crate::reader::Reader;
use assets_core::catalog::{Catalog, CatalogError, Commit, Past, Records};
use assets_core::hash::{Fingerprint, ObjectId, RecordId};
use assets_core::key::Step;
use assets_core::ledger::Ledger;
use assets_core::record::{Entry, StepRecord};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// The right to write a store, and all that is known of it. Dropped, it gives the right back, once the tables it gave
/// out are dropped too.
pub struct Writer {
    root: PathBuf,
    /// Before the lock: the index closes while nobody else can open it.
    index: Mutex<Slot>,
    appender: Mutex<Appender>,
    ledger: RwLock<Ledger>,
    /// For what was, when the index is out of order.
    journal: Reader,
    tables: FolderTables,
    torn: Vec<Torn>,
}

/// The index is opened when it is first needed, so that having nothing to do costs nothing.
enum Slot {
    Unopened,
    Open(Arc<Index>),
    Broken,
}

/// A panic elsewhere leaves nothing half done in what these locks guard.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    pub(crate) fn open(root: &Path, lock: WriterLock) -> Result<Self, StoreError> {
        let mut ledger = Ledger::default();
        let folder = root.join("journal");
        let (ends, torn) = journal::read(&folder, &mut |entry| ledger.apply(entry))?;
        clear(&root.join("tmp"))?;
        Ok(Self {
            root: root.to_owned(),
            index: Mutex::new(Slot::Unopened),
            appender: Mutex::new(Appender::new(&folder, ends)),
            ledger: RwLock::new(ledger),
            journal: Reader::new(root),
            tables: FolderTables::to_write(root, Arc::new(lock)),
            torn,
        })
    }

    /// Its objects and published tables. They keep the right to write for as long as they live.
    pub fn tables(&self) -> FolderTables {
        self.tables.clone()
    }

    /// Ends of segments that could not be read when the store was opened: what killed processes left.
    pub fn torn(&self) -> &[Torn] {
        &self.torn
    }

    /// Names the journal as it is now: another one after every commit.
    pub fn position(&self) -> String {
        journal::position(lock(&self.appender).ends())
    }

    /// The position up to which everything is published, if that is known. It is gone with the tables.
    pub fn published(&self) -> Option<String> {
        self.journal.published()
    }

    /// Says that everything up to a position is published.
    pub fn set_published(&self, position: &str) -> Result<(), StoreError> {
        let tables = self.root.join("tables");
        files::create_folder(&tables)?;
        // The mark must not outlive, at a power cut, the tables it speaks of.
        for entry in std::fs::read_dir(&tables).map_err(writing(&tables))? {
            let path = entry.map_err(writing(&tables))?.path();
            if path.is_dir() {
                files::sync_folder(&path)?;
            }
        }
        let temp = self.root.join("tmp/published.tmp");
        files::create_folder(&self.root.join("tmp"))?;
        files::replace(&self.journal.mark(), &temp, format!("{position}\n").as_bytes())
    }

    /// The index, opened if need be; `None` where it is out of order.
    fn index(&self) -> Option<Arc<Index>> {
        {
            let slot = lock(&self.index);
            match &*slot {
                Slot::Open(index) => return Some(Arc::clone(index)),
                Slot::Broken => return None,
                Slot::Unopened => {}
            }
        }
        // Always the appender first, then the index, as a commit does.
        let appender = lock(&self.appender);
        let mut slot = lock(&self.index);
        if matches!(*slot, Slot::Unopened) {
            *slot = self.open_index(&appender);
        }
        match &*slot {
            Slot::Open(index) => Some(Arc::clone(index)),
            _ => None,
        }
    }

    fn open_index(&self, appender: &Appender) -> Slot {
        Index::open(&self.root, appender.ends()).map_or(Slot::Broken, |index| Slot::Open(Arc::new(index)))
    }

    /// Answers from the index, or else from the journal: the same.
    fn ask<T, E>(
        &self,
        index: impl FnOnce(&Index) -> Result<T, E>,
        journal: impl FnOnce(&Reader) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        if let Some(open) = self.index() {
            match index(&open) {
                Ok(answer) => return Ok(answer),
                Err(_) => {
                    open.give_up();
                    *lock(&self.index) = Slot::Broken;
                }
            }
        }
        journal(&self.journal)
    }
}

/// The first step whose record does not replace what is the newest by then.
fn conflict(ledger: &Ledger, batch: &[Entry]) -> Option<Step> {
    let mut within: HashMap<&Step, (RecordId, u64)> = HashMap::new();
    for entry in batch {
        let Entry::Step(record) = entry else { continue };
        let committed = || ledger.tip(&record.step)?.made.as_ref().map(|(id, record)| (*id, record.generation));
        let newest = within.get(&record.step).copied().or_else(committed);
        // A generation that is not the next one would be taken for an older record by every reader.
        if record.replaces != newest.map(|(id, _)| id) || record.generation != newest.map_or(0, |(_, g)| g) + 1 {
            return Some(record.step.clone());
        }
        within.insert(&record.step, (record.id(), record.generation));
    }
    None
}

/// Whoever holds the lock finds only leftovers here.
fn clear(folder: &Path) -> Result<(), StoreError> {
    for entry in std::fs::read_dir(folder).map_err(writing(folder))? {
        let entry = entry.map_err(writing(folder))?;
        let path = entry.path();
        // What a command left there is a folder; a link to one is not.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files::remove_tree(&path)?;
        } else {
            files::remove_if_there(&path)?;
        }
    }
    Ok(())
}

impl Catalog for Writer {
    fn commit(&self, batch: Vec<Entry>) -> Result<Commit, CatalogError> {
        if batch.is_empty() {
            return Ok(Commit::Committed);
        }
        let mut appender = lock(&self.appender);
        let known = self.ledger.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(step) = conflict(&known, &batch) {
            return Ok(Commit::Conflict(step));
        }
        drop(known);
        let (segment, end) = appender.append(&batch)?;
        // It is true now: nothing below may fail it.
        let mut slot = lock(&self.index);
        match &*slot {
            Slot::Unopened => *slot = self.open_index(&appender),
            Slot::Open(index) if index.fold(&batch, &segment, end).is_err() => {
                index.give_up();
                *slot = Slot::Broken;
            }
            Slot::Open(_) | Slot::Broken => {}
        }
        drop(slot);
        let mut ledger = self.ledger.write().unwrap_or_else(PoisonError::into_inner);
        batch.into_iter().for_each(|entry| ledger.apply(entry));
        Ok(Commit::Committed)
    }
}

impl Records for Writer {
    fn ledger(&self) -> Result<Ledger, CatalogError> {
        Ok(self.ledger.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn by_fingerprint(&self, step: &Step, fingerprint: &Fingerprint) -> Result<Vec<Arc<StepRecord>>, CatalogError> {
        self.ask(|index| index.by_fingerprint(step, fingerprint), |journal| journal.by_fingerprint(step, fingerprint))
    }

    fn history(&self, step: &Step) -> Result<Vec<Past>, CatalogError> {
        self.ask(|index| index.history(step), |journal| journal.history(step))
    }

    fn of_object(&self, object: &ObjectId) -> Result<Vec<RecordId>, CatalogError> {
        self.ask(|index| index.of_object(object), |journal| journal.of_object(object))
    }

    fn of_build(&self, build: &str) -> Result<Vec<Step>, CatalogError> {
        self.ask(|index| index.of_build(build), |journal| journal.of_build(build))
    }

    fn with_reason(&self, code: &str) -> Result<Vec<Step>, CatalogError> {
        self.ask(|index| index.with_reason(code), |journal| journal.with_reason(code))
    }
}
