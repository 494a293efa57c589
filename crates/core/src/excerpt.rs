//! A part of what is true now, enough to answer for some steps: their tips, those of steps that nothing cuts, and what
//! sources deliver for them. Builds are left out.

use crate::key::{AssetName, Partition, Step};
use crate::ledger::Ledger;
use crate::record::{Entry, SourceRecord};
use std::collections::BTreeSet;

/// Steps that a question is about: those of some partitions, of some assets, or of both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Excerpt {
    runs: Option<BTreeSet<String>>,
    assets: Option<BTreeSet<AssetName>>,
    /// Assets of which every step is meant, whatever the others are cut to.
    whole: BTreeSet<AssetName>,
}

impl Excerpt {
    /// The steps of these partitions, as the command line calls them, by whole ids.
    pub fn of_runs(runs: impl IntoIterator<Item = String>) -> Self {
        Self { runs: Some(runs.into_iter().collect()), ..Self::default() }
    }

    /// The steps of these assets.
    pub fn of_assets(assets: impl IntoIterator<Item = AssetName>) -> Self {
        Self { assets: Some(assets.into_iter().collect()), ..Self::default() }
    }

    /// Of these, the steps of these partitions.
    #[must_use]
    pub fn in_runs(self, runs: impl IntoIterator<Item = String>) -> Self {
        Self { runs: Some(runs.into_iter().collect()), ..self }
    }

    /// These, and every step of these assets.
    #[must_use]
    pub fn and_all_of(self, assets: impl IntoIterator<Item = AssetName>) -> Self {
        Self { whole: assets.into_iter().collect(), ..self }
    }

    /// Each of the partitions of an asset in order, where not all are meant.
    pub fn runs_of(&self, asset: &AssetName) -> Option<impl Iterator<Item = &str>> {
        Some(self.runs.as_ref().filter(|_| !self.whole.contains(asset))?.iter().map(String::as_str))
    }

    /// Whether an asset is one of them.
    pub fn covers_asset(&self, asset: &AssetName) -> bool {
        self.whole.contains(asset) || self.assets.as_ref().is_none_or(|assets| assets.contains(asset))
    }

    /// Whether a step of an asset is one of them, or is of one of the assets and nothing cuts it.
    pub fn covers(&self, asset: &AssetName, partition: &Partition) -> bool {
        let is_run = |runs: &BTreeSet<String>| partition.run().is_none_or(|run| runs.contains(&run));
        self.whole.contains(asset) || self.covers_asset(asset) && self.runs.as_ref().is_none_or(is_run)
    }

    fn covers_step(&self, step: &Step) -> bool {
        self.covers(&step.asset, &step.partition)
    }

    /// A source with the slices of these steps, and the first one of each asset: who reads the source has to be
    /// known whatever is asked.
    #[must_use]
    pub fn of_source(&self, mut source: SourceRecord) -> SourceRecord {
        let mut told: BTreeSet<AssetName> = BTreeSet::new();
        source.slices.retain(|slice| told.insert(slice.asset.clone()) || self.covers(&slice.asset, &slice.partition));
        source
    }

    /// What an entry says about them, as it is to be folded in.
    pub fn of_entry(&self, entry: Entry) -> Option<Entry> {
        match entry {
            Entry::Step(record) => self.covers_step(&record.step).then_some(Entry::Step(record)),
            Entry::Attempt(attempt) => self.covers_step(&attempt.step).then_some(Entry::Attempt(attempt)),
            Entry::Source(source) => Some(Entry::Source(self.of_source(source))),
            Entry::Begin(_) | Entry::End(_) => None,
        }
    }

    /// The part of a ledger that is about them.
    #[must_use]
    pub fn of_ledger(&self, all: &Ledger) -> Ledger {
        let tips = all.steps().filter(|(step, _)| self.covers_step(step));
        let tips = tips.map(|(step, tip)| (step.clone(), tip.clone()));
        let sources = all.sources().values().map(|source| self.of_source(source.clone()));
        Ledger::of(tips, sources, Vec::new())
    }
}
