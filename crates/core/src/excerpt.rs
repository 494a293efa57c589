//! A part of what is true now, enough to judge some partitions: their tips, those of steps that nothing cuts, and what
//! sources deliver for them. Builds are left out.

use crate::key::{AssetName, Partition};
use crate::ledger::Ledger;
use crate::record::{Entry, SourceRecord};
use std::collections::BTreeSet;

/// Partitions as the command line calls them, by whole ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs(BTreeSet<String>);

impl FromIterator<String> for Runs {
    fn from_iter<T: IntoIterator<Item = String>>(runs: T) -> Self {
        Self(runs.into_iter().collect())
    }
}

impl Runs {
    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether a partition is one of them, or none at all.
    pub fn cover(&self, partition: &Partition) -> bool {
        partition.run().is_none_or(|run| self.0.contains(&run))
    }

    /// A source with the slices of these partitions, and the first one of each asset: who reads the source has to be
    /// known whatever is asked.
    #[must_use]
    pub fn of_source(&self, mut source: SourceRecord) -> SourceRecord {
        let mut told: BTreeSet<AssetName> = BTreeSet::new();
        source.slices.retain(|slice| told.insert(slice.asset.clone()) || self.cover(&slice.partition));
        source
    }

    /// What an entry says about them, as it is to be folded in.
    pub fn of_entry(&self, entry: Entry) -> Option<Entry> {
        match entry {
            Entry::Step(record) => self.cover(&record.step.partition).then_some(Entry::Step(record)),
            Entry::Attempt(attempt) => self.cover(&attempt.step.partition).then_some(Entry::Attempt(attempt)),
            Entry::Source(source) => Some(Entry::Source(self.of_source(source))),
            Entry::Begin(_) | Entry::End(_) => None,
        }
    }

    /// The part of a ledger that is about them.
    #[must_use]
    pub fn of_ledger(&self, all: &Ledger) -> Ledger {
        let tips = all.steps().filter(|(step, _)| self.cover(&step.partition));
        let tips = tips.map(|(step, tip)| (step.clone(), tip.clone()));
        let sources = all.sources().values().map(|source| self.of_source(source.clone()));
        Ledger::of(tips, sources, Vec::new())
    }
}
