//! What is true now, folded from entries one by one: the newest record of every step, its latest failed attempt, the
//! sources as last read, the builds. Every backend answers from such a fold, so that all give the same answers, in
//! whatever order it meets what several processes wrote at once.

use crate::hash::RecordId;
use crate::key::{AssetName, Partition, Step};
use crate::record::{AttemptRecord, BuildEnd, BuildRecord, Entry, SourceRecord, StepRecord};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What is known of one step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tip {
    /// The newest record, with its id.
    pub made: Option<(RecordId, Arc<StepRecord>)>,
    /// The latest attempt; history once a newer record exists. Few steps have one, and there are very many tips.
    last_attempt: Option<Box<AttemptRecord>>,
    /// Generation and end of the earliest record that was met: the first one, once all are.
    first: Option<(u64, i64)>,
}

impl Tip {
    /// The newest record.
    pub fn record(&self) -> Option<&Arc<StepRecord>> {
        self.made.as_ref().map(|(_, record)| record)
    }

    /// Its generation; 0 before the first record.
    pub fn generation(&self) -> u64 {
        self.record().map_or(0, |record| record.generation)
    }

    /// When the first record ended; `None` before it.
    pub fn first_us(&self) -> Option<i64> {
        self.first.map(|(_, end_us)| end_us)
    }

    /// The latest attempt, if it failed after the newest record.
    pub fn attempt(&self) -> Option<&AttemptRecord> {
        self.last_attempt.as_deref().filter(|attempt| attempt.after_generation >= self.generation())
    }
}

/// The fold. A copy costs nothing until one of the two is changed: who plans and who builds have their own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    tips: Arc<HashMap<Step, Tip>>,
    sources: Arc<BTreeMap<String, SourceRecord>>,
    builds: Vec<(BuildRecord, Option<BuildEnd>)>,
}

impl Ledger {
    /// What was folded before, put together again.
    pub fn of(
        tips: impl IntoIterator<Item = (Step, Tip)>,
        sources: impl IntoIterator<Item = SourceRecord>,
        builds: Vec<(BuildRecord, Option<BuildEnd>)>,
    ) -> Self {
        let sources = sources.into_iter().map(|source| (source.path.clone(), source));
        Self { tips: Arc::new(tips.into_iter().collect()), sources: Arc::new(sources.collect()), builds }
    }

    /// Folds one entry in. Older generations never displace newer ones, so the order of entries does not matter for
    /// steps written by different processes.
    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Begin(build) => {
                if !self.builds.iter().rev().any(|(known, _)| known.id == build.id) {
                    self.builds.push((build, None));
                }
            }
            Entry::End(end) => {
                if let Some((_, slot)) = self.builds.iter_mut().rev().find(|(build, _)| build.id == end.id) {
                    *slot = Some(end);
                }
            }
            Entry::Source(source) => {
                let sources = Arc::make_mut(&mut self.sources);
                if source.moved_to.is_some() {
                    sources.remove(&source.path);
                } else {
                    sources.insert(source.path.clone(), source);
                }
            }
            Entry::Attempt(attempt) => {
                let tip = Arc::make_mut(&mut self.tips).entry(attempt.step.clone()).or_default();
                let place = |attempt: &AttemptRecord| (attempt.after_generation, attempt.span.end_us);
                if tip.last_attempt.as_ref().is_none_or(|last| place(last) <= place(&attempt)) {
                    tip.last_attempt = Some(Box::new(attempt));
                }
            }
            Entry::Step(record) => self.apply_step(record),
        }
    }

    fn apply_step(&mut self, record: Arc<StepRecord>) {
        let tip = Arc::make_mut(&mut self.tips).entry(record.step.clone()).or_default();
        let place = (record.generation, record.span.end_us);
        tip.first = Some(tip.first.map_or(place, |first| first.min(place)));
        if record.generation > tip.generation() {
            tip.made = Some((record.id(), record));
        }
    }

    /// What is known of a step.
    pub fn tip(&self, step: &Step) -> Option<&Tip> {
        self.tips.get(step)
    }

    /// The newest record of a step.
    pub fn newest(&self, step: &Step) -> Option<&Arc<StepRecord>> {
        self.tip(step).and_then(Tip::record)
    }

    /// Every step that was ever made or tried.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = (&Step, &Tip)> {
        self.tips.iter()
    }

    /// The how-manyth step of its asset each was to get a record, from 0, of the assets that are wanted: packed tables are
    /// cut by it. Steps that two processes made at once stand by their ends: who reads them in which order changes nothing.
    pub fn ordinals(&self, wanted: impl Fn(&AssetName) -> bool) -> HashMap<&Step, u64> {
        let mut by_asset: HashMap<&AssetName, Vec<(i64, &Step)>> = HashMap::new();
        for (step, tip) in self.tips.iter().filter(|(step, _)| wanted(&step.asset)) {
            by_asset.entry(&step.asset).or_default().extend(tip.first_us().map(|end_us| (end_us, step)));
        }
        let mut ordinals = HashMap::new();
        for mut steps in by_asset.into_values() {
            steps.sort_unstable();
            ordinals.extend((0..).zip(steps).map(|(ordinal, (_, step))| (step, ordinal)));
        }
        ordinals
    }

    /// The partitions of an asset that have a record.
    pub fn partitions<'a>(&'a self, asset: &'a AssetName) -> impl Iterator<Item = &'a Partition> {
        self.tips.keys().filter(move |step| step.asset == *asset).map(|step| &step.partition)
    }

    /// Sources as they were last read, by path.
    pub fn sources(&self) -> &BTreeMap<String, SourceRecord> {
        &self.sources
    }

    /// Builds, oldest first, with their ends.
    pub fn builds(&self) -> &[(BuildRecord, Option<BuildEnd>)] {
        &self.builds
    }

    /// True before the first entry.
    pub fn is_empty(&self) -> bool {
        self.tips.is_empty() && self.sources.is_empty() && self.builds.is_empty()
    }
}
