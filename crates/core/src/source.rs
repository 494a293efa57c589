//! The seam to what comes from outside: lists, identifies and slices inputs.

use crate::hash::Digest;
use crate::key::{AssetName, Partition, Step};
use crate::ledger::Ledger;
use crate::reason::Reason;
use crate::record::{SliceRef, SourceRecord};
use std::collections::{BTreeMap, BTreeSet};

/// What one step reads from outside.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delivery {
    /// Its slices in all sources.
    pub slices: Vec<SliceRef>,
    /// Why it can't be read now, if so: the step fails with it.
    pub failure: Option<Reason>,
    /// What does not make it stale but should be known, such as `source_vanished`.
    pub warnings: Vec<Reason>,
}

/// A source that is not there any more, or not for all that it was read for.
#[derive(Debug, Clone, PartialEq)]
pub struct Vanished {
    /// Where it was.
    pub path: String,
    /// The rows that it brought.
    pub rows: u64,
    /// The steps that read them.
    pub steps: Vec<Step>,
    /// What is to be recorded for it to be forgotten.
    pub forgotten: SourceRecord,
}

/// All sources, identified.
#[derive(Debug, Clone, Default)]
pub struct Identified {
    /// What each step reads. A step is listed for as long as anything was ever delivered for it.
    pub deliveries: BTreeMap<Step, Delivery>,
    /// Records that differ from the ledger's: a build commits them.
    pub changed: Vec<SourceRecord>,
    /// Sources that can't be read: (path, why). They fail nothing by themselves.
    pub problems: Vec<(String, Reason)>,
    /// What a person should be told.
    pub warnings: Vec<Reason>,
    /// Sources that were there before and are not any more. What they brought is still delivered.
    pub vanished: Vec<Vanished>,
    /// Number of files looked at.
    pub files: usize,
    /// Partitions that assets have besides: of runs that nobody looked at, as nothing has changed for them.
    pub others: BTreeMap<AssetName, BTreeSet<Partition>>,
}

/// Inputs from outside.
pub trait Source: Send + Sync {
    /// Lists the sources and identifies each, reading only those whose stat differs from what the ledger knows
    /// (all of them with `rehash`). Fails only where listing itself is impossible.
    fn identify(&self, known: &Ledger, rehash: bool) -> Result<Identified, Reason>;

    /// What sources deliver that are all there and can be read, by their records.
    fn delivered(&self, records: &[&SourceRecord]) -> BTreeMap<Step, Delivery>;

    /// What a look from outside says of all sources, as one hash: while it stays equal, so does what `identify` would
    /// say, under equal settings. `None` where that can't be told without reading.
    fn glance(&self) -> Option<Digest<16>> {
        None
    }

    /// How large a source is now, where that can be said.
    fn bytes(&self, _path: &str) -> Option<u64> {
        None
    }
}
