//! `raw`: a run's rows as delivered, typed, with the source of each slice.

use crate::columns::{self as names, RUN};
use crate::intake::Intake;
use assets_core::record::SliceRef;
use assets_core::{ColumnDecl, Reason};
use assets_frames::polars::prelude::{IntoLazy, col, lit};
use assets_frames::{DataFrame, FrameAsset, Inputs, Outputs, columns, frame_error};
use std::sync::Arc;

/// Version of what follows; part of the fingerprint.
pub const VERSION: &str = "raw-1";

/// Collects the slices of a run from its sources.
pub struct Raw {
    /// Where slices come from.
    pub intake: Arc<Intake>,
    /// The declared columns.
    pub columns: Vec<ColumnDecl>,
}

impl FrameAsset for Raw {
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
        let mut rows = 0;
        for slice in inputs.slices() {
            let frame = match self.intake.open(slice)? {
                Some(frame) => self.with_source(frame, slice)?,
                None => from_previous(inputs, slice)?,
            };
            rows += frame.height() as u64;
            outputs.write("raw", frame)?;
        }
        let expected: u64 = inputs.slices().iter().map(|slice| slice.rows).sum();
        let lost = (rows != expected).then(|| {
            let message = format!("{rows} rows came of {expected} that the sources hold");
            Reason::new("rows_lost", message).with("rows", rows).with("expected", expected)
        });
        outputs.check("raw", "rows_accounted_for", lost)
    }
}

impl Raw {
    fn with_source(&self, mut frame: DataFrame, slice: &SliceRef) -> Result<DataFrame, Reason> {
        let source = columns::constant_text("source", &slice.hash.to_string(), frame.height());
        frame.with_column(source).map_err(|error| frame_error("source", &error))?;
        let order: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        frame.select(order).map_err(|error| frame_error("raw", &error))
    }
}

/// Rows that no source delivers any more, from the last table: what was known is not forgotten.
fn from_previous(inputs: &Inputs<'_>, slice: &SliceRef) -> Result<DataFrame, Reason> {
    let gone = || {
        let message = format!("{} is not there any more, and its rows were never stored", slice.path);
        Reason::new("source_vanished", message).with("path", slice.path.as_str())
    };
    let previous = inputs.previous("raw").ok_or_else(gone)??;
    let frame = previous
        .lazy()
        .filter(col("source").eq(lit(slice.hash.to_string())))
        .collect()
        .map_err(|error| frame_error("the last raw table", &error))?;
    if frame.height() as u64 == slice.rows { Ok(frame) } else { Err(gone()) }
}

/// `intake_rejects`: rows of all sources that have no usable run id.
pub struct IntakeRejects {
    /// Where slices come from.
    pub intake: Arc<Intake>,
}

impl FrameAsset for IntakeRejects {
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
        let mut all = columns::empty(&names::rejects());
        for slice in inputs.slices() {
            // Rows of a source that is gone can't be told apart here: they leave with it.
            if let Some(frame) = self.intake.open(slice)? {
                all.vstack_mut(&frame).map_err(|error| frame_error("intake_rejects", &error))?;
            }
        }
        let sorted = crate::clean::sort_rejects(all)?;
        debug_assert!(sorted.column(RUN).is_ok(), "the columns of `rejects`");
        outputs.write("intake_rejects", sorted)
    }
}
