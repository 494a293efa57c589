//! A catalog in memory: the same answers as the store's, from a list of entries. For tests; nothing is durable.

use assets_core::catalog::{Catalog, CatalogError, Claim, Commit, Held, Holder, Past, Records, Work};
use assets_core::hash::{Fingerprint, ObjectId, RecordId};
use assets_core::key::Step;
use assets_core::ledger::Ledger;
use assets_core::record::{Entry, StepRecord};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Everything that was committed, and what is claimed by whom.
#[derive(Debug, Default)]
struct Inner {
    ledger: Ledger,
    entries: Vec<(u32, Entry)>,
    claims: Vec<(u32, Work)>,
    handles: u32,
}

/// A handle on the catalog.
#[derive(Debug)]
pub struct MemoryCatalog {
    all: Arc<Mutex<Inner>>,
    /// Which handle this is: what a process is to the store.
    own: u32,
    /// How many entries it has looked at for news.
    seen: Mutex<usize>,
}

impl Default for MemoryCatalog {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryCatalog {
    /// An empty one.
    pub fn new() -> Self {
        Self::handle(Arc::default())
    }

    /// Another handle on the same, as another process has one.
    pub fn beside(&self) -> Self {
        Self::handle(Arc::clone(&self.all))
    }

    fn handle(all: Arc<Mutex<Inner>>) -> Self {
        let mut inner = all.lock().unwrap_or_else(PoisonError::into_inner);
        inner.handles += 1;
        let (own, seen) = (inner.handles, Mutex::new(inner.entries.len()));
        drop(inner);
        Self { all, own, seen }
    }

    /// All entries in the order of their commits.
    pub fn entries(&self) -> Vec<Entry> {
        self.inner().entries.iter().map(|(_, entry)| entry.clone()).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn records(&self) -> Vec<StepRecord> {
        let steps = self.entries().into_iter().filter_map(|entry| match entry {
            Entry::Step(record) => Some(Arc::unwrap_or_clone(record)),
            _ => None,
        });
        steps.collect()
    }
}

/// A claim that ends when this is dropped.
struct Claimed {
    all: Arc<Mutex<Inner>>,
    claim: (u32, Work),
}

impl Drop for Claimed {
    fn drop(&mut self) {
        let mut inner = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = inner.claims.iter().position(|claim| *claim == self.claim) {
            inner.claims.swap_remove(at);
        }
    }
}

impl Catalog for MemoryCatalog {
    fn commit(&self, batch: Vec<Entry>) -> Result<Commit, CatalogError> {
        let mut inner = self.inner();
        let mut tips: HashMap<Step, (Option<RecordId>, u64)> = HashMap::new();
        for entry in &batch {
            let Entry::Step(record) = entry else { continue };
            let tip = tips.entry(record.step.clone()).or_insert_with(|| {
                let tip = inner.ledger.tip(&record.step);
                (tip.and_then(|tip| tip.made.as_ref()).map(|(id, _)| *id), tip.map_or(0, |tip| tip.generation()))
            });
            if (record.replaces, record.generation) != (tip.0, tip.1 + 1) {
                return Ok(Commit::Conflict(record.step.clone()));
            }
            *tip = (Some(record.id()), record.generation);
        }
        for entry in batch {
            inner.ledger.apply(entry.clone());
            inner.entries.push((self.own, entry));
        }
        Ok(Commit::Committed)
    }

    fn claim(&self, work: &Work) -> Result<Claim, CatalogError> {
        let mut inner = self.inner();
        if let Some((by, _)) = inner.claims.iter().find(|(by, claimed)| *by != self.own && claimed == work) {
            return Ok(Claim::Theirs(Holder { process: *by, command: "another handle".into() }));
        }
        inner.claims.push((self.own, work.clone()));
        Ok(Claim::Ours(Held::new(Claimed { all: Arc::clone(&self.all), claim: (self.own, work.clone()) })))
    }

    fn news(&self) -> Result<Vec<Entry>, CatalogError> {
        let inner = self.inner();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let new = inner.entries[*seen..].iter().filter(|(by, _)| *by != self.own).map(|(_, entry)| entry.clone());
        let new = new.collect();
        *seen = inner.entries.len();
        Ok(new)
    }
}

impl Records for MemoryCatalog {
    fn ledger(&self) -> Result<Ledger, CatalogError> {
        Ok(self.inner().ledger.clone())
    }

    fn by_fingerprint(&self, step: &Step, fingerprint: &Fingerprint) -> Result<Vec<Arc<StepRecord>>, CatalogError> {
        let records = self.records().into_iter().rev();
        Ok(records.filter(|r| r.step == *step && r.fingerprint == *fingerprint).map(Arc::new).collect())
    }

    fn history(&self, step: &Step) -> Result<Vec<Past>, CatalogError> {
        let mut pasts: Vec<(u64, u8, i64, Past)> = Vec::new();
        for entry in self.entries() {
            match entry {
                Entry::Step(r) if r.step == *step => {
                    pasts.push((r.generation, 0, r.span.end_us, Past::Record(r.id(), r)));
                }
                Entry::Attempt(a) if a.step == *step => {
                    pasts.push((a.after_generation, 1, a.span.end_us, Past::Attempt(a)))
                }
                _ => {}
            }
        }
        // Stable: attempts after the same record stay in the order of their commits.
        pasts.sort_by_key(|(generation, kind, ended, _)| (*generation, *kind, *ended));
        Ok(pasts.into_iter().rev().map(|(.., past)| past).collect())
    }

    fn of_object(&self, object: &ObjectId) -> Result<Vec<RecordId>, CatalogError> {
        let records = self.records();
        let ids: BTreeSet<_> =
            records.iter().filter(|r| r.objects().any(|o| o == object)).map(StepRecord::id).collect();
        Ok(ids.into_iter().collect())
    }

    fn of_build(&self, build: &str) -> Result<Vec<Step>, CatalogError> {
        let mut steps = Vec::new();
        for entry in self.entries() {
            let (step, by) = match entry {
                Entry::Step(r) => (r.step.clone(), r.build.clone()),
                Entry::Attempt(a) => (a.step, a.build),
                _ => continue,
            };
            if by == build && !steps.contains(&step) {
                steps.push(step);
            }
        }
        Ok(steps)
    }

    fn with_reason(&self, code: &str) -> Result<Vec<Step>, CatalogError> {
        let mut steps = BTreeSet::new();
        for entry in self.entries() {
            match entry {
                Entry::Attempt(a) if a.reason.code == code => {
                    steps.insert(a.step);
                }
                Entry::Step(r) if r.outputs.iter().flat_map(|o| &o.unavailable).any(|u| u.reason.code == code) => {
                    steps.insert(r.step.clone());
                }
                _ => {}
            }
        }
        Ok(steps.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn passes_the_suite() {
        conformance::catalog(&|| Box::new(MemoryCatalog::new()));
        conformance::shared_catalog(&|| {
            let one = MemoryCatalog::new();
            let two = one.beside();
            (Box::new(one), Box::new(two))
        });
    }

    #[test]
    fn gives_the_answers_that_were_committed() {
        let (one, two) = (MemoryCatalog::new(), MemoryCatalog::new());
        conformance::fill(&one);
        conformance::fill(&two);
        conformance::records(&one, &two);
    }
}
