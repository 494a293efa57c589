//! `raw`: a run's rows as delivered, typed, with the source of each slice.

use crate::columns::{self as names, RUN};
use crate::intake::reader::BATCH_ROWS;
use assets_core::executor::StepRequest;
use assets_core::record::SliceRef;
use assets_core::{AssetDecl, ColumnDecl, Reason};
use assets_frames::intake::{Intake, ROW_BYTES};
use assets_frames::polars::prelude::{IntoLazy, col, lit};
use assets_frames::{DataFrame, FrameAsset, Inputs, Outputs, columns, frame_error};
use std::collections::{BTreeMap, HashMap};
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
        let (mut rows, mut unread) = (0, BTreeMap::new());
        for slice in inputs.slices() {
            let mut write = |frame: DataFrame| {
                rows += frame.height() as u64;
                outputs.write("raw", frame)
            };
            let delivered = &mut |frame| write(self.with_source(frame, slice)?);
            if !self.intake.open(inputs.step(), slice, delivered)? {
                write(self.vanished(inputs, slice, &mut unread)?)?;
            }
        }
        for (attribute, path) in unread {
            let message = format!(
                "{path} is not there any more, and was read before `run_attributes` named {attribute}: it is null in its \
                 rows of {}",
                inputs.step()
            );
            outputs.warn(Reason::new("column_not_read", message).with("path", path).with("column", attribute));
        }
        let expected: u64 = inputs.slices().iter().map(|slice| slice.rows).sum();
        let lost = (rows != expected).then(|| {
            let message = format!("{rows} rows came of {expected} that the sources hold");
            Reason::new("rows_lost", message).with("rows", rows).with("expected", expected)
        });
        outputs.check("raw", "rows_accounted_for", lost)
    }

    fn memory(&self, _: &AssetDecl, request: &StepRequest, _: u64) -> Option<u64> {
        let rows: u64 = request.slices.iter().map(|slice| slice.rows).sum();
        Some(rows.min(BATCH_ROWS as u64) * ROW_BYTES)
    }
}

impl Raw {
    fn with_source(&self, mut frame: DataFrame, slice: &SliceRef) -> Result<DataFrame, Reason> {
        let source = columns::constant_text("source", &slice.hash.to_string(), frame.height());
        frame.with_column(source).map_err(|error| frame_error("source", &error))?;
        let order: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        frame.select(order).map_err(|error| frame_error("raw", &error))
    }

    /// Rows that no source delivers any more, from the last table: what was known is not forgotten. An attribute that
    /// was not kept then is null, and named in `unread` with the file.
    fn vanished(
        &self,
        inputs: &Inputs<'_>,
        slice: &SliceRef,
        unread: &mut BTreeMap<String, String>,
    ) -> Result<DataFrame, Reason> {
        let previous = inputs.previous("raw").ok_or_else(|| gone(slice))??;
        let wrong = |error| frame_error("the last raw table", &error);
        let mut frame =
            previous.lazy().filter(col("source").eq(lit(slice.hash.to_string()))).collect().map_err(wrong)?;
        let rows = usize::try_from(slice.rows).unwrap_or(usize::MAX);
        if frame.height() < rows || !frame.height().is_multiple_of(rows.max(1)) {
            return Err(gone(slice));
        }
        // Copies of one file are slices with one hash: each is one of the equal stretches.
        frame = frame.head(Some(rows));
        for column in &self.columns {
            if frame.get_column_index(&column.name).is_none() {
                unread.insert(column.name.clone(), slice.path.clone());
                let nulls = columns::texts(&column.name, (0..rows).map(|_| None));
                frame.with_column(nulls).map_err(wrong)?;
            }
        }
        frame.select(self.columns.iter().map(|column| column.name.as_str())).map_err(wrong)
    }
}

fn gone(slice: &SliceRef) -> Reason {
    let message = format!("{} is not there any more, and its rows were never stored", slice.path);
    Reason::new("source_vanished", message).with("path", slice.path.as_str())
}

/// `intake_rejects`: rows of all sources that have no usable run id.
pub struct IntakeRejects {
    /// Where slices come from.
    pub intake: Arc<Intake>,
}

impl FrameAsset for IntakeRejects {
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
        let mut all = columns::empty(&names::rejects());
        let mut vanished = Vec::new();
        for slice in inputs.slices() {
            let delivered = &mut |frame: DataFrame| {
                all.vstack_mut(&frame).map(drop).map_err(|error| frame_error("intake_rejects", &error))
            };
            if !self.intake.open(inputs.step(), slice, delivered)? {
                vanished.push(slice);
            }
        }
        if let Some(first) = vanished.first() {
            let rest = without(inputs.previous("intake_rejects").ok_or_else(|| gone(first))??, &all)?;
            let expected: u64 = vanished.iter().map(|slice| slice.rows).sum();
            if rest.height() as u64 != expected {
                return Err(gone(first));
            }
            all.vstack_mut(&rest).map_err(|error| frame_error("intake_rejects", &error))?;
        }
        let sorted = crate::clean::sort_rejects(all)?;
        debug_assert!(sorted.column(RUN).is_ok(), "the columns of `rejects`");
        outputs.write("intake_rejects", sorted)
    }
}

/// The rows of `from` that are not among `these`, each counted once: what vanished sources brought.
fn without(from: DataFrame, these: &DataFrame) -> Result<DataFrame, Reason> {
    use assets_frames::polars::prelude::{BooleanChunked, NewChunkedArray};
    let keys = |frame: &DataFrame| -> Result<Vec<Vec<Option<String>>>, Reason> {
        let columns: Vec<Vec<Option<&str>>> =
            names::rejects().iter().map(|column| columns::to_texts(frame, &column.name)).collect::<Result<_, _>>()?;
        Ok((0..frame.height()).map(|row| columns.iter().map(|c| c[row].map(str::to_owned)).collect()).collect())
    };
    let mut present: HashMap<Vec<Option<String>>, usize> = HashMap::new();
    keys(these)?.into_iter().for_each(|key| *present.entry(key).or_default() += 1);
    let keep: Vec<bool> = keys(&from)?
        .into_iter()
        .map(|key| match present.get_mut(&key) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        })
        .collect();
    let mask = BooleanChunked::from_slice("keep".into(), &keep);
    from.filter(&mask).map_err(|error| frame_error("intake_rejects", &error))
}
