//! The seam to records: what is true now, what was, and how something becomes true.

use crate::excerpt::Excerpt;
use crate::hash::{Fingerprint, ObjectId, RecordId};
use crate::key::{AssetName, Step};
use crate::ledger::Ledger;
use crate::reason::Reason;
use crate::record::{AttemptRecord, Entry, StepRecord};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Why the catalog can't answer or commit.
#[derive(Debug, thiserror::Error)]
#[error("{}", .reason.message)]
pub struct CatalogError {
    /// What happened, where, and what to do.
    pub reason: Reason,
    /// Trying again may help.
    pub transient: bool,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commit {
    /// All of it is on disk and true.
    Committed,
    /// Nothing of it: the step has a newer record than the one the batch replaces.
    Conflict(Step),
}

/// What one process does at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Makes or publishes a step.
    Step(Step),
    /// Writes files that many steps share.
    Views,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(step) => write!(f, "makes {step}"),
            Self::Views => f.write_str("publishes"),
        }
    }
}

/// Another process that is at work on the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Its process id; 0 where it isn't known.
    pub process: u32,
    /// Its command line; empty where it isn't known.
    pub command: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.process, self.command.as_str()) {
            (0, _) => f.write_str("another process"),
            (process, "") => write!(f, "process {process}"),
            (process, command) => write!(f, "process {process} ({command})"),
        }
    }
}

/// A claim, for as long as this lives and its process does.
pub struct Held {
    _what: Box<dyn Any + Send>,
}

impl Held {
    /// A claim that ends when `what` is dropped.
    pub fn new(what: impl Any + Send) -> Self {
        Self { _what: Box::new(what) }
    }
}

/// What became of a claim.
pub enum Claim {
    /// The work is this process' to do.
    Ours(Held),
    /// Another one does it.
    Theirs(Holder),
}

/// One thing that happened to a step, as `history` tells it.
#[derive(Debug, Clone, PartialEq)]
pub enum Past {
    /// It was made or reused.
    Record(RecordId, Arc<StepRecord>),
    /// It failed.
    Attempt(AttemptRecord),
}

/// Whether a record is wanted whose outputs have parts of these fingerprints.
pub type WantedParts<'a> = dyn Fn(&[Vec<Fingerprint>]) -> bool + 'a;

/// Steps whose neighbours are wanted.
#[derive(Debug, Clone)]
pub struct Neighbours<'a> {
    /// The steps, and whether each is new to its place.
    pub steps: BTreeMap<&'a Step, bool>,
    /// How many steps a bucket has.
    pub bucket: u64,
}

/// Some of the buckets that the steps of an asset are cut into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    size: u64,
    some: BTreeSet<u64>,
    /// All from this one on.
    from: u64,
}

impl Neighbours<'_> {
    /// The assets of the steps.
    pub fn assets(&self) -> BTreeSet<&AssetName> {
        self.steps.keys().map(|step| &step.asset).collect()
    }

    /// These, where a ledger holds all steps of their assets.
    pub fn in_ledger(&self, ledger: &Ledger) -> Vec<(Step, u64)> {
        let mut found = Vec::new();
        for asset in self.assets() {
            let places = ledger.ordinals(|one| one == asset);
            let buckets = self.buckets(asset, |step| places.get(step).copied());
            let near = places.into_iter().filter(|(_, place)| buckets.hold(*place));
            let mut near: Vec<(Step, u64)> = near.map(|(step, place)| (step.clone(), place)).collect();
            near.sort_unstable_by_key(|(_, place)| *place);
            found.extend(near);
        }
        found
    }

    /// The buckets of an asset's steps, by their places.
    pub fn buckets(&self, asset: &AssetName, place: impl Fn(&Step) -> Option<u64>) -> Buckets {
        let size = self.bucket.max(1);
        let (mut some, mut from) = (BTreeSet::new(), u64::MAX);
        for (step, is_new) in self.steps.iter().filter(|(step, _)| step.asset == *asset) {
            let Some(bucket) = place(step).map(|place| place / size) else { continue };
            some.insert(bucket);
            if *is_new {
                from = from.min(bucket);
            }
        }
        Buckets { size, some, from }
    }
}

impl Buckets {
    /// Whether any of these places is in one of them.
    pub fn any(&self, places: Range<u64>) -> bool {
        let (first, end) = (places.start / self.size, places.end.div_ceil(self.size));
        !places.is_empty() && (end > self.from || self.some.range(first..end).next().is_some())
    }

    /// Whether a place is in one of them.
    pub fn hold(&self, place: u64) -> bool {
        let bucket = place / self.size;
        bucket >= self.from || self.some.contains(&bucket)
    }
}

/// Reading. Beside a build, on a read-only store, and for other users.
pub trait Records: Send + Sync {
    /// What is true now; of a handle that was opened for a part of it, that part.
    fn ledger(&self) -> Result<Ledger, CatalogError>;

    /// The part of it that is about some steps (`Excerpt::of_ledger`), without reading the others where that can be
    /// spared.
    fn ledger_of(&self, excerpt: &Excerpt) -> Result<Ledger, CatalogError> {
        Ok(excerpt.of_ledger(&self.ledger()?))
    }

    /// The steps that share a bucket with some steps, each with its place (`Ledger::ordinals`), where all of an asset are cut
    /// into buckets of so many; and those in all buckets behind that of one that is new. By assets, then places.
    fn neighbours(&self, of: &Neighbours<'_>) -> Result<Vec<(Step, u64)>, CatalogError> {
        let assets = of.assets().into_iter().cloned();
        Ok(of.in_ledger(&self.ledger_of(&Excerpt::of_assets(assets))?))
    }

    /// Records of this step with this fingerprint, newest first.
    fn by_fingerprint(&self, step: &Step, fingerprint: &Fingerprint) -> Result<Vec<Arc<StepRecord>>, CatalogError>;

    /// All that happened to a step, newest first.
    fn history(&self, step: &Step) -> Result<Vec<Past>, CatalogError>;

    /// Records of a step whose parts' fingerprints, those that have one, are wanted: newest first. Of a step that has become
    /// many tables, what is in each can be told sooner than each can be read.
    fn with_parts(&self, step: &Step, is_wanted: &WantedParts<'_>) -> Result<Vec<Arc<StepRecord>>, CatalogError> {
        let records = self.history(step)?.into_iter().filter_map(|past| match past {
            Past::Record(_, record) => Some(record),
            Past::Attempt(_) => None,
        });
        Ok(records.filter(|record| is_wanted(&record.part_fingerprints())).collect())
    }

    /// Records that need an object.
    fn of_object(&self, object: &ObjectId) -> Result<Vec<RecordId>, CatalogError>;

    /// Steps made or failed by a build, in the order of their commits.
    fn of_build(&self, build: &str) -> Result<Vec<Step>, CatalogError>;

    /// Steps that ever had a reason with this code: a failure, or a column that is unavailable.
    fn with_reason(&self, code: &str) -> Result<Vec<Step>, CatalogError>;
}

/// Writing. A handle exists only while its process may write; several processes may at once, each with its own handle.
///
/// Whoever makes a step claims it, then looks at what is new, and only then decides: nobody else commits the step as
/// long as the claim is held.
pub trait Catalog: Records {
    /// Makes a batch true: all of it, durable, in order; or nothing, if a record in it does not replace the tip of
    /// its step (compare and swap by `StepRecord::replaces`).
    fn commit(&self, batch: Vec<Entry>) -> Result<Commit, CatalogError>;

    /// Claims a piece of work, or says who has it. Never waits. A claim vanishes with its process.
    fn claim(&self, work: &Work) -> Result<Claim, CatalogError>;

    /// What other handles have committed since this was asked last; at first, since this one was opened. Entries may be
    /// told that `ledger` holds already: folding them in again changes nothing.
    fn news(&self) -> Result<Vec<Entry>, CatalogError>;
}
