//! Makes a table of files, and that of its rejects: the slices of a step, one after the other. What a file does not
//! deliver any more comes from the last table.

use super::TableOfFiles;
use crate::inputs::Inputs;
use crate::intake::Intake;
use crate::outputs::Outputs;
use crate::worker::FrameAsset;
use crate::{columns, frame_error};
use assets_core::record::SliceRef;
use assets_core::{AssetName, ColumnDecl, Reason};
use polars::prelude::{DataFrame, IntoColumn, Series};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The code of the reason for which a column is null where its file can't be read again.
const UNREAD: &str = "column_not_read";

/// The code of a table of files and of its rejects.
pub fn code(table: &TableOfFiles, intake: &Arc<Intake>) -> Vec<(AssetName, Arc<dyn FrameAsset>)> {
    let one = |name: &AssetName, columns, with_source| {
        let code = FromFiles { name: name.clone(), columns, with_source, intake: Arc::clone(intake) };
        (name.clone(), Arc::new(code) as Arc<dyn FrameAsset>)
    };
    vec![one(&table.name, table.table_columns(), false), one(&table.rejects, table.reject_columns(), true)]
}

struct FromFiles {
    name: AssetName,
    columns: Vec<ColumnDecl>,
    /// Whether each row says which slice it came in.
    with_source: bool,
    intake: Arc<Intake>,
}

impl FrameAsset for FromFiles {
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
        let mut rows = 0;
        // Slices of files that are not there any more, and columns that were not declared when those were read.
        let (mut vanished, mut unread) = (0, BTreeMap::new());
        for slice in inputs.slices() {
            let mut write = |frame: DataFrame| {
                rows += frame.height() as u64;
                outputs.write(self.name.as_str(), frame)
            };
            let delivered = &mut |frame| write(if self.with_source { self.with_source(frame, slice)? } else { frame });
            if !self.intake.open(inputs.step(), slice, delivered)? {
                vanished += 1;
                write(self.vanished(inputs, slice, &mut unread)?)?;
            }
        }
        self.tell_unread(inputs, outputs, vanished == inputs.slices().len(), unread)?;
        let expected: u64 = inputs.slices().iter().map(|slice| slice.rows).sum();
        let lost = (rows != expected).then(|| {
            let message = format!("{rows} rows came of {expected} that the sources hold");
            Reason::new("rows_lost", message).with("rows", rows).with("expected", expected)
        });
        outputs.check(self.name.as_str(), "rows_accounted_for", lost)
    }
}

impl FromFiles {
    fn with_source(&self, mut frame: DataFrame, slice: &SliceRef) -> Result<DataFrame, Reason> {
        let source = columns::constant_text("source", &slice.hash.to_string(), frame.height());
        frame.with_column(source).map_err(|error| frame_error("source", &error))?;
        Ok(frame)
    }

    /// Says of columns that they are null because their files are not there any more: with the table where all of it is,
    /// else once, when it is made.
    fn tell_unread(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut Outputs<'_>,
        all: bool,
        unread: BTreeMap<String, String>,
    ) -> Result<(), Reason> {
        let name = self.name.as_str();
        let before = if all { inputs.previously_unavailable(name) } else { &[] };
        for known in before.iter().filter(|known| known.reason.code == UNREAD && !unread.contains_key(&known.column)) {
            outputs.unavailable(name, &known.column, known.reason.clone())?;
        }
        for (column, path) in unread {
            let message = format!("{path} is not there any more, and was read before the column {column} was declared");
            let reason = Reason::new(UNREAD, message).with("path", path).with("column", column.as_str());
            if all {
                outputs.unavailable(name, &column, reason)?;
            } else {
                let message = format!("{}: the column is null in its rows of {}", reason.message, inputs.step());
                outputs.warn(Reason { message, ..reason });
            }
        }
        Ok(())
    }

    /// Rows that no source delivers any more, from the last table: what was known is not forgotten. A column that was not
    /// declared then is null, and named in `unread` with the file.
    fn vanished(
        &self,
        inputs: &Inputs<'_>,
        slice: &SliceRef,
        unread: &mut BTreeMap<String, String>,
    ) -> Result<DataFrame, Reason> {
        let gone = || {
            let message = format!("{} is not there any more, and its rows were never stored", slice.path);
            Reason::new("source_vanished", message).with("path", slice.path.as_str())
        };
        // The last table holds its slices in their order. Slices with one hash hold equal rows: either will do.
        let mut offset = 0;
        let mut found = None;
        for earlier in inputs.previous_slices() {
            if earlier.hash == slice.hash {
                found.get_or_insert(offset);
            }
            offset += earlier.rows;
        }
        let previous = inputs.previous(self.name.as_str()).ok_or_else(gone)??;
        let (Some(start), true) = (found, previous.height() as u64 == offset) else { return Err(gone()) };
        let rows = usize::try_from(slice.rows).map_err(|_| gone())?;
        let frame = previous.slice(i64::try_from(start).map_err(|_| gone())?, rows);
        let columns = self.columns.iter().map(|decl| match frame.column(&decl.name) {
            Err(_) => {
                unread.insert(decl.name.clone(), slice.path.clone());
                Ok(Series::full_null(decl.name.as_str().into(), rows, &columns::dtype(decl.kind)).into_column())
            }
            Ok(column) if *column.dtype() == columns::dtype(decl.kind) => Ok(column.clone()),
            Ok(_) => {
                let message = format!(
                    "{} is not there any more, and its column {} was stored as another type than it is declared now",
                    slice.path, decl.name
                );
                Err(Reason::new("source_vanished", message).with("path", slice.path.as_str()))
            }
        });
        columns::frame(columns.collect::<Result<_, _>>()?)
    }
}
