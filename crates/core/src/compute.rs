//! The seam to the code of assets: one call makes one step.
//!
//! Not here: what inputs and outputs look like to that code. A backend gives its assets scannable inputs and sinks
//! that take batches; the engine only sees records.

use crate::executor::{Product, StepRequest};
use crate::reason::Reason;

/// Runs the code of assets.
pub trait Worker: Send + Sync {
    /// Makes a step: reads its inputs, computes, checks, stores its outputs. The error is why there is no table.
    fn make(&self, request: &StepRequest) -> Result<Product, Reason>;
}
