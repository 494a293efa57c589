//! The seam to records: what is true now, what was, and how something becomes true.

use crate::hash::{Fingerprint, ObjectId, RecordId};
use crate::key::Step;
use crate::ledger::Ledger;
use crate::reason::Reason;
use crate::record::{AttemptRecord, Entry, StepRecord};
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

/// One thing that happened to a step, as `history` tells it.
#[derive(Debug, Clone, PartialEq)]
pub enum Past {
    /// It was made or reused.
    Record(RecordId, Arc<StepRecord>),
    /// It failed.
    Attempt(AttemptRecord),
}

/// Reading. Beside a build, on a read-only store, and for other users.
pub trait Records: Send + Sync {
    /// What is true now.
    fn ledger(&self) -> Result<Ledger, CatalogError>;

    /// Records of this step with this fingerprint, newest first.
    fn by_fingerprint(&self, step: &Step, fingerprint: &Fingerprint) -> Result<Vec<Arc<StepRecord>>, CatalogError>;

    /// All that happened to a step, newest first.
    fn history(&self, step: &Step) -> Result<Vec<Past>, CatalogError>;

    /// Records that need an object.
    fn of_object(&self, object: &ObjectId) -> Result<Vec<RecordId>, CatalogError>;

    /// Steps made or failed by a build, in the order of their commits.
    fn of_build(&self, build: &str) -> Result<Vec<Step>, CatalogError>;

    /// Steps that ever had a reason with this code: a failure, or a column that is unavailable.
    fn with_reason(&self, code: &str) -> Result<Vec<Step>, CatalogError>;
}

/// Writing. A handle exists only while its process may write.
pub trait Catalog: Records {
    /// Makes a batch true: all of it, durable, in order; or nothing, if a record in it does not replace the tip of
    /// its step (compare and swap by `StepRecord::replaces`).
    fn commit(&self, batch: Vec<Entry>) -> Result<Commit, CatalogError>;
}
