//! The seam to the code of assets: one call makes one step.
//!
//! Not here: what inputs and outputs look like to that code. A backend gives its assets scannable inputs and sinks
//! that take batches; the engine only sees records.

use crate::asset::{AssetDecl, OutputDecl};
use crate::executor::{Product, StepRequest};
use crate::reason::Reason;
use crate::record::OutputRecord;
use crate::table_store::{Object, Staged};

/// Runs the code of assets.
pub trait Worker: Send + Sync {
    /// Makes a step: reads its inputs, computes, checks, stores its outputs. The error is why there is no table.
    fn make(&self, request: &StepRequest) -> Result<Product, Reason>;

    /// About how many bytes of memory that takes at once.
    fn memory(&self, request: &StepRequest) -> u64 {
        let _ = request;
        0
    }
}

/// Writes the published files of packed outputs: views over many steps' rows.
pub trait Packer: Send + Sync {
    /// Writes the rows of `steps`, in order, as one table of the declared columns.
    fn pack(&self, output: &OutputDecl, steps: &[&OutputRecord], staged: &mut dyn Staged) -> Result<(), Reason>;
}

/// Looks into tables, for whoever doubts them.
pub trait Examiner: Send + Sync {
    /// Whether a stored output is what its record says: its rows, its columns, the content of each part.
    fn examine(&self, asset: &AssetDecl, output: &OutputRecord) -> Result<(), Reason>;

    /// Whether a published view holds the rows of `steps`, in order. The error is why it can't be read.
    fn holds(&self, view: Object, output: &OutputDecl, steps: &[&OutputRecord]) -> Result<bool, Reason>;
}
