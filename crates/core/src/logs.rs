//! The seam to what steps print: a log per step, that of its latest making.

use crate::key::Step;
use crate::reason::Reason;
use std::fs::File;

/// Keeps what steps print.
pub trait Logs: Send + Sync {
    /// An empty log for a step, in place of its earlier one. Every write goes to its end.
    fn create(&self, step: &Step) -> Result<File, Reason>;

    /// No log for a step any more; one is created when something is printed.
    fn clear(&self, step: &Step) -> Result<(), Reason>;

    /// What a step's log holds, at most the last `last` bytes, from the beginning of a line; `None` where it has none.
    fn read(&self, step: &Step, last: u64) -> Result<Option<Vec<u8>>, Reason>;
}
