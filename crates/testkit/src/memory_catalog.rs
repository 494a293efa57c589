//! A catalog in memory: the same answers as the store's, from a list of entries. For tests; nothing is durable.

use assets_core::catalog::{Catalog, CatalogError, Commit, Past, Records};
use assets_core::hash::{Fingerprint, ObjectId, RecordId};
use assets_core::key::Step;
use assets_core::ledger::Ledger;
use assets_core::record::{Entry, StepRecord};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Everything that was committed.
#[derive(Debug, Default)]
pub struct MemoryCatalog(Mutex<(Ledger, Vec<Entry>)>);

impl MemoryCatalog {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// All entries in the order of their commits.
    pub fn entries(&self) -> Vec<Entry> {
        self.inner().1.clone()
    }

    fn inner(&self) -> MutexGuard<'_, (Ledger, Vec<Entry>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn records(&self) -> Vec<StepRecord> {
        let steps = self.entries().into_iter().filter_map(|entry| match entry {
            Entry::Step(record) => Some(*record),
            _ => None,
        });
        steps.collect()
    }
}

impl Catalog for MemoryCatalog {
    fn commit(&self, batch: Vec<Entry>) -> Result<Commit, CatalogError> {
        let mut inner = self.inner();
        let mut tips: HashMap<Step, (Option<RecordId>, u64)> = HashMap::new();
        for entry in &batch {
            let Entry::Step(record) = entry else { continue };
            let tip = tips.entry(record.step.clone()).or_insert_with(|| {
                let tip = inner.0.tip(&record.step);
                (tip.and_then(|tip| tip.made.as_ref()).map(|(id, _)| *id), tip.map_or(0, |tip| tip.generation()))
            });
            if (record.replaces, record.generation) != (tip.0, tip.1 + 1) {
                return Ok(Commit::Conflict(record.step.clone()));
            }
            *tip = (Some(record.id()), record.generation);
        }
        for entry in batch {
            inner.0.apply(entry.clone());
            inner.1.push(entry);
        }
        Ok(Commit::Committed)
    }
}

impl Records for MemoryCatalog {
    fn ledger(&self) -> Result<Ledger, CatalogError> {
        Ok(self.inner().0.clone())
    }

    fn by_fingerprint(&self, step: &Step, fingerprint: &Fingerprint) -> Result<Vec<Arc<StepRecord>>, CatalogError> {
        let records = self.records().into_iter().rev();
        Ok(records.filter(|r| r.step == *step && r.fingerprint == *fingerprint).map(Arc::new).collect())
    }

    fn history(&self, step: &Step) -> Result<Vec<Past>, CatalogError> {
        let mut pasts: Vec<(u64, u8, Past)> = Vec::new();
        for entry in self.entries() {
            match entry {
                Entry::Step(r) if r.step == *step => {
                    pasts.push((r.generation, 0, Past::Record(r.id(), Arc::new(*r))));
                }
                Entry::Attempt(a) if a.step == *step => pasts.push((a.after_generation, 1, Past::Attempt(a))),
                _ => {}
            }
        }
        // Stable: attempts after the same record stay in the order of their commits.
        pasts.sort_by_key(|(generation, kind, _)| (*generation, *kind));
        Ok(pasts.into_iter().rev().map(|(_, _, past)| past).collect())
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
                Entry::Step(r) => (r.step, r.build),
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
                    steps.insert(r.step);
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
    }

    #[test]
    fn gives_the_answers_that_were_committed() {
        let (one, two) = (MemoryCatalog::new(), MemoryCatalog::new());
        conformance::fill(&one);
        conformance::fill(&two);
        conformance::records(&one, &two);
    }
}
