//! Writing: commits to the journal, what other processes commit meanwhile, and answers, from memory for what is now and
//! from the index for what was, or from the journal while another process has the index open. Tables are in `objects`.

use crate::claims::{Claims, Taken};
use crate::error::{StoreError, writing};
use crate::files;
use crate::fold;
use crate::index::Index;
use crate::journal::{self, Appender, Ends, Torn};
use crate::lock::WriterLock;
use crate::objects::FolderTables;
use crate::pins;
use crate::reader::Reader;
use crate::suspects;
use crate::tail::Tail;
use assets_core::catalog::{Catalog, CatalogError, Claim, Commit, Neighbours, Past, Records, WantedParts, Work};
use assets_core::excerpt::Excerpt;
use assets_core::hash::{Fingerprint, ObjectId, RecordId};
use assets_core::key::Step;
use assets_core::ledger::Ledger;
use assets_core::record::{Entry, StepRecord};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// The right to write a store, and all that is known of it. Dropped, it gives the right back, once the tables it gave
/// out are dropped too.
pub struct Writer {
    root: PathBuf,
    /// Before the lock: the index closes while nobody else can open it.
    index: Mutex<Slot>,
    /// Entries that the index may lack: it is folded when it is asked, not at every commit, which costs sled a
    /// millisecond each.
    unfolded: AtomicUsize,
    journaling: Mutex<Journaling>,
    ledger: RwLock<Ledger>,
    /// Whether that is of some steps only.
    is_part: bool,
    claims: Claims,
    /// For what was, when the index is out of order.
    journal: Reader,
    tables: FolderTables,
    torn: Vec<Torn>,
    /// The snapshot of tips that was there: its size, and how far it had read the journal.
    snapshot: (u64, Ends),
}

/// The journal as this process writes it, and as it follows what others write.
struct Journaling {
    appender: Appender,
    tail: Tail,
    /// What others committed and nobody has asked for yet.
    news: Vec<Entry>,
    /// Whether others have committed anything: then the order in which this process met it is its own.
    followed: bool,
}

/// Entries without which a question would have to wait noticeably.
const FOLD_AT_CLOSE: usize = 1000;

/// Of a store with fewer steps for each entry the index is quick to open.
const FOLD_SHARE: usize = 100;

/// A journal of fewer bytes is folded, all of it, while a question waits: opening and closing the index takes longer.
const SMALL_BYTES: u64 = 1 << 20;

/// The index is opened when it is first needed, so that having nothing to do costs nothing.
enum Slot {
    Unopened,
    Open {
        index: Arc<Index>,
        /// After the index: nobody else opens it before it is closed.
        _claim: Taken,
    },
    Broken,
}

/// A panic elsewhere leaves nothing half done in what these locks guard.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    /// `part`: the only steps that are going to be asked for, or recorded.
    pub(crate) fn open(root: &Path, lock: Arc<WriterLock>, part: Option<&Excerpt>) -> Result<Self, StoreError> {
        let fold::Folded { ledger, tail, snapshot } = match part {
            None => fold::all(root)?,
            Some(excerpt) => fold::part(root, excerpt)?,
        };
        let tables = FolderTables::to_write(root, lock);
        suspects::settle(root, &tables);
        let (torn, appender) = (tail.torn(), Appender::new(&root.join("journal"), tail.ends().clone()));
        Ok(Self {
            root: root.to_owned(),
            index: Mutex::new(Slot::Unopened),
            unfolded: AtomicUsize::new(0),
            journaling: Mutex::new(Journaling { appender, tail, news: Vec::new(), followed: false }),
            ledger: RwLock::new(ledger),
            is_part: part.is_some(),
            claims: Claims::open(root)?,
            journal: Reader::of_writer(root),
            tables,
            torn,
            snapshot,
        })
    }

    /// Folds in what other processes have committed.
    fn follow(&self, journaling: &mut Journaling) -> Result<(), StoreError> {
        let Journaling { appender, tail, news, followed } = journaling;
        let mut frames = Vec::new();
        let own = |name: &str| appender.is_own(name);
        tail.advance(&own, &mut |name, entries, end| frames.push((name.to_owned(), entries, end)))?;
        for (segment, entries, end) in frames {
            *followed = true;
            appender.note(&segment, end);
            self.unfolded.fetch_add(entries.len(), Ordering::Relaxed);
            let mut ledger = self.ledger.write().unwrap_or_else(PoisonError::into_inner);
            entries.iter().cloned().for_each(|entry| ledger.apply(entry));
            news.extend(entries);
        }
        Ok(())
    }

    /// Its objects and published tables. They keep the right to write for as long as they live.
    pub fn tables(&self) -> FolderTables {
        self.tables.clone()
    }

    /// Keeps objects by that name, instead of what was kept by it.
    pub fn pin(&self, name: &str, pinned: &pins::Pinned) -> Result<(), StoreError> {
        pins::write(&self.root, name, pinned)
    }

    /// Keeps nothing by that name any more; false where nothing was.
    pub fn unpin(&self, name: &str) -> Result<bool, StoreError> {
        pins::remove(&self.root, name)
    }

    /// Ends of segments that could not be read when the store was opened: what killed processes left.
    pub fn torn(&self) -> &[Torn] {
        &self.torn
    }

    /// Names the journal as it is now: another one after every commit.
    pub fn position(&self) -> String {
        journal::position(lock(&self.journaling).appender.ends())
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
        let temp = self.root.join(format!("tmp/published-{}.tmp", std::process::id()));
        files::create_folder(&self.root.join("tmp"))?;
        files::replace(&self.journal.mark(), &temp, format!("{position}\n").as_bytes())
    }

    /// Leaves a snapshot of all tips, from which the next question is answered without reading the journal. The segment
    /// that this handle writes ends here. False where another process writes: then it is for whoever is last.
    ///
    /// # Errors
    /// What can't be read or written. The store is none the worse.
    pub fn leave_tips(&self) -> Result<bool, StoreError> {
        self.leave(&mut lock(&self.journaling))
    }

    fn leave(&self, journaling: &mut Journaling) -> Result<bool, StoreError> {
        journaling.appender.close();
        let Journaling { appender, tail, followed, .. } = &*journaling;
        let ledger = self.ledger.read().unwrap_or_else(PoisonError::into_inner);
        let is_all = !followed && !self.is_part;
        fold::leave(&self.root, is_all.then(|| (&*ledger, tail, appender.ends())))
    }

    /// The index with all that is committed, opened if need be; `None` where it is out of order.
    fn index(&self) -> Option<Arc<Index>> {
        // Always the journal first, then the index. Commits go on while what is known by now is folded, until another asks.
        let journaling = lock(&self.journaling);
        let mut slot = lock(&self.index);
        let ends = journaling.appender.ends().clone();
        let is_behind = self.unfolded.swap(0, Ordering::Relaxed) > 0;
        drop(journaling);
        self.fold(&mut slot, &ends, is_behind);
        match &*slot {
            Slot::Open { index, .. } => Some(Arc::clone(index)),
            _ => None,
        }
    }

    /// Opens the index, or folds in what it lacks up to `ends`.
    fn fold(&self, slot: &mut Slot, ends: &Ends, is_behind: bool) {
        match slot {
            Slot::Unopened => *slot = self.open_index(ends),
            Slot::Open { index, .. } if is_behind && index.catch_up(&self.root, ends).is_err() => {
                index.give_up();
                *slot = Slot::Broken;
            }
            Slot::Open { .. } | Slot::Broken => {}
        }
    }

    fn open_index(&self, ends: &Ends) -> Slot {
        // Another process may have it open: then that is tried again at the next question.
        let Some(taken) = self.claims.index() else { return Slot::Unopened };
        match Index::open(&self.root, ends) {
            Ok(index) => Slot::Open { index: Arc::new(index), _claim: taken },
            Err(_) => Slot::Broken,
        }
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

/// Whoever is alone in a store finds only leftovers here.
pub(crate) fn clear(folder: &Path) -> Result<(), StoreError> {
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

impl Drop for Writer {
    /// Many entries are folded now, so that the next question does not wait for them. Few are not worth opening the index
    /// of a large store, which takes the longer the larger it is, or of a small one, which may never be asked. The snapshot is written meanwhile: both only read the
    /// journal.
    fn drop(&mut self) {
        let this = &*self;
        let mut journaling = lock(&this.journaling);
        let (ends, unfolded) = (journaling.appender.ends().clone(), this.unfolded.load(Ordering::Relaxed));
        // Where not all of them are known, they are many.
        let known = this.ledger.read().unwrap_or_else(PoisonError::into_inner).steps().len();
        let steps = if this.is_part { usize::MAX } else { known };
        std::thread::scope(|scope| {
            let fold = || {
                let mut slot = lock(&this.index);
                this.fold(&mut slot, &ends, true);
                // It closes here already: that takes a sync.
                *slot = Slot::Unopened;
            };
            let is_small = ends.values().map(|end| end.offset).sum::<u64>() < SMALL_BYTES;
            let is_worth_it = unfolded >= FOLD_AT_CLOSE || !is_small && unfolded * FOLD_SHARE > steps;
            if is_worth_it && std::thread::Builder::new().spawn_scoped(scope, fold).is_err() {
                fold();
            }
            if fold::is_outdated(&this.snapshot, &ends) {
                // Without it the journal is read.
                let _ = this.leave(&mut journaling);
            }
        });
    }
}

impl Catalog for Writer {
    fn commit(&self, batch: Vec<Entry>) -> Result<Commit, CatalogError> {
        if batch.is_empty() {
            return Ok(Commit::Committed);
        }
        let mut journaling = lock(&self.journaling);
        // What begins and ends a build replaces nothing: it has to be known what it comes after, and no more.
        if batch.iter().any(|entry| matches!(entry, Entry::Step(_))) {
            self.follow(&mut journaling)?;
        }
        let known = self.ledger.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(step) = conflict(&known, &batch) {
            return Ok(Commit::Conflict(step));
        }
        drop(known);
        journaling.appender.append(&batch)?;
        self.unfolded.fetch_add(batch.len(), Ordering::Relaxed);
        let mut ledger = self.ledger.write().unwrap_or_else(PoisonError::into_inner);
        batch.into_iter().for_each(|entry| ledger.apply(entry));
        Ok(Commit::Committed)
    }

    fn claim(&self, work: &Work) -> Result<Claim, CatalogError> {
        Ok(self.claims.claim(work)?)
    }

    fn news(&self) -> Result<Vec<Entry>, CatalogError> {
        let mut journaling = lock(&self.journaling);
        self.follow(&mut journaling)?;
        Ok(std::mem::take(&mut journaling.news))
    }
}

impl Records for Writer {
    fn ledger(&self) -> Result<Ledger, CatalogError> {
        Ok(self.ledger.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn ledger_of(&self, excerpt: &Excerpt) -> Result<Ledger, CatalogError> {
        if self.is_part { self.journal.ledger_of(excerpt) } else { Ok(excerpt.of_ledger(&self.ledger()?)) }
    }

    fn neighbours(&self, of: &Neighbours<'_>) -> Result<Vec<(Step, u64)>, CatalogError> {
        self.journal.neighbours(of)
    }

    fn by_fingerprint(&self, step: &Step, fingerprint: &Fingerprint) -> Result<Vec<Arc<StepRecord>>, CatalogError> {
        self.ask(|index| index.by_fingerprint(step, fingerprint), |journal| journal.by_fingerprint(step, fingerprint))
    }

    fn history(&self, step: &Step) -> Result<Vec<Past>, CatalogError> {
        self.ask(|index| index.history(step), |journal| journal.history(step))
    }

    fn with_parts(&self, step: &Step, is_wanted: &WantedParts<'_>) -> Result<Vec<Arc<StepRecord>>, CatalogError> {
        self.ask(|index| index.with_parts(step, is_wanted), |journal| journal.with_parts(step, is_wanted))
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
